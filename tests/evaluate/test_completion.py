"""Measures of completed pictures by hand, and the protocol over the painted world."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rtface.errors import InputError
from rtface.evaluate import completion, pictures, robustness, strokes
from rtface.evaluate.commands import EvaluateOptions, evaluate
from tests import blobs
from tests.evaluate.packs import small_pack

ALL = np.ones((32, 32), bool)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((32, 32, 3)).astype(np.float32)


def test_equal_pictures_are_perfect() -> None:
    a = noise(0)
    assert pictures.psnr(a, a, ALL) == 100 and pictures.l1(a, a, ALL) == 0
    assert pictures.ssim(a, a, ALL) == pytest.approx(1, abs=1e-5)
    assert pictures.gmsd(a, a, ALL) == pytest.approx(0, abs=1e-6)


def test_a_constant_difference_by_hand() -> None:
    a, b = np.full((32, 32, 3), 0.5, np.float32), np.full((32, 32, 3), 0.6, np.float32)
    assert pictures.psnr(a, b, ALL) == pytest.approx(20, abs=1e-3) and pictures.l1(a, b, ALL) == pytest.approx(0.1)
    # flat pictures: only the luminance term of SSIM is left
    assert pictures.ssim(a, b, ALL) == pytest.approx((2 * 0.3 + 1e-4) / (0.25 + 0.36 + 1e-4), abs=1e-4)


def test_only_the_mask_counts() -> None:
    a, b = noise(1), noise(1)
    b[:16] = 1 - b[:16]
    half = np.zeros((32, 32), bool)
    half[24:] = True
    assert pictures.psnr(a, b, half) == 100 and pictures.psnr(a, b, ~half) < 15
    assert pictures.gmsd(a, b, ~half) > 0.05 > pictures.gmsd(a, b, half)
    empty = np.zeros((32, 32), bool)
    assert all(np.isnan(f(a, b, empty)) for f in completion.METRICS.values())


def test_noise_is_less_alike_than_blur() -> None:
    y, x = np.mgrid[:32, :32] / 32
    a = np.repeat((np.sin(6 * x) * np.cos(5 * y) * 0.4 + 0.5)[..., None], 3, axis=2).astype(np.float32)
    assert pictures.ssim(a, a + 0.01, ALL) > 0.95 > pictures.ssim(a, noise(2), ALL)


def test_lines_agree_within_their_tolerance() -> None:
    drawn, truth = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    truth[10], drawn[12, :10], drawn[3, 10:] = True, True, True
    mask = np.ones((20, 20), bool)
    precision, recall = pictures.line_agreement(drawn, truth, mask, 2)
    assert precision == pytest.approx(0.5) and recall == pytest.approx(12 / 20)  # two columns reach around the end
    assert all(np.isnan(pictures.line_agreement(drawn, truth, np.zeros((20, 20), bool))))


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(InputError, match="pictures: got"):
        pictures.psnr(noise(0), noise(0)[:5], ALL)


def test_irregular_masks_are_given_out_in_turn(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"images/{k}.png"), blobs.paint([(80, 60, 70, 0)])[:, :, ::-1])
    masks = np.zeros((2, 60, 80), np.uint8)
    masks[0, 20:34, 30:50], masks[1, 30:40, 34:44] = 255, 255
    for k, mask in enumerate(masks):
        cv2.imwrite(str(tmp_path / f"masks/{k}.png"), mask)
    options = EvaluateOptions(data=tmp_path, layout="irregular")
    report = evaluate("completion", options, engines=blobs.engines())
    by_system = {line["system"]: line for line in report.results if line["group"] == "all"}
    assert by_system["rtface"]["pasted"] == 3 and report.settings["kinds"] == ["own mask"]
    assert by_system["rtface"]["psnr"] > by_system["input"]["psnr"] + 3  # red on a red face, against gray
    (tmp_path / "masks/0.png").write_bytes(b"no picture")
    assert "images/0.png" in evaluate("completion", options, engines=blobs.engines()).text()
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="got no pictures in masks/"):
        evaluate("completion", options, engines=blobs.engines())


def test_strokes_come_after_the_occluders_and_leave_their_seeds_alone() -> None:
    assert completion.KINDS == (*robustness.KINDS, "headset + mask", "headset + mask + hand", *completion.STROKES)
    assert not set(completion.STROKES) & set(robustness.KINDS)
    edges = sorted(share for shares in completion.STROKES.values() for share in shares)
    assert edges[0] == 0.1 and edges[-1] == 0.6 and edges[1::2][:-1] == edges[2::2]  # without a gap


def test_the_protocol_scores_every_system_on_pasted_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = small_pack(tmp_path / "pack")
    rows: list[completion.Filled] = []
    draw = completion.worst
    monkeypatch.setattr(completion, "worst", lambda filled, folder: (rows.extend(filled), draw(filled, folder)))
    options = EvaluateOptions(data=pack, sets=("lfpw_test",), sheet_all=tmp_path / "private")
    report = evaluate("completion", options, engines=blobs.engines())
    everything = [line for line in report.results if line["group"] == "all"]
    assert [line["system"] for line in everything] == [*completion.SYSTEMS, "contour"]
    assert len({line["pasted"] for line in everything}) == 1 and everything[0]["pasted"] > 3
    contour = everything[-1]
    assert contour["precision_95"][0] <= contour["precision"] <= contour["precision_95"][1]
    assert [plot.y_label for plot in report.curves] == ["PSNR, dB", "distance of deep features"]
    assert max(row.ratio for row in rows if completion.AND in row.kind) > 0.3  # two things at once hide much
    assert {row.kind for row in rows} >= set(completion.STROKES) and "strokes are gray" in report.text()
    for row in rows:
        least, most = completion.STROKES.get(row.kind, (0, 1))
        assert least - strokes.TOLERANCE <= row.ratio <= most
        if row.kind in completion.STROKES:
            hidden = (row.shown["input"] != row.shown["truth"]).any(axis=2)
            assert hidden.mean() == pytest.approx(row.ratio, abs=0.01)
            assert (row.shown["input"][hidden] == completion.GRAY).all()
        changed = (row.shown["rtface"] != row.shown["input"]).any(axis=2)
        assert changed.mean() < row.ratio + 0.5 and (row.shown["rtface"][changed][:, 1:] == 0).all()  # drawn in red
        assert all(np.isfinite(list(row.scores[name].values())).all() for name in completion.SYSTEMS)
    assert (tmp_path / "private" / "worst_completions.jpg").exists()
