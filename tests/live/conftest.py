"""Live runs over fake networks that see painted ellipses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from rtface.cli import app
from rtface.config import OcclusionConfig, PipelineConfig, TrackerConfig
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from tests import blobs

CONFIG = PipelineConfig(tracker=TrackerConfig(faces=2), occlusion=OcclusionConfig(recipe="off"))


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Painted-ellipse networks instead of the shipped ones."""
    threads = cv2.getNumThreads()
    monkeypatch.setattr("rtface.pipeline.open_engine", blobs.open_fake)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope="session")
def model() -> MorphableModel:
    return MorphableModel.load()


@pytest.fixture
def chain(fakes: None, model: MorphableModel) -> Iterator[Pipeline]:
    with Pipeline(CONFIG, model=model) as made:
        yield made


def picture(index: int) -> np.ndarray:
    """(120, 160, 3): two faces, one of which moves to and fro."""
    return blobs.paint([(50 + abs(index % 40 - 20), 60, 40, 0), (120, 60, 30, 1)])


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 25 fps."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv444p"
        stream.options = {"crf": "5", "preset": "ultrafast"}
        for k in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(k), format="rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def rtface(fakes: None) -> Callable[..., Result]:
    """The command line over the fakes."""
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def numbers(path: Path) -> dict[str, Any]:
    """Arrays of an .npz file."""
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
