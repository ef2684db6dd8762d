"""Protocols as the command line calls them: options, errors, JSON."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from rtface.errors import InputError, ModelFileError
from rtface.evaluate.commands import PROTOCOLS, EvaluateOptions, evaluate
from rtface.evaluate.networks import NetworkOptions
from rtface.evaluate.report import Table
from tests import blobs
from tests.evaluate.packs import PackWriter, small_pack

SETS = ("lfpw_test", "helen_test")


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return small_pack(tmp_path / "pack")


@pytest.mark.parametrize("protocol", ["detector", "landmarks"])
def test_a_protocol_runs_and_writes_its_json(protocol: str, pack: Path, tmp_path: Path) -> None:
    options = EvaluateOptions(data=pack, sets=SETS, json=tmp_path / "out/figures.json")
    report = evaluate(protocol, options, engines=blobs.engines())
    written = json.loads((tmp_path / "out/figures.json").read_text())
    assert written == json.loads(report.json_line())
    assert written["evaluation"] == protocol and written["settings"]["networks"]["detector"]["backend"] == "fake"
    assert written["results"]


def test_videos_run_and_pictures_go_to_the_private_folder(pack: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    options = EvaluateOptions(data=pack, sheet_all=tmp_path / "private", sheet=tmp_path / "sheet.jpg", faces=1)
    report = evaluate("videos", options, engines=blobs.engines(), progress=lines.append)
    assert len(lines) == 2 and (tmp_path / "sheet.jpg").exists() and len(list((tmp_path / "private").iterdir())) == 2
    assert "sheet.jpg: clips: some/clips @ cccccccccccc; licence of clips" in report.text()
    assert report.document()["settings"]["config"]["tracker"]["faces"] == 1


@pytest.mark.parametrize(("protocol", "options", "message"), [
    ("size", {}, "got 'size', expected one of completion, detector, landmarks, occlusion, parsing, passing, "
                  "robustness, shape, temporal, verification, videos"),
    ("detector", {"peers_only": True}, "--peers-only without --peers"),
    ("detector", {"sheet": Path("sheet.png")}, "--sheet: got a value, but the protocol detector"),
    ("videos", {"sets": SETS}, "--set: got a value, but the protocol videos"),
    ("detector", {"layout": "cofw"}, "--layout: got cofw for the protocol detector, expected one of pack, 300w"),
    ("videos", {"sheet": Path("sheet.txt")}, "got a picture name ending in '.txt'"),
    ("landmarks", {"sets": ("nobody",)}, "set: got 'nobody', expected one that"),
])
def test_wrong_options_are_one_clear_error(protocol: str, options: dict[str, Any], message: str, pack: Path) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(protocol, EvaluateOptions(data=pack, **options), engines=blobs.engines())


def test_missing_weights_and_peers_are_named(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="detector"):
        evaluate("detector", EvaluateOptions(data=pack, networks=NetworkOptions(weights=tmp_path)))
    with pytest.raises(ModelFileError, match="yunet_n_dynamic.onnx: no such file"):
        evaluate("landmarks", EvaluateOptions(data=pack, peers=tmp_path, peers_only=True))


def test_a_pack_without_anything_usable_is_an_error(tmp_path: Path) -> None:
    writer = PackWriter(tmp_path / "pack")
    writer.add_set("faces", "faces")
    writer.add_picture("faces", "faces/1.png", [(80, 60, 50, 0)], label=(80, 60, 50, 0))
    (tmp_path / "pack/faces/1.png").unlink()
    with pytest.raises(InputError, match=r"nothing to score in faces \(1 problem, first: faces/1.png: missing file"):
        evaluate("landmarks", EvaluateOptions(data=writer.write(), sets=("faces",)), engines=blobs.engines())


def test_every_protocol_says_what_it_measures() -> None:
    for name in PROTOCOLS:
        module = importlib.import_module(f"rtface.evaluate.{name}")
        assert (module.__doc__ or "").startswith(f"Protocol ``{module.__name__.rpartition('.')[2]}``")


def test_tables_align_words_left_and_numbers_right() -> None:
    table = Table("Title", ("name", "value"), [["a", 1.0], ["long name", None], ["b", float("nan")], ["c", "12"]])
    assert str(table).splitlines() == ["Title", "name       value", "----------------", "a           1.00",
                                       "long name      -", "b              -", "c             12"]


def test_the_command_line_prints_tables_and_ends_with_json(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2
    from typer.testing import CliRunner

    from rtface.cli import app

    threads = cv2.getNumThreads()
    monkeypatch.setattr("rtface.evaluate.networks.open_engine", lambda name, *a, **k: blobs.open_fake(name))
    try:
        done = CliRunner().invoke(app, ["evaluate", "detector", "--data", str(pack), "--set", "lfpw_test"])
        wrong = CliRunner().invoke(app, ["evaluate", "detector", "--data", str(pack / "nowhere")])
    finally:
        cv2.setNumThreads(threads)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("Faces found") and json.loads(done.stdout.splitlines()[-1])["results"]
    assert wrong.exit_code == 1 and wrong.stderr.count("\n") == 1 and "expected the index" in wrong.stderr
