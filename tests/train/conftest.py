"""Shards that all trainers' tests share; nobody writes into them."""

from pathlib import Path

import pytest

from rtface.synth import shards
from rtface.synth.config import SynthConfig


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    list(shards.write(root / "faces", 12, config=SynthConfig(size=96, clean_twin=False, distance_mm=(1e7, 1e7))))
    list(shards.write(root / "dense", 6, config=SynthConfig(size=96, dense=True, occluder_rate=1.0)))
    list(shards.write(root / "scenes", 12, kind="scenes", scene_size=(128, 128)))
    return root
