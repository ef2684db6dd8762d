"""The page about scoring other systems: its commands and its program run as they are written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtface.cli import app
from rtface.evaluate import completion
from rtface.evaluate.protocols import PROTOCOLS
from tests import blobs
from tests.evaluate.packs import small_pack

PAGE = (Path(__file__).parents[2] / "docs/scoring.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def test_the_example_runs_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr("rtface.evaluate.networks.open_engine", lambda name, *a, **k: blobs.open_fake(name))
    monkeypatch.setattr(completion, "KINDS", ("mask",))
    small_pack(tmp_path / "here/PACK")
    monkeypatch.chdir(tmp_path / "here")
    (export, score), (program,) = (shlex.split(block) for block in blocks("sh")), blocks("python")
    threads = cv2.getNumThreads()
    try:
        done = CliRunner().invoke(app, export[1:])
        assert done.exit_code == 0, done.output
        exec(compile(program, "docs/scoring.md", "exec"), {})
        done = CliRunner().invoke(app, score[1:])
    finally:
        cv2.setNumThreads(threads)
    assert done.exit_code == 0, done.output
    assert re.search(r"^all +mine +2 ", done.output, re.M) and "was made for other pictures" not in done.output
    assert "mine" in (tmp_path / "report/index.html").read_text()


def test_every_protocol_that_takes_files_is_on_the_page() -> None:
    rows = " ".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`(\w+)`", rows))
    assert named == set(PROTOCOLS) - {"passing", "videos"}
