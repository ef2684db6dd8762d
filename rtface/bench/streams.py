"""What every stream costs a run, per frame: ``python -m rtface.bench.streams``.

Times are of whole calls of ``write`` at a steady rate, after a warm-up, with receivers on this machine: sockets that
take everything, a program that reads the WebSocket, /dev/null for JSON lines. CPU time is that of the calling thread.
The last line of the output is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np

from rtface.io import StreamSink, open_streams
from rtface.machine import describe_machine
from rtface.morphable import MorphableModel
from rtface.types import Coefficients, FaceStatus, FaceTracks, Frame, FrameResult


def results(model: MorphableModel, faces: int, count: int) -> list[FrameResult]:
    """Frames with random expressions and poses."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((480, 640, 3), np.uint8)
    made = []
    for index in range(count):
        vector = rng.normal(0, 0.3, (faces, 239)).astype(np.float32)
        vector[:, -3:] = 1.5, 320, 240
        tracks = FaceTracks(np.arange(faces, dtype=np.int32), np.zeros((faces, 4), np.float32),
                            np.ones(faces, np.float32), rng.uniform(0, 480, (faces, 68, 2)).astype(np.float32),
                            np.full(faces, index, np.int32))
        made.append(FrameResult(
            Frame(pixels, index, index / 30, time.monotonic_ns()), tracks, None,
            Coefficients.from_vector(vector, model.basis_id), None, np.ones((faces, 6), np.float32),
            np.ones(faces, np.float32), (FaceStatus.TRACKED,) * faces))
    return made


@contextmanager
def receiver() -> Iterator[int]:
    """Port of a UDP socket on this machine; its datagrams are not read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taker:
        taker.bind(("127.0.0.1", 0))
        yield taker.getsockname()[1]


@contextmanager
def listener() -> Iterator[str]:
    """URL of a WebSocket server that reads everything."""
    from websockets.sync.server import ServerConnection, serve

    def listen(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    with serve(listen, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        finally:
            server.shutdown()
            thread.join()


def microseconds(sink: StreamSink, frames: list[FrameResult], rate: float) -> tuple[list[float], list[float]]:
    """Wall and CPU time of every call of ``write`` at so many frames per second; the first tenth is warm-up."""
    wall, cpu = [], []
    for frame in frames:
        start, used = time.perf_counter(), time.thread_time()
        sink.write(frame)
        cpu.append((time.thread_time() - used) * 1e6)
        wall.append((time.perf_counter() - start) * 1e6)
        time.sleep(max(0.0, 1 / rate - (time.perf_counter() - start)))
    warm = len(frames) // 10
    return wall[warm:], cpu[warm:]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--rate", type=float, default=200.0, help="frames per second")
    options = parser.parse_args(arguments)
    model = MorphableModel.load(level=0)
    rows = []
    print(f"{'stream':<14}{'faces':>6}{'median µs':>12}{'p99 µs':>10}{'CPU µs':>10}  what became of it")
    for faces in (1, 4):
        frames = results(model, faces, options.frames)
        for name in ("vmc", "vmc-presets", "livelink", "openseeface", "jsonl", "websocket"):
            with ExitStack() as stack:
                if name == "jsonl":
                    address = "/dev/null"
                else:
                    address = str(stack.enter_context(listener() if name == "websocket" else receiver()))
                sink = stack.enter_context(open_streams([f"{name}={address}"], model)[0])
                if name == "websocket":
                    time.sleep(0.5)  # until it is connected
                wall, cpu = microseconds(sink, frames, options.rate)
            row = {"stream": name, "faces": faces, "median_us": round(float(np.median(wall)), 1),
                   "p99_us": round(float(np.percentile(wall, 99)), 1), "cpu_us": round(float(np.median(cpu)), 1),
                   "report": sink.report().partition(": ")[2]}
            rows.append(row)
            print(f"{name:<14}{faces:>6}{row['median_us']:>12}{row['p99_us']:>10}{row['cpu_us']:>10}  {row['report']}",
                  flush=True)
    print(json.dumps({"benchmark": "streams", "frames": options.frames, "rate": options.rate,
                      "machine": describe_machine(), "results": rows}, separators=(",", ":")))


if __name__ == "__main__":
    main()
