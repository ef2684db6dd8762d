"""Labelled pictures on disk: shards of JPEGs and labels, written by several processes, resumable."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, MediaError
from rtface.synth.config import SynthConfig

Kind = Literal["faces", "scenes"]
SHARD = 250
"""Samples per file."""
FORMAT = 1
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What libraries of linear algebra read when they are loaded."""
MEMORY_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28),
                   "MALLOC_TOP_PAD_": str(2**24)}
"""glibc (others do not read them): memory of pictures is kept for the next one, fresh pages cost more than drawing."""


def encode(pixels: NDArray[Any], quality: int = 93) -> bytes:
    """RGB (H, W, 3) or labels (H, W) uint8 → JPEG or PNG bytes."""
    ok, packed = (cv2.imencode(".png", pixels) if pixels.ndim == 2
                  else cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]))
    if not ok:
        raise MediaError(f"encode: got a picture of shape {pixels.shape} that OpenCV cannot encode, expected uint8")
    return bytes(packed)


def decode(data: NDArray[Any]) -> NDArray[Any]:
    """JPEG or PNG bytes (as a uint8 array) → RGB (H, W, 3) or labels (H, W)."""
    picture = cv2.imdecode(np.asarray(data), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise MediaError("decode: got bytes that are no picture, expected JPEG or PNG; the shard is damaged, delete it "
                         "and run `rtface synth write` again")
    return picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., ::-1])


def _pack(blobs: list[bytes]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    return (np.frombuffer(b"".join(blobs), np.uint8), np.cumsum([0] + [len(b) for b in blobs]).astype(np.int64))


def make_shard(kind: Kind, seed: int, shard: int, count: int, config: SynthConfig, backgrounds: Path | None,
               scene_size: tuple[int, int]) -> dict[str, Any]:
    """Arrays of one shard. Faces depend on (seed, shard, i) alone; scenes reuse people within their shard."""
    from rtface.synth.generator import FaceFactory
    from rtface.synth.scene import SceneFactory
    factory = FaceFactory(backgrounds=backgrounds)
    rngs = [np.random.default_rng([seed, shard, i]) for i in range(count)]
    if kind == "scenes":
        scenes = SceneFactory(factory, config)
        drawn = [scenes.generate(rng, *scene_size) for rng in rngs]
        data, offsets = _pack([encode(s.pixels) for s in drawn])
        return {"pixels": data, "pixels_offsets": offsets,
                "boxes_xyxy": np.concatenate([s.boxes_xyxy for s in drawn]),
                "visible": np.concatenate([s.visible for s in drawn]),
                "box_offsets": np.cumsum([0] + [len(s.boxes_xyxy) for s in drawn]).astype(np.int64),
                "decoys_xyxy": np.concatenate([s.decoys_xyxy for s in drawn]),
                "decoy_offsets": np.cumsum([0] + [len(s.decoys_xyxy) for s in drawn]).astype(np.int64)}
    samples = [factory.generate(rng, config) for rng in rngs]
    out: dict[str, Any] = {}
    for name, blobs in (("pixels", [encode(s.pixels) for s in samples]), ("mask", [encode(s.mask) for s in samples])):
        out[name], out[f"{name}_offsets"] = _pack(blobs)
    if config.clean_twin:
        out["clean"], out["clean_offsets"] = _pack([encode(s.clean) for s in samples if s.clean is not None])
    dense = [s.dense for s in samples if s.dense is not None]
    for name in ("parsing", "clean_parsing", "contour") if dense else ():
        out[name], out[f"{name}_offsets"] = _pack([encode(getattr(d, name)) for d in dense])
    for name in ("coefficients", "landmarks", "visibility", "box_xyxy"):
        out[name] = np.stack([getattr(s, name) for s in samples])
    out["visible_fraction"] = np.array([s.visible_fraction for s in samples], np.float32)
    out["distance_mm"] = np.array([s.camera.distance_mm for s in samples], np.float32)
    out["kinds"] = np.array([",".join(s.kinds) for s in samples])
    return out


def _write_shard(path: Path, arguments: tuple[Any, ...]) -> Path:
    cv2.setNumThreads(1)
    arrays = make_shard(*arguments)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, path)
    return path


@contextmanager
def single_threaded_processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of fresh processes whose linear algebra uses one thread each, and which keep the memory they had.

    Left alone, every process' OpenBLAS keeps as many threads spinning as there are cores, and processes slow each other
    down; the libraries read their settings when they are loaded, hence "spawn".
    """
    settings = dict.fromkeys(THREAD_SETTINGS, "1") | MEMORY_SETTINGS
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def write(folder: Path, count: int, *, kind: Kind = "faces", seed: int = 0, config: SynthConfig | None = None,
          backgrounds: Path | None = None, scene_size: tuple[int, int] = (256, 256),
          processes: int = 1) -> Iterator[tuple[int, int]]:
    """Write ``count`` samples as shards; yields (shards done, shards in all).

    Complete shards of an earlier run with the same settings are kept, so a killed run goes on where it stopped; a
    folder with other settings is refused.
    """
    if count < 1 or processes < 1:
        raise InputError(f"count and processes: got {count} and {processes}, expected at least 1 each")
    config = config or SynthConfig()
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.loads(json.dumps({"format": FORMAT, "kind": kind, "seed": seed, "shard": SHARD,
                                      "scene_size": scene_size, "config": asdict(config),
                                      "backgrounds": str(backgrounds) if backgrounds else None}))
    described = folder / "dataset.json"
    if described.exists():
        if (got := json.loads(described.read_text())) != settings:
            differing = sorted(k for k in settings if got.get(k) != settings[k])
            raise InputError(f"{folder}: got a dataset with other settings ({', '.join(differing)}), expected the same "
                             f"ones or an empty folder")
    else:
        described.write_text(json.dumps(settings, indent=1))
    shards = -(-count // SHARD)
    paths = [folder / f"{kind}_{i:05d}.npz" for i in range(shards)]
    missing = [(p, (kind, seed, i, min(SHARD, count - i * SHARD), config, backgrounds, scene_size))
               for i, p in enumerate(paths) if not p.exists()]
    done = shards - len(missing)
    yield done, shards
    if processes == 1:
        for path, arguments in missing:
            _write_shard(path, arguments)
            done += 1
            yield done, shards
        return
    with single_threaded_processes(processes) as pool:
        for future in as_completed([pool.submit(_write_shard, p, a) for p, a in missing]):
            future.result()
            done += 1
            yield done, shards
