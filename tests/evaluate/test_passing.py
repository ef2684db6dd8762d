"""Something passes before a face in a video: what is pasted when, what is compared with what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import looks, passing
from rtface.evaluate.commands import EvaluateOptions, evaluate
from rtface.evaluate.dataset import Pack
from rtface.evaluate.passing import Seen, _passing, _worn, same_face
from rtface.geometry import rotation_matrices
from rtface.io import read_picture
from rtface.morphable import MorphableModel
from rtface.types import VECTOR_SIZE, Coefficients, Frame
from tests import blobs
from tests.evaluate.packs import PackWriter, clip_bytes

FPS = 30
POINTS = np.zeros((68, 2), np.float32)
POINTS[45, 0] = 100  # the outer eye corners


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load(level=0)


def pack(folder: Path, *frames: int) -> Path:
    """Clips of a blob that moves, so many frames each."""
    writer = PackWriter(folder / "pack")
    (folder / "pack").mkdir()
    writer.add_set("clips", "videos/clips", task="videos", labelled=False)
    for k, count in enumerate(frames):
        writer.add_item("clips", f"videos/clips/{k}.mp4", clip_bytes(folder, count), rights="free")
    return writer.write()


def seen(shift_mm: float = 0.0, turn: float = 0.0, jaw: float = 0.0, px: float = 0.0) -> Seen:
    vector = np.zeros((1, VECTOR_SIZE), np.float32)
    vector[0, 80 + 24] = jaw
    rotation = rotation_matrices(np.array([[0, turn, 0]], np.float32))[0]
    shape = np.zeros((10, 3)) + [shift_mm, 0, 0]
    return Seen(Coefficients.from_vector(vector, "b"), shape, shape / 2, rotation, POINTS + np.float32(px))


def frames(count: int) -> list[Frame]:
    return [Frame(np.zeros((8, 8, 3), np.uint8), k, k / FPS) for k in range(count)]


def test_another_face_is_not_the_same_one_moved() -> None:
    grid = np.stack(np.meshgrid(np.linspace(0, 90, 17), np.linspace(0, 110, 4)), axis=-1).reshape(68, 2)
    clean, near, beside = (replace(seen(), points=(grid + [x, 0]).astype(np.float32)) for x in (0, 20, 150))
    found = same_face([clean] * 3, [near, None, beside])
    assert found[0] is near and found[1:] == [None, None]


def test_figures_of_what_passes() -> None:
    clean = [seen(float(k)) for k in range(60)]  # it moves by 1 mm a frame all by itself
    after: list[Seen | None] = [seen(float(k)) for k in range(60)]
    for k in range(20, 40):
        after[k] = seen(k + 3.0, turn=0.1, px=2.0)
    for k in range(40, 50):
        after[k] = seen(k + 1.0)
    after[25] = None
    got = _passing(frames(60), range(20, 40), clean, after)
    assert got["shape_mm"] == pytest.approx(3) and got["identity_mm"] == pytest.approx(1.5)
    assert got["turn_deg"] == pytest.approx(np.degrees(0.1), abs=1e-3)
    assert got["points"] == pytest.approx(2 * np.sqrt(2) / 100, rel=1e-4)
    assert got["leap_mm"] == pytest.approx(3) and got["lost"] == pytest.approx(1 / 20)
    assert got["after_mm"] == pytest.approx(10 / 15)  # half a second are fifteen frames
    after[20] = None
    assert np.isnan(_passing(frames(60), range(20, 40), clean, after)["leap_mm"])
    nothing = _passing(frames(60), range(20, 40), clean, [None] * 60)
    assert nothing["lost"] == 1 and np.isnan(nothing["shape_mm"]) and np.isnan(nothing["after_mm"])


def test_figures_of_what_is_worn() -> None:
    moving = [np.sin(k / 5) for k in range(60)]
    clean = [seen(jaw=m) for m in moving]
    after: list[Seen | None] = [seen(9.0 if k < 15 else 2.0, jaw=0.4 * m + 0.2) for k, m in enumerate(moving)]
    got = _worn(frames(60), clean, after)
    assert got["shape_mm"] == pytest.approx(2)  # the first half second does not count
    assert got["lively"] == pytest.approx(0.4) and got["lost"] == 0
    after[20:40] = [None] * 20
    assert _worn(frames(60), clean, after)["lost"] == pytest.approx(20 / 45)


def test_things_are_pasted_in_the_middle_third_or_everywhere(tmp_path: Path, model: MorphableModel,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[tuple[str, list[int]]] = []
    whole = passing._Stage.play
    monkeypatch.setattr(passing._Stage, "play", lambda self, system, given: played.append(
        (system, [int(frame.pixels.astype(int).sum()) for frame in given])) or whole(self, system, given))
    lines: list[str] = []
    shown: list[passing.Shown] = []
    report = passing.run(Pack(pack(tmp_path, 36, 12)), blobs.engines(), model, kinds=["bar", "mask"],
                         look=shown.extend, progress=lines.append)
    clean = {system: sums for system, sums in played[:3]}
    assert list(clean) == list(passing.SYSTEMS) and len(played) == 3 * (1 + 4) + 3  # clips of 12 frames are too short
    for number, (system, sums) in enumerate(played[3:15]):
        differs = [k for k, (a, b) in enumerate(zip(clean[system], sums, strict=True)) if a != b]
        assert differs == (list(range(36)) if number // 3 == 1 else list(range(12, 24)))  # the second one is worn
        assert sums == played[3 + number // 3 * 3][1]  # every system sees the same pictures
    assert len(lines) == 4 and "bar, worn" in lines[1] and "off" in lines[0]
    assert "1 clips left out" in report.text()
    moved = [one.moved_mm["mask"] for one in shown]
    assert len(shown) == 3 and moved == sorted(moved, reverse=True)
    looks.passing_strips(shown, model, tmp_path, side=60)
    strips = sorted(tmp_path.glob("passing_*.jpg"))
    assert len(strips) == 3 and read_picture(strips[0]).shape[1] > 5 * 60  # five moments beside each other
    assert [(a != b).any() for a, b in zip(shown[0].clean, shown[0].pasted, strict=True)] == [0, 1, 1, 1, 0]
    by = {(r["system"], r["name"]): r for r in report.results}
    assert by["off", "all"]["pasted"] == 3 and by["mask", "worn"]["pasted"] == 1
    assert by["off", "bar"]["pasted"] == 2 and by["mask", "mask"]["pasted"] == 1
    assert by["off", "all"]["shape_mm"] >= 0 and by["off", "all"]["coverage"] > 0
    assert report.settings["configs"]["mask"]["memory"]["enabled"] is True
    assert report.settings["configs"]["mask, no memory"]["memory"]["enabled"] is False


def test_long_clips_are_cut_and_large_frames_scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip.mp4").write_bytes(clip_bytes(tmp_path, 12))
    monkeypatch.setattr(passing, "MOST_FRAMES", 5)
    monkeypatch.setattr(passing, "LONG_SIDE", 80)
    found = passing.read(tmp_path / "clip.mp4")
    assert len(found) == 5 and {max(frame.pixels.shape) for frame in found} == {80}
    assert [frame.index for frame in found] == list(range(5)) and found[1].pts_s > found[0].pts_s


def test_what_it_cannot_do_is_told(tmp_path: Path, model: MorphableModel) -> None:
    with pytest.raises(InputError, match="got hamster, expected some of glasses"):
        passing.run(Pack(pack(tmp_path, 3)), blobs.engines(), model, kinds=["hamster"])
    with pytest.raises(InputError, match="--sheet: got a value, but the protocol passing"):
        evaluate("passing", EvaluateOptions(data=tmp_path / "pack", sheet=Path("a.png")), engines=blobs.engines())
