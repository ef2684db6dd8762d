"""The panels of the chain: what they show, and that an interrupted run shows the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtface.config import OcclusionConfig, PipelineConfig, TrackerConfig
from rtface.convert import ConvertOptions, convert
from rtface.errors import InputError
from rtface.inference import FakeEngine, TensorSpec
from rtface.io import VideoSink, open_source
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.stage_view import PANELS, SIDE, StagesSink
from rtface.types import Frame
from tests import blobs

CONFIG = PipelineConfig(meshes=False, tracker=TrackerConfig(faces=2), occlusion=OcclusionConfig(recipe="contour"))


LOOKING = replace(CONFIG, occlusion=OcclusionConfig(recipe="mask"))


def chain(config: PipelineConfig = CONFIG, **options: object) -> Pipeline:
    """With a regressor of the other networks' size, so that it sees completed crops."""
    spec = blobs._spec("regressor", [TensorSpec("crops", ("N", 3, 128, 128))], list(blobs.SPECS["regressor"].outputs))
    return Pipeline(config, engines={**blobs.engines(), "regressor": FakeEngine(spec, blobs.regress)},
                    **options)  # type: ignore[arg-type]


def covered(count: int = 8) -> list[np.ndarray]:
    """A red face, a white bar before it from the third frame on, and a small green one."""
    frames = []
    for k in range(count):
        pixels = blobs.paint([(50 + k, 60, 60, 0), (130, 60, 30, 1)])
        if k >= 2:
            pixels[58:78, 15:95] = 255
        frames.append(pixels)
    return frames


def test_the_regressor_gets_the_completed_crop_of_a_face_that_is_hidden_enough() -> None:
    frame = Frame(covered()[4], 0, 0.0)
    always = replace(CONFIG, occlusion=OcclusionConfig(recipe="contour", regress_share=0.0))
    with chain(always) as whole, chain() as usual, chain(LOOKING) as looking:
        done, little, seen = whole.process(frame), usual.process(frame), looking.process(frame)
    assert little.completion is not None and little.occlusion is not None
    assert little.occlusion.visible_fraction[0] > 1 - OcclusionConfig().regress_share
    assert np.array_equal(little.coefficients.identity, seen.coefficients.identity)
    assert done.completion is not None and seen.completion is None
    assert done.completion.after.track_ids.tolist() == [done.tracks.ids[0]]
    # the fake network puts the crop's brightness there: white is brighter than the red that is drawn over it
    assert done.coefficients.identity[0, 0] < seen.coefficients.identity[0, 0] - 0.02
    assert done.coefficients.identity[1, 0] == seen.coefficients.identity[1, 0]
    assert {"occlude", "structure", "complete"} <= done.timings_ms.keys() and "structure" not in seen.timings_ms


def test_a_row_shows_every_stage(tmp_path: Path) -> None:
    model = MorphableModel.load(level=0)
    sink = StagesSink(tmp_path / "stages.mp4", model)
    with chain() as pipeline:
        clean, hidden = (pipeline.process(Frame(pixels, k, 0.04 * k)) for k, pixels in enumerate(covered()[1:3]))
    empty = np.unique(sink.row(_nobody()))
    rows = [sink.row(clean), sink.row(hidden)]
    sink.abort()
    assert len(empty) == 1
    for row in rows:
        assert row.shape == (SIDE, len(PANELS) * SIDE, 3)
    cells = [{name: row[:, k * SIDE:(k + 1) * SIDE].astype(int) for k, name in enumerate(PANELS)} for row in rows]
    assert np.array_equal(cells[0]["input"], cells[0]["completed"]) and not cells[0]["contour"].any()
    changed = (cells[1]["input"] != cells[1]["completed"]).any(axis=2)
    assert 0.05 < changed.mean() < 0.7 and (cells[1]["completed"][changed][:, 1:] == 0).all()  # drawn in red
    assert (cells[1]["contour"][changed].max(axis=1) > 100).mean() > 0.9
    red = cells[1]["mask"][..., 0] - cells[1]["mask"][..., 1]
    was_white = (cells[1]["input"] > 200).all(axis=2)
    assert red[was_white].mean() > 60  # tinted
    assert (cells[1]["mesh"] != cells[1]["completed"]).any()


def _nobody():
    with chain() as pipeline:
        return pipeline.process(Frame(blobs.paint([]), 0, 0.0))


def _clip(path: Path) -> None:
    sink = VideoSink(path, fps=25)
    for k, pixels in enumerate(covered()):
        sink.write(pixels, k / 25)
    sink.finish()


def test_an_interrupted_run_goes_on_with_the_same_panels(tmp_path: Path) -> None:
    video = tmp_path / "clip.mkv"
    _clip(video)

    def run(out: str, *, stop: int | None = None, resume: bool = False) -> None:
        def progress(done: int, expected: int | None) -> None:
            if stop is not None and done == stop:
                raise KeyboardInterrupt
        convert(lambda after: open_source(video, after_index=after), tmp_path / out,
                lambda config, model: chain(config, model=model), config=CONFIG, progress=progress,
                options=ConvertOptions(formats=("npz",), stages=tmp_path / f"{out}.mkv", resume=resume))

    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("parts", stop=5)
    assert not (tmp_path / "parts.mkv").exists()
    run("parts", resume=True)
    pictures = []
    for name in ("whole", "parts"):
        with open_source(tmp_path / f"{name}.mkv") as source:
            pictures.append(np.stack([frame.pixels for frame in source]).astype(int))
    assert pictures[0].shape == pictures[1].shape and len(pictures[0]) == 8
    # the journal keeps coefficients in half precision: a mesh's edge may move by a fraction of a pixel
    assert np.abs(pictures[0] - pictures[1])[:, :, :4 * SIDE].mean() < 1.0
    assert (tmp_path / "whole/summary.json").read_text().count('"completed": 6')


def test_stages_need_a_recipe_that_looks(tmp_path: Path) -> None:
    _clip(tmp_path / "clip.mkv")
    with pytest.raises(InputError, match="--stages: got the recipe off"):
        convert(lambda after: open_source(tmp_path / "clip.mkv", after_index=after), tmp_path / "out",
                lambda config, model: chain(config, model=model),
                config=PipelineConfig(occlusion=OcclusionConfig(recipe="off")),
                options=ConvertOptions(stages=tmp_path / "stages.mp4"))
    assert not (tmp_path / "out").exists() and not (tmp_path / "stages.mp4").exists()


def test_overlay_and_stages_are_drawn_in_one_run(tmp_path: Path) -> None:
    """Each has an OpenGL context of its own in the same thread."""
    _clip(tmp_path / "clip.mkv")
    pictures = []
    for name, stages in (("alone", None), ("both", tmp_path / "stages.mkv")):
        convert(lambda after: open_source(tmp_path / "clip.mkv", after_index=after), tmp_path / name,
                lambda config, model: chain(config, model=model), config=replace(CONFIG, meshes=True),
                options=ConvertOptions(formats=("npz",), overlay=tmp_path / f"{name}.mkv", stages=stages))
        with open_source(tmp_path / f"{name}.mkv") as source:
            pictures.append(np.stack([frame.pixels for frame in source]).astype(int))
    assert (tmp_path / "stages.mkv").stat().st_size > 1000
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5  # encoders are not exact
    with open_source(tmp_path / "clip.mkv") as source:
        plain = np.stack([frame.pixels for frame in source]).astype(int)
    assert (np.abs(pictures[0] - plain).max(axis=3) > 40).mean() > 0.02  # faces were drawn
