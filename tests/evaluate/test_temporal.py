"""The protocol on clips of painted ellipses whose every movement is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError, MediaError
from rtface.evaluate import motion, temporal, timelines
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import Pack
from rtface.evaluate.recording import Clip, Truth
from rtface.evaluate.traces import Curves
from rtface.io import read_picture
from rtface.morphable import MorphableModel
from rtface.types import FaceCrops, Frame, Occlusion
from tests import blobs
from tests.evaluate.packs import HEIGHT, WIDTH, PackWriter, clip_bytes, points_of, small_pack

Face = tuple[float, float, float, int]
FPS = 30.0


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def painted(name: str, where: Callable[[int], Sequence[Face]], frames: int = 60, *, truth: bool = False,
            **more: object) -> Clip:
    """A clip of ellipses; the truth are the points that the fake landmark network would find on whole pixels."""
    source = [Frame(blobs.paint(where(k), HEIGHT, WIDTH), k, k / FPS) for k in range(frames)]
    truths = () if not truth else tuple(
        Truth(np.stack([points_of(where(k)[row]) for k in range(frames)]).astype(np.float32))
        for row in range(len(where(0))))
    return Clip(name, "painted", FPS, lambda: nullcontext(source), "labelled" if truth else "real",
                truths=truths, **more)  # type: ignore[arg-type]


def line(report: object, system: str, clip: str | None = None) -> dict[str, object]:
    """A clip's record, or that of all clips."""
    (found,) = [r for r in report.results if r["system"] == system  # type: ignore[attr-defined]
                and (r.get("clip") == clip if clip else r["group"].startswith("all "))]
    return dict(found)


def test_smoothing_calms_a_shaking_face_and_delays_a_moving_one(model: MorphableModel) -> None:
    shake = np.random.default_rng(0).integers(-1, 2, 60)
    swing = 12 * np.sin(2 * np.pi * np.arange(60) / 30)  # once a second
    report = temporal.run([painted("shaking", lambda k: [(80 + int(shake[k]), 60, 50, 0)]),
                           painted("swinging", lambda k: [(80 + float(swing[k]), 60, 50, 0)])], blobs.engines(), model)
    smooth, raw = (line(report, system, "shaking") for system in temporal.SYSTEMS)
    assert smooth["still_frames"] == raw["still_frames"] != 0
    assert smooth["still_px"] < 0.7 * raw["still_px"] and raw["still_px"] > 0.3  # type: ignore[operator]
    late = line(report, "smoothed", "swinging")["added_place_ms"]
    assert 5 < late < 80 and line(report, "as measured", "swinging").get("added_place_ms") is None  # type: ignore
    assert line(report, "landmark network", "shaking")["still_px"] > 0.3  # type: ignore[operator]
    assert "added place ms" in report.text() and line(report, "smoothed")["still_px_95"] is None  # one still clip


def test_lost_faces_and_switches_are_counted_against_the_truth(model: MorphableModel) -> None:
    def hidden(k: int) -> list[Face]:
        return [] if 20 <= k < 30 else [(60, 60, 50, 0)]

    seen = painted("seen", lambda k: [(60, 60, 50, 0)], 40, truth=True)
    with painted("gap", hidden, 40).frames() as frames:
        source = list(frames)
    gap = replace(seen, name="gap", frames=lambda: nullcontext(source))
    excused = replace(gap, name="excused", truths=(replace(
        seen.truths[0], hidden=np.isin(np.arange(40), np.arange(20, 30))),))
    report = temporal.run([seen, gap, excused], blobs.engines(), model)
    assert [line(report, "smoothed", name)["lost"] for name in ("seen", "gap", "excused")] == [0, 0.25, 0]
    assert line(report, "smoothed", "gap")["absent"] == 0  # found again: interpolated
    assert line(report, "smoothed", "gap")["switches"] == 0
    assert line(report, "landmark network", "seen")["error"] < 0.05  # type: ignore[operator]
    assert line(report, "smoothed")["switches"] == 0 and line(report, "smoothed")["lost"] == pytest.approx(0.25 / 3)


def test_unlabelled_frames_and_faces_of_nobody_are_left_out(model: MorphableModel) -> None:
    clip = painted("clip", lambda k: [(50, 60, 44, 0), (120, 60, 44, 1)], 40, truth=True)
    points = clip.truths[0].points.copy()
    points[10:30] = np.nan
    some = replace(clip, truths=(Truth(points),))
    report = temporal.run([some], blobs.engines(), model)
    figures = line(report, "smoothed", "clip")
    assert figures["ids"] == 2 and figures["lost"] == 0 and figures["still_frames"] == 0  # parts of 10 frames
    whole = line(temporal.run([clip], blobs.engines(), model), "smoothed", "clip")
    assert whole["still_frames"] == 2 * (40 - 2 * motion.half_window(FPS))
    assert whole["error"] > 0 and whole["shape_mm"] is None and whole["lag_mouth_ms"] is None  # type: ignore


def test_without_a_truth_switches_and_ends_are_plausible_ones(model: MorphableModel) -> None:
    def where(k: int, x: float) -> list[Face]:
        if k < 25:
            return [(30, 60, 44, 0)]
        return [(x, 60, 44, 1)] if k < 40 else []

    clips = [painted("apart", lambda k: where(k, 135), 80), painted("leap", lambda k: where(k, 90), 80)]
    report = temporal.run(clips, blobs.engines(), model)
    apart, leap = line(report, "smoothed", "apart"), line(report, "smoothed", "leap")
    assert apart["ids"] == 2 and apart["ends"] == 2 and apart["switches"] == 0 and apart["lost"] == 0
    assert leap["ids"] == 1 and leap["ends"] == 1 and leap["switches"] == 1  # the id goes on with another face


class Flickering:
    """Says of every pixel of every other frame that it is an occluder, in the left half."""

    name = "occlude"

    def __init__(self) -> None:
        self.calls = 0

    def apply(self, crops: FaceCrops, occlusion: Occlusion | None) -> tuple[FaceCrops, Occlusion | None]:
        self.calls += 1
        probability = np.zeros((len(crops), 3, 16, 16), np.float32)
        probability[:, 1] = 0.5
        probability[:, 2, :, :8] = self.calls % 2
        mask = (probability[:, 2:] > 0.5).astype(np.float32)
        return crops, Occlusion(probability, mask, 1 - mask.mean(axis=(1, 2, 3)), crops.crop_from_frame)


def test_masks_that_flicker_are_measured_where_the_chain_has_masks(model: MorphableModel) -> None:
    clip = painted("clip", lambda k: [(80, 60, 50, 0)], 40)
    report = temporal.run([clip], blobs.engines(), model, crop_stages=[Flickering()])
    assert line(report, "smoothed", "clip")["flicker"] == pytest.approx(0.5)
    assert "50.00" in report.text()
    assert line(temporal.run([clip], blobs.engines(), model), "smoothed", "clip")["flicker"] < 0.02  # nothing hides it


def test_clips_of_a_pack_and_those_that_cannot_be_read(tmp_path: Path, model: MorphableModel) -> None:
    writer = PackWriter(tmp_path / "pack")
    writer.add_set("clips", "videos/clips", task="videos", files=3, labelled=False)
    (tmp_path / "pack").mkdir()
    writer.add_item("clips", "videos/clips/a_broken.mp4", b"not a video")
    writer.add_item("clips", "videos/clips/b_altered.mp4", clip_bytes(tmp_path, 3))
    writer.items[-1]["sha256"] = "0" * 16
    writer.add_item("clips", "videos/clips/c_good.mp4", clip_bytes(tmp_path, 30), rights="unclear")
    writer.add_item("clips", "videos/clips/d_empty.mp4", clip_bytes(tmp_path, 5, face=False))
    found = Pack(writer.write()).clips()
    report = temporal.run(temporal.pack_clips(found), blobs.engines(), model, sets=[found])
    assert {r["clip"] for r in report.results if r["kind"] == "clip"} == {"videos/clips/c_good.mp4",
                                                                          "videos/clips/d_empty.mp4"}
    problems = report.document()["sets"]["videos"]["problems"]
    assert len(problems) == 2 and "unreadable clip" in problems[0] and "got sha256" in problems[1]
    good = line(report, "smoothed", "videos/clips/c_good.mp4")
    assert good["group"] == "clips" and good["rights"] == "unclear" and good["frames"] == 30 and good["lost"] == 0
    empty = line(report, "smoothed", "videos/clips/d_empty.mp4")
    assert empty["lost"] is None and empty["still_px"] is None and empty["drift_mm"] is None


def test_a_broken_clip_that_belongs_to_no_set_is_an_error(model: MorphableModel) -> None:
    def broken() -> nullcontext[list[Frame]]:
        raise MediaError("no such clip")

    with pytest.raises(MediaError, match="no such clip"):
        temporal.run([Clip("x", "x", FPS, broken)], blobs.engines(), model)


def test_the_worst_clips_are_drawn_over_time(tmp_path: Path, model: MorphableModel) -> None:
    calm = painted("calm", lambda k: [(80, 60, 50, 0)], 30)
    wild = painted("wild", lambda k: [(80 + 2 * (k % 2), 60, 50, 0)], 30)
    known = painted("known", lambda k: [(80, 60, 50, 0)], 30, truth=True)
    seen: list[temporal.Played] = []

    def look(played: Sequence[temporal.Played], curves: Curves) -> None:
        seen.extend(played)
        timelines.worst_timelines(played, curves, tmp_path)

    temporal.run([calm, wild, known], blobs.engines(), model, look=look)
    assert [one.clip.name for one in timelines.worst(seen[:2])] == ["wild", "calm"]
    without, truth = (read_picture(tmp_path / f"worst_{name}_truth.png") for name in ("without", "with"))
    assert without.shape[1] > 2 * timelines.WIDTH and truth.shape[1] == timelines.WIDTH
    for color in timelines.COLORS.values():
        assert (np.abs(without.astype(int) - color).max(axis=2) < 40).sum() > 20


def test_a_plot_shows_values_gaps_and_lost_frames() -> None:
    values = np.array([0.0, 1.0, np.nan, np.nan, 1.0, 0.0])
    lost = np.isnan(values)
    picture = timelines.plot({"a": (values, (255, 0, 0))}, lost, width=134, height=60)
    assert picture.shape == (60, 134, 3)
    red = (picture[..., 0] > 150) & (picture[..., 1] < 90)
    dark = (picture == timelines.LOST_COLOR).all(axis=2)
    left, right = red[:, timelines.MARGIN:84], red[:, 84:]
    assert left.any() and right.any() and not red[:, 76:90].any()
    assert dark[30, 78] and not dark[30, 40]
    assert timelines.plot({}, np.zeros(0, bool)).shape == (timelines.HEIGHT, timelines.WIDTH, 3)


def test_curves_follow_the_coefficients(model: MorphableModel) -> None:
    curves = Curves(model)
    vectors = np.zeros((3, 239), np.float32)
    vectors[:, -6:] = [[0, 0, 0, 1, 50, 50], [0, 0.2, 0, 1, 50, 50], [0, 0, 0, 1, 60, 50]]
    vectors[1, 80 + model.expression_names.index("jawOpen")] = 1
    vectors[2, 80 + model.expression_names.index("eyeBlinkLeft")] = 1
    points = curves.mesh_points(vectors)
    mouth, eyes = curves.signal("mouth", vectors, points)[:, 0], curves.signal("eyes", vectors, points)[:, 0]
    assert mouth[1] > mouth[0] + 5 and mouth[2] == pytest.approx(mouth[0], abs=0.5)
    assert eyes[2] < eyes[0] - 1
    assert curves.signal("turn", vectors, points)[1].tolist() == pytest.approx([0, 0.2, 0])
    place = curves.signal("place", vectors, points)
    assert place[2, 0] == pytest.approx(place[0, 0] + 10, abs=0.3)
    shapes = curves.shapes(vectors)
    np.testing.assert_array_equal(curves.people(vectors)[1], shapes[0])
    assert np.linalg.norm(shapes[1] - shapes[0], axis=1).max() > 5


def test_the_command_takes_sets_and_refuses_what_it_does_not_have(tmp_path: Path) -> None:
    pack = small_pack(tmp_path / "pack")
    options = EvaluateOptions(data=pack, sets=("videos",), sheet_all=tmp_path / "private")
    report = evaluate("temporal", options, engines=blobs.engines())
    assert report.document()["settings"]["networks"]["detector"]["backend"] == "fake"
    assert (tmp_path / "private/worst_without_truth.png").is_file() and "all real clips" in report.text()
    for wrong, message in (({"sets": ("lfw",)}, "--set: got lfw, expected synthetic or videos"),
                           ({"layout": "300w"}, "--layout: got 300w for the protocol temporal"),
                           ({"peers": tmp_path}, "--peers: got a value, but the protocol temporal")):
        with pytest.raises(InputError, match=message):
            evaluate("temporal", EvaluateOptions(data=pack, **wrong), engines=blobs.engines())  # type: ignore
