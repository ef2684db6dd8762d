"""How fast the face factory takes pictures on a GPU: ``python -m rtface.bench.synth_device [--device cuda]``.

Two speeds: of a supply, whose processes make the heads meanwhile, and of the device alone, with heads at hand.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from rtface.machine import describe_machine
from rtface.synth.config import SynthConfig
from rtface.synth.device.supply import Order, Supply


def main(arguments: list[str] | None = None) -> None:
    usual = Order()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="torch device")
    parser.add_argument("--count", type=int, default=2048, help="pictures")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--clean", action="store_true", help="with the twin without occluders")
    parser.add_argument("--dense", action="store_true", help="with labels of every pixel")
    parser.add_argument("--batch", type=int, default=usual.batch, help="pictures at once")
    parser.add_argument("--again", type=int, default=usual.again, help="pictures of each head")
    parser.add_argument("--pool", type=int, default=usual.pool, help="heads on the device")
    parser.add_argument("--processes", type=int, default=usual.processes, help="that make heads")
    options = parser.parse_args(arguments)
    device, batches = torch.device(options.device), max(1, round(options.count / options.batch))
    order = Order(options.batch, options.again, options.pool, processes=options.processes)

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    with Supply(SynthConfig(size=options.size, clean_twin=options.clean, dense=options.dense), device, order) as supply:
        supply.draw()  # kernels are compiled, the pool is filled
        start = now()
        for _ in range(batches):
            supply.draw()
        whole = (now() - start) / (batches * order.batch)
        start = now()
        for _ in range(batches):
            supply.again()
        alone = (now() - start) / (batches * order.batch)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(f"{batches * order.batch} samples of {options.size} px on {name}, {order.batch} at once, {order.again} of "
          f"each head, {order.processes} processes\n"
          f"  with heads made meanwhile:  {1 / whole:8.1f} samples/s\n"
          f"  the device alone:           {1 / alone:8.1f} samples/s, {1e3 * alone:.3f} ms each")
    print(json.dumps({"benchmark": "synth on a device", "samples_per_s": round(1 / whole, 1),
                      "device_alone_per_s": round(1 / alone, 1), "device": name, "order": order._asdict(),
                      "size": options.size, "clean": options.clean, "dense": options.dense,
                      "machine": describe_machine()},
                     separators=(",", ":")))


if __name__ == "__main__":
    main()
