"""The whole chain over fake networks: threads, times, errors, resuming."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rtface.config import FitConfig, GapConfig, OcclusionConfig, PipelineConfig, SmoothConfig, TrackerConfig
from rtface.errors import InputError, ModelFileError
from rtface.inference import FakeEngine
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.run import PipelineState
from rtface.types import REGIONS, FaceCrops, FaceStatus, Frame, FrameResult, Occlusion
from tests import blobs

CONFIG = PipelineConfig(meshes=False, tracker=TrackerConfig(faces=2), fit=FitConfig(enabled=False))


in_one_and_two_threads = pytest.mark.parametrize("stage_threads", [1, 2])


def pipeline(config: PipelineConfig = CONFIG, *, stage_threads: int | None = None, **options: Any) -> Pipeline:
    return Pipeline(replace(config, stage_threads=stage_threads), **{"engines": blobs.engines(), **options})


def clip(count: int = 40) -> list[Frame]:
    """One face that moves, one that is away in frames 12 to 15, from frame 30 on nobody; uneven times."""
    frames = []
    for k in range(count):
        faces = [(40 + k, 60, 40, 0)] if k < 30 else []
        if not 12 <= k < 16 and k < 30:
            faces.append((120, 60 + 0.3 * k, 30, 1))
        pixels = blobs.paint(faces)
        pixels.flags.writeable = False
        frames.append(Frame(pixels, k, 0.04 * k + 0.005 * (k % 3)))
    return frames


def finishes(action: Callable[[], Any], within_s: float = 60.0) -> Any:
    """Run in a thread, so that a hang is a failure and not a hang."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(action())
        except BaseException as exc:  # noqa: BLE001  raised in the test below
            outcome.append(exc)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(within_s)
    assert not thread.is_alive(), f"still running after {within_s} s"
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def same(got: FrameResult, want: FrameResult) -> None:
    assert got.frame.index == want.frame.index and got.status == want.status
    np.testing.assert_array_equal(got.tracks.ids, want.tracks.ids)
    np.testing.assert_array_equal(got.tracks.landmarks, want.tracks.landmarks)
    np.testing.assert_allclose(got.coefficients.to_vector(), want.coefficients.to_vector(), atol=1e-6)
    np.testing.assert_allclose(got.confidence, want.confidence, atol=1e-6)


@in_one_and_two_threads
def test_every_frame_comes_out_once_with_its_own_time(stage_threads: int) -> None:
    frames = clip(50)
    with pipeline(stage_threads=stage_threads) as chain:
        results = finishes(lambda: list(chain.run(frames)))
    assert [r.frame.index for r in results] == list(range(50))
    assert [r.frame.pts_s for r in results] == [f.pts_s for f in frames]
    assert all(r.frame is f for r, f in zip(results, frames, strict=True))
    states = ["".join(s[0] for s in r.status) for r in results]
    assert states[:12] == ["tt"] * 12 and states[12:16] == ["ti"] * 4
    assert states[-1] == "" and states[30] == "hh"
    assert results[-1].coefficients.to_vector().shape == (0, 239)
    for r in (results[5], results[25]):
        np.testing.assert_allclose(r.coefficients.translation[0], [40 + r.frame.index, 60], atol=2)
    assert {"source", "detect", "track", "crop", "occlude", "regress", "fit", "smooth"} == set(results[0].timings_ms)
    assert "detect" not in results[1].timings_ms


def test_a_run_gives_times_and_stage_summary() -> None:
    with pipeline() as chain:
        run = chain.run(clip(5))
        finishes(lambda: list(run))
        times = run.times()
    assert times["track"].count == 5 and times["detect"].count == 1 and run.dropped == 0
    assert chain.backends == {"detector": "fake", "landmarks": "fake", "regressor": "fake",
                              "segment": "fake"}


def test_meshes_are_made_when_wanted() -> None:
    model = MorphableModel.load(level=0)
    with pipeline(PipelineConfig(), model=model) as chain:
        results = finishes(lambda: list(chain.run(clip(15))))
    assert [len(r.mesh) for r in results if r.mesh is not None] == [2] * 15
    held = results[13].mesh
    assert held is not None and not held.visibility[1].any() and held.visibility[0].any()
    assert results[0].timings_ms["mesh"] > 0


def test_actions_stay_within_what_they_mean() -> None:
    def wild(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        vector = blobs.regress(**inputs)["coefficients"].copy()
        vector[:, 80:144:2], vector[:, 81:144:2] = -0.7, 3.0
        return {"coefficients": vector}

    model = MorphableModel.load(level=0)
    engines = {**blobs.engines(), "regressor": FakeEngine(blobs.SPECS["regressor"], wild)}
    with Pipeline(replace(CONFIG, reflect=False), engines=engines, model=model) as chain:
        c = chain.process(clip(1)[0]).coefficients
    assert len(c) == 2
    limits = model.expression_limits(c.identity)
    np.testing.assert_array_equal(c.expression[:, ::2], np.zeros((2, 32)))
    np.testing.assert_allclose(c.expression[:, 1::2], limits[:, 1::2])


def test_single_frames_need_no_thread() -> None:
    threads = threading.active_count()
    with pipeline() as chain:
        results = [chain.process(frame) for frame in clip(16)]
        assert threading.active_count() == threads
        chain.reset()
        assert chain.process(Frame(blobs.paint([]), 0, 0.0)).status == ()
    assert results[0].status == (FaceStatus.TRACKED,) * 2
    assert results[13].status == (FaceStatus.TRACKED, FaceStatus.HELD)


@in_one_and_two_threads
def test_closing_early_stops_all_threads_and_the_source(stage_threads: int) -> None:
    stopped = threading.Event()

    def endless() -> Iterator[Frame]:
        try:
            for k in range(10**9):
                yield Frame(blobs.paint([(60, 60, 40, 0)]), k, k / 25)
        finally:
            stopped.set()

    before = threading.active_count()
    with pipeline(stage_threads=stage_threads) as chain:
        run = chain.run(endless())
        assert finishes(lambda: next(run)).frame.index == 0
        with pytest.raises(InputError, match="second run"):
            chain.run([])
        with pytest.raises(InputError, match="a run is going on"):
            chain.process(Frame(blobs.paint([]), 0, 0.0))
        finishes(run.close)
        assert stopped.wait(5) and threading.active_count() == before
        assert list(run) == []
        assert len(finishes(lambda: list(chain.run(clip(3))))) == 3
        for result in chain.run(endless()):  # an iterator that is dropped stops as well
            assert result.frame.index == 0
            break
        assert len(finishes(lambda: list(chain.run(clip(3))))) == 3


@in_one_and_two_threads
def test_a_source_that_hangs_does_not_hold_up_closing(stage_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.run.SOURCE_PATIENCE_S", 0.1)
    release = threading.Event()

    def hanging() -> Iterator[Frame]:
        yield clip(1)[0]
        release.wait(20)

    with pipeline(stage_threads=stage_threads) as chain:
        run = chain.run(hanging(), live=True)
        assert finishes(lambda: next(run)).frame.index == 0
        started = time.monotonic()
        finishes(run.close)
        assert time.monotonic() - started < 2
        assert len(finishes(lambda: list(chain.run(clip(3))))) == 3
    release.set()


@in_one_and_two_threads
def test_an_error_of_the_source_comes_after_all_its_frames(stage_threads: int) -> None:
    def broken() -> Iterator[Frame]:
        yield from clip(14)  # the second face is lost at frame 12: frames wait for it
        raise OSError("the camera is gone")

    with pipeline(stage_threads=stage_threads) as chain:
        run, results = chain.run(broken()), []
        with pytest.raises(OSError, match="the camera is gone"):
            finishes(lambda: [results.append(r) for r in run])
    assert [r.frame.index for r in results] == list(range(14))


@in_one_and_two_threads
@pytest.mark.parametrize("network", ["landmarks", "regressor"])
def test_an_error_of_a_stage_reaches_the_caller(network: str, stage_threads: int) -> None:
    def fail(**inputs: np.ndarray) -> dict[str, np.ndarray]:
        raise RuntimeError("out of memory")

    engines = {**blobs.engines(), network: FakeEngine(blobs.SPECS[network], fail)}
    with pipeline(stage_threads=stage_threads, engines=engines) as chain:
        with pytest.raises(RuntimeError, match="out of memory"):
            finishes(lambda: list(chain.run(clip(3))))


@in_one_and_two_threads
def test_times_that_go_back_are_an_error(stage_threads: int) -> None:
    frames = clip(3)
    with pipeline(stage_threads=stage_threads) as chain:
        with pytest.raises(InputError, match=r"got frame 0 at 0.000 s after 0.090 s"):
            finishes(lambda: list(chain.run([frames[2], frames[0]])))


@in_one_and_two_threads
def test_live_drops_frames_instead_of_falling_behind(stage_threads: int) -> None:
    def camera() -> Iterator[Frame]:
        for k, frame in enumerate(clip(30)):
            time.sleep(0.002)
            yield Frame(frame.pixels, k, frame.pts_s)

    def slow(crops: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(0.02)
        return blobs.regress(crops)

    engines = {**blobs.engines(), "regressor": FakeEngine(blobs.SPECS["regressor"], slow)}
    with pipeline(stage_threads=stage_threads, engines=engines) as chain:
        run = chain.run(camera(), live=True)
        results = finishes(lambda: list(run))
    assert run.dropped > 0
    assert len(results) + run.dropped == 30
    assert sum(r.dropped_before for r in results) == run.dropped
    assert results[-1].frame.index == 29
    jumps = np.diff([r.frame.index for r in results])
    assert [r.dropped_before for r in results[1:]] == (jumps - 1).tolist()


def test_two_threads_find_faces_while_those_before_are_measured() -> None:
    found, waited = threading.Semaphore(0), []

    def find(crops: np.ndarray) -> dict[str, np.ndarray]:
        found.release()
        return blobs.find_landmarks(crops)

    def measure(crops: np.ndarray) -> dict[str, np.ndarray]:
        if not waited:
            waited.append(all(found.acquire(timeout=20) for _ in range(3)))  # two looks at frame 0, one at frame 1
        return blobs.regress(crops)

    engines = {**blobs.engines(), "landmarks": FakeEngine(blobs.SPECS["landmarks"], find),
               "regressor": FakeEngine(blobs.SPECS["regressor"], measure)}
    with pipeline(replace(CONFIG, reflect=False), stage_threads=2, engines=engines) as chain:
        finishes(lambda: list(chain.run(clip(3))))
    assert waited == [True]


def test_live_no_picture_waits_between_the_two_threads() -> None:
    looks: list[None] = []
    ahead: list[int] = []

    def find(crops: np.ndarray) -> dict[str, np.ndarray]:
        looks.append(None)
        return blobs.find_landmarks(crops)

    def measure(crops: np.ndarray) -> dict[str, np.ndarray]:
        time.sleep(0.03)  # the other thread finds the face of the next frame meanwhile, and not of one more
        ahead.append(len(looks) - (len(ahead) + 2))  # a new face takes two looks, each later frame one
        return blobs.regress(crops)

    def camera() -> Iterator[Frame]:
        for k in range(60):
            time.sleep(0.005)
            yield Frame(blobs.paint([(60, 60, 40, 0)]), k, k / 200)

    engines = {**blobs.engines(), "landmarks": FakeEngine(blobs.SPECS["landmarks"], find),
               "regressor": FakeEngine(blobs.SPECS["regressor"], measure)}
    config = replace(CONFIG, reflect=False, tracker=TrackerConfig(faces=1))
    with pipeline(config, stage_threads=2, engines=engines) as chain:
        finishes(lambda: list(chain.run(camera(), live=True)))
    assert len(ahead) > 3 and set(ahead) <= {0, 1} and 1 in ahead


@pytest.mark.parametrize(("backend", "cores", "live", "split"), [
    ("onnx 1.31 CPU f32, 1 threads", 2, False, True), ("openvino 2026.4 CPU bf16, 1 threads", 8, False, True),
    ("onnx 1.31 CPU f32, 1 threads", 1, False, False), ("onnx 1.31 CPU f32, 1 threads", 2, True, False),
    ("tensorrt 11.0 a GPU fp16", 2, False, False)])
def test_two_threads_are_for_files_on_cpus_with_several_cores(backend: str, cores: int, live: bool, split: bool,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.pipeline.physical_cores", lambda: cores)
    with pipeline() as chain:
        chain.backends = dict.fromkeys(chain.backends, backend)
        with chain.run(clip(20), live=live) as run:
            finishes(lambda: next(run))
            assert ("rtface-faces" in {thread.name for thread in threading.enumerate()}) == split


@pytest.mark.parametrize("stop", [3, 11, 12, 14, 16, 31, 38])
@in_one_and_two_threads
def test_a_resumed_run_equals_an_uninterrupted_one(stop: int, stage_threads: int) -> None:
    frames = clip()
    with pipeline() as chain:
        whole = finishes(lambda: list(chain.run(frames)))
    with pipeline(stage_threads=stage_threads) as chain:
        states: list[PipelineState] = []
        run = chain.run(frames)
        for result in run:
            assert run.state is not None
            states.append(run.state)
            if result.frame.index == stop:
                break
        run.close()
    assert states[-1].after_index == stop
    with pipeline(stage_threads=stage_threads) as chain:
        rest = finishes(lambda: list(chain.run(frames[stop + 1:], state=states[-1], recent=whole[:stop + 1])))
    assert len(rest) == len(frames) - stop - 1
    for got, want in zip(rest, whole[stop + 1:], strict=True):
        same(got, want)


class Painter:
    """A crop stage that makes every crop black and says it was half hidden."""

    name = "paint"

    def apply(self, crops: FaceCrops, occlusion: Occlusion | None) -> tuple[FaceCrops, Occlusion | None]:
        count, size = len(crops), crops.size
        seen = Occlusion(np.zeros((count, 3, size, size), np.float32), np.ones((count, 1, size, size), np.float32),
                         np.full(count, 0.5, np.float32), crops.crop_from_frame)
        return FaceCrops(np.zeros_like(crops.pixels), crops.crop_from_frame, crops.track_ids), seen


def test_crop_stages_plug_in_before_the_regressor() -> None:
    with pipeline(crop_stages=[Painter()]) as chain:
        result = chain.process(clip(1)[0])
    assert result.occlusion is not None and result.occlusion.visible_fraction.tolist() == [0.5, 0.5]
    assert result.coefficients.identity[0, 0] == 0  # the fake regressor puts the crop's brightness there
    assert "paint" in result.timings_ms


def test_the_mask_says_what_is_hidden() -> None:
    frames = clip(3)
    covered = frames[2].pixels.copy()
    covered[62:80, 20:60] = 255  # over the mouth of the first face, not its chin
    config = PipelineConfig(tracker=TrackerConfig(faces=2), occlusion=OcclusionConfig(recipe="mask"))
    with pipeline(config) as chain:
        clean = chain.process(frames[0])
        result = chain.process(Frame(covered, 1, 0.04))
    assert clean.occlusion is not None and not clean.occlusion.mask.any() and "occlude" in clean.timings_ms
    assert result.occlusion is not None and result.occlusion.mask[0].any() and not result.occlusion.mask[1].any()
    assert result.occlusion.visible_fraction[0] < 0.9 < result.occlusion.visible_fraction[1]
    mouth = REGIONS.index("mouth")
    assert result.regions[0, mouth] < 0.2 < 0.8 < clean.regions[0, mouth] and result.regions[1, mouth] > 0.8
    assert result.mesh is not None and clean.mesh is not None
    assert result.mesh.visibility[0].sum() < 0.8 * clean.mesh.visibility[0].sum()


def test_smoothing_can_be_switched_off() -> None:
    config = PipelineConfig(meshes=False, smooth=SmoothConfig(enabled=False), gaps=GapConfig(max_gap_s=0))
    with pipeline(config) as chain:
        results = finishes(lambda: list(chain.run(clip(10))))
    identity = [float(r.coefficients.identity[0, 0]) for r in results]
    assert len(set(identity)) > 1
    with pipeline() as chain:
        smoothed = [float(r.coefficients.identity[0, 0]) for r in finishes(lambda: list(chain.run(clip(10))))]
    np.testing.assert_allclose(smoothed[-1], np.mean(identity), rtol=1e-3)


def test_missing_weights_are_told_and_opened_engines_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[FakeEngine] = []

    def open_some(name: str, profile: str, **options: Any) -> FakeEngine:
        if name == "regressor":
            raise ModelFileError("no regressor here")
        opened.append(blobs.open_fake(name))
        return opened[-1]

    monkeypatch.setattr("rtface.pipeline.open_engine", open_some)
    with pytest.raises(ModelFileError, match="no regressor"):
        Pipeline(CONFIG)
    assert len(opened) == 2
    for engine in opened:
        with pytest.raises(RuntimeError, match="after close"):
            engine.run()


def test_engines_given_by_the_caller_stay_open() -> None:
    engines = blobs.engines()
    with Pipeline(CONFIG, engines=engines) as chain:
        chain.process(clip(1)[0])
    with Pipeline(CONFIG, engines=engines) as chain:
        assert len(chain.process(clip(1)[0]).tracks) == 2
