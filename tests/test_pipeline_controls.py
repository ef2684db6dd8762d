"""What may be changed while a run goes on: recipe, identity, resting face."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rtface.config import OcclusionConfig, PipelineConfig
from rtface.errors import InputError, ModelFileError
from rtface.pipeline import Pipeline
from rtface.types import Frame
from tests import blobs

CONFIG = PipelineConfig(meshes=False, occlusion=OcclusionConfig(recipe="off"))


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.setattr("rtface.pipeline.open_engine", blobs.open_fake)
    with Pipeline(CONFIG) as made:
        yield made


def frames(count: int, size: float = 40) -> Iterator[Frame]:
    for k in range(count):
        yield Frame(blobs.paint([(60, 60, size, 0)]), k, k / 10)


def test_the_recipe_changes_between_two_frames(chain: Pipeline) -> None:
    seen = []
    for k, frame in enumerate(frames(9)):
        if k in (3, 6):
            chain.set_recipe("mask" if k == 3 else "off")
        seen.append(chain.process(frame).occlusion is not None)
    assert seen == [False] * 3 + [True] * 3 + [False] * 3
    assert chain.recipe == "off" and "segment" in chain.backends


def test_a_recipe_that_cannot_be_had_changes_nothing(chain: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *_: Any, **__: Any) -> Any:
        raise ModelFileError(f"{name}: no weights")

    monkeypatch.setattr("rtface.pipeline.open_engine", missing)
    with pytest.raises(ModelFileError, match="segment"):
        chain.set_recipe("mask")
    with pytest.raises(InputError, match="recipe"):
        chain.set_recipe("best")  # type: ignore[arg-type]
    assert chain.recipe == "off" and all(chain.process(f).occlusion is None for f in frames(2))


def test_changes_may_come_from_another_thread_during_a_run(chain: Pipeline) -> None:
    done = threading.Event()

    def source() -> Iterator[Frame]:
        for frame in frames(30):
            if frame.index == 10:
                threading.Thread(target=lambda: (chain.set_recipe("mask"), chain.reset_identity(), done.set())).start()
                assert done.wait(10)
            yield frame

    results = list(chain.run(source()))
    assert len(results) == 30
    assert results[0].occlusion is None and results[-1].occlusion is not None


def test_reset_identity_begins_the_mean_anew(chain: Pipeline) -> None:
    def identity(shift: float) -> float:
        return float(chain.process(next(pictures)).coefficients.identity[0, 0]) + shift

    pictures = frames(40)
    smoother = chain._smoother
    identity(0)
    state = next(iter(smoother._states.values()))
    state.person[:], state.weight = 9.0, 1e6  # a long life as somebody else
    assert identity(0) == pytest.approx(9.0, abs=1e-3)
    chain.reset_identity()
    assert abs(identity(0)) < 1.0


def test_neutral_is_taken_off_after_its_second_and_forgotten_by_the_next_run(chain: Pipeline) -> None:
    mouth = []
    for frame in frames(30):
        if frame.index == 10:
            chain.calibrate_neutral(1.0)
        result = chain.process(frame)
        assert chain.calibrating == (10 <= frame.index < 20)
        mouth.append(result.coefficients.expression[0].copy())
    before, after = np.array(mouth[10:20]), np.array(mouth[21:])
    assert np.abs(before).max() > 0.05  # the fakes open the mouth: there is something to take off
    np.testing.assert_allclose(after, 0, atol=0.02)
    again = [r.coefficients.expression[0] for r in chain.run([dataclasses.replace(f) for f in frames(5)])]
    np.testing.assert_allclose(again[2], mouth[2], atol=1e-4)
    with pytest.raises(InputError, match="above 0"):
        chain.calibrate_neutral(0)
