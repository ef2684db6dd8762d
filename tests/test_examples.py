"""Examples and the README's commands run as they are written."""

import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtface.io import VideoSink
from rtface.synth.clip import FPS, demo_clip

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    sink = VideoSink(path, fps=FPS)
    for i, pixels in enumerate(demo_clip(2, frames=8, height=240, width=320)):
        sink.write(pixels, i / FPS)
    sink.finish()
    return path


def _run(*command, cwd):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs(example, clip, tmp_path):
    arguments = {"01_convert_video": [str(clip), "out"], "02_stream_results": [str(clip)],
                 "03_morphable_model": ["face.obj"], "04_synthetic_faces": ["faces.png"],
                 "05_stream_out": [str(clip), "jsonl=-", "vmc"]}[example.stem]
    done = _run(sys.executable, str(example), *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_converted_run_streams_again_at_its_own_pace(clip, tmp_path):
    done = _run(sys.executable, "-m", "rtface", "convert", str(clip), "out", "--format", "csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    start = time.monotonic()
    done = _run(sys.executable, str(ROOT / "examples" / "05_stream_out.py"), "out", "jsonl=-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start >= 7 / FPS
    assert [json.loads(line)["index"] for line in done.stdout.splitlines()] == list(range(8))
    assert "jsonl -: 8 lines" in done.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_example_is_short_and_uses_public_names_only(example):
    text = example.read_text()
    assert len(text.splitlines()) < 60
    names = {n.attr for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Attribute)}
    imported = {a.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert not {n for n in names | imported if n.startswith("_")}


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_readme_python_runs(clip, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    for block in _blocks("python"):
        done = _run(sys.executable, "-c", block, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_readme_convert_command_runs(clip, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    commands = [line for block in _blocks("sh") for line in block.splitlines() if line.startswith("rtface ")]
    assert commands
    for command in commands:
        done = _run(sys.executable, "-m", "rtface", *command.split()[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "summary.json").exists()


def test_readme_names_every_option_that_convert_has(tmp_path):
    text = (ROOT / "README.md").read_text()
    table = text[text.index("| option"):text.index("Reads what FFmpeg reads")]
    help_text = _run(sys.executable, "-m", "rtface", "convert", "--help", cwd=tmp_path).stdout
    for option in set(re.findall(r"`(--[a-z]+)", table)):
        assert option in help_text
