"""The .npz and .csv of a run."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError, OutputError
from rtface.io import ArraySource, CsvSink, NpzSink, csv_columns
from rtface.io.atomic import temporaries_in
from rtface.types import REGIONS, FaceStatus

NAMES = tuple(f"curve{i}" for i in range(64))


def _results(media) -> list:
    return [media.make_result(0, [3]), media.make_result(2, []),
            media.make_result(4, [7, 3], status=[FaceStatus.HELD, FaceStatus.TRACKED]),
            media.make_result(6, [7, 3], status=[FaceStatus.ABSENT, FaceStatus.INTERPOLATED])]


def _npz(path: Path, results: list, **options) -> dict[str, np.ndarray]:
    sink = NpzSink(path, expression_names=NAMES, basis="test", **options)
    for result in results:
        sink.write(result)
    assert not path.exists()
    assert sink.finish() == [path]
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def test_npz_has_every_frame_and_face(tmp_path: Path, media) -> None:
    results = _results(media)
    source = ArraySource([media.number_picture(0)])
    arrays = _npz(tmp_path / "c.npz", results, source=source.info)
    assert arrays["frame_index"].tolist() == [0, 2, 4, 6]
    np.testing.assert_array_equal(arrays["pts_s"], [r.frame.pts_s for r in results])
    assert arrays["face_ids"].tolist() == [3, 7] and str(arrays["basis"]) == "test"
    names = arrays["status_names"].tolist()
    assert [[names[code] for code in row] for row in arrays["status"]] == [
        ["tracked", "absent"], ["absent", "absent"], ["tracked", "held"], ["interpolated", "absent"]]
    present = {(0, 0): (0, 0), (2, 0): (2, 1), (2, 1): (2, 0), (3, 0): (3, 1)}  # (t, k): (result, row)
    for name, get in {
            "coefficients": lambda r: r.coefficients.to_vector(), "landmarks68": lambda r: r.tracks.landmarks,
            "boxes": lambda r: r.tracks.boxes_xyxy, "regions": lambda r: r.regions, "scores": lambda r: r.tracks.scores,
            "pose": lambda r: r.coefficients.to_vector()[:, -6:],
            "curves": lambda r: np.clip(r.coefficients.expression[:, :52], 0, 1)}.items():
        array = arrays[name]
        assert array.dtype == np.float32 and array.shape[:2] == (4, 2)
        for t in range(4):
            for k in range(2):
                if (t, k) in present:
                    at, row = present[t, k]
                    np.testing.assert_array_equal(array[t, k], get(results[at])[row])
                else:
                    assert np.isnan(array[t, k]).all()
    assert arrays["confidence"][0, 1] == 0 and arrays["confidence"][2, 1] == results[2].confidence[0]
    assert arrays["ages"].tolist() == [[0, -1], [-1, -1], [4, 4], [6, -1]]
    assert arrays["curve_names"].tolist() == list(NAMES[:52]) and arrays["expression_names"].tolist() == list(NAMES)
    assert arrays["region_names"].tolist() == list(REGIONS) and len(arrays["pose_names"]) == 6
    assert json.loads(str(arrays["source"]))["fingerprint"] == source.info.fingerprint


def test_npz_of_nothing_is_empty_but_whole(tmp_path: Path, media) -> None:
    arrays = _npz(tmp_path / "none.npz", [])
    assert arrays["coefficients"].shape == (0, 0, 239) and arrays["status"].shape == (0, 0)
    arrays = _npz(tmp_path / "absent.npz", [media.make_result(0, [])])
    assert arrays["coefficients"].shape == (1, 0, 239) and arrays["frame_index"].tolist() == [0]


def test_npz_of_many_frames_is_written_in_blocks(tmp_path: Path, media) -> None:
    results = [media.make_result(i, [i // 100], seed=1) for i in range(600)]
    arrays = _npz(tmp_path / "long.npz", results)
    assert arrays["coefficients"].shape == (600, 6, 239)
    np.testing.assert_array_equal(np.isfinite(arrays["coefficients"][:, :, 0]),
                                  np.arange(600)[:, None] // 100 == np.arange(6))


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_per_frame_and_face(tmp_path: Path, media) -> None:
    results = _results(media)
    sink = CsvSink(tmp_path / "c.csv", expression_names=NAMES)
    for result in results:
        sink.write(result)
    assert not (tmp_path / "c.csv").exists()
    assert sink.finish() == [tmp_path / "c.csv"] and os.listdir(tmp_path) == ["c.csv"]
    rows = _rows(tmp_path / "c.csv")
    assert list(rows[0]) == csv_columns(NAMES) and len(csv_columns(NAMES)) == 17 + 6 + 52 + 233
    assert [(r["frame_index"], r["face_id"], r["status"]) for r in rows] == [
        ("0", "3", "tracked"), ("2", "", "absent"), ("4", "7", "held"), ("4", "3", "tracked"), ("6", "7", "absent"),
        ("6", "3", "interpolated")]
    assert [r["pts_s"] for r in rows[:2]] == ["0.000000", "0.080000"]
    row, result = rows[3], results[2]
    vector = result.coefficients.to_vector()[1]
    for name, value in (("pitch_rad", vector[-6]), ("scale_px_per_mm", vector[-3]), ("y_px", vector[-1]),
                        ("identity_79", vector[79]), ("expression_curve63", vector[143]), ("albedo_00", vector[144]),
                        ("light_8", vector[232]), ("curve51", min(max(vector[80 + 51], 0), 1)),
                        ("visible_cheeks", result.regions[1, 5]), ("box_x1", result.tracks.boxes_xyxy[1, 2]),
                        ("confidence", result.confidence[1]), ("score", result.tracks.scores[1]), ("age_frames", 4)):
        assert float(row[name]) == pytest.approx(float(value), rel=1e-5, abs=1e-9), name
    numbers = [n for n in csv_columns(NAMES) if n not in ("frame_index", "pts_s", "face_id", "status")]
    for absent in (rows[1], rows[4]):
        assert all(absent[n] == "" for n in numbers)


def test_an_aborted_csv_leaves_nothing(tmp_path: Path, media) -> None:
    (tmp_path / "c.csv").write_text("old")
    sink = CsvSink(tmp_path / "c.csv", expression_names=NAMES)
    sink.write(media.make_result(0))
    assert len(temporaries_in(tmp_path)) == 1
    sink.abort()
    sink.abort()
    assert os.listdir(tmp_path) == ["c.csv"] and (tmp_path / "c.csv").read_text() == "old"
    with pytest.raises(InputError, match="after the file was finished"):
        sink.write(media.make_result(1))


def test_wrong_names_are_errors(tmp_path: Path) -> None:
    for names in (NAMES[:52], ("same",) * 64):
        with pytest.raises(InputError, match=r"expression_names: got \d+ different names, expected 64"):
            CsvSink(tmp_path / "c.csv", expression_names=names)
        with pytest.raises(InputError, match="expected 64"):
            NpzSink(tmp_path / "c.npz", expression_names=names, basis="test")


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_a_full_disk_leaves_nothing(full_disk, media, kind: str) -> None:
    path = full_disk.folder / f"c.{kind}"
    sink = NpzSink(path, expression_names=NAMES, basis="test") if kind == "npz" else \
        CsvSink(path, expression_names=NAMES)
    full_disk()
    with pytest.raises(OutputError, match=rf"cannot write .*c\.(npz|csv): {full_disk.message}"):
        for index in range(500):
            sink.write(media.make_result(index))
        sink.finish()
    sink.abort()
    assert not path.exists() and temporaries_in(path.parent) == []
