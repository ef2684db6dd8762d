"""Engines for the fake GPU, with their manifests, as files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rtface.inference import EngineSpec, TensorSpec
from rtface.inference.manifest import FORMAT, stem

SPEC = EngineSpec("tiny", "compact", (TensorSpec("crops", ("N", 3, 4, 4)), TensorSpec("mask", ("N", 1, 4, 4))),
                  (TensorSpec("mean", ("N", 2)), TensorSpec("more", ("N",))), sha256="ab" * 32)
PROFILE = {"crops": [[1, 3, 4, 4], [2, 3, 4, 4], [4, 3, 4, 4]], "mask": [[1, 1, 4, 4], [2, 1, 4, 4], [4, 1, 4, 4]]}


def write_engine(folder: Path, *, flavour: str = "tensorrt", version: str = "9.9.9", sm: str = "sm86",
                 precision: str = "fp16", weights: str = "ab" * 32, name: str = "tiny", **content: Any) -> Path:
    """An engine for the fake and its manifest; the json's path."""
    data = {"inputs": {"crops": ["N", 3, 4, 4], "mask": ["N", 1, 4, 4]}, "outputs": {"mean": ["N", 2], "more": ["N"]},
            "profiles": [PROFILE]} | content
    path = folder / f"{stem(name, 'compact', precision, sm, flavour, version)}.json"
    engine = json.dumps(data).encode()
    path.with_suffix(".engine").write_bytes(engine)
    shapes = {name: dict(zip(("min", "opt", "max"), sizes, strict=True)) for name, sizes in PROFILE.items()}
    path.write_text(json.dumps({
        "format": FORMAT, "name": name, "profile": "compact", "precision": precision, "flavour": flavour,
        "version": version, "sm": sm, "weights_sha256": weights, "untrained": False, "profiles": [shapes],
        "engine_sha256": hashlib.sha256(engine).hexdigest()}))
    for file in (folder, path, path.with_suffix(".engine")):
        file.chmod(file.stat().st_mode & ~0o022)
    return path
