"""Output folders: new, interrupted, resumed, finished, forced; foreign files stay."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rtface.errors import InputError, OutputError
from rtface.io import ArraySource, MeshSequenceSink, RunFolder, SourceInfo
from rtface.io.atomic import temporary_path

CONFIG = {"every": 1, "formats": ["obj"], "smooth": {"beta": 0.5}}


@pytest.fixture
def info(media) -> SourceInfo:
    return ArraySource([media.number_picture(0)]).info


def _prepare(out: Path, info: SourceInfo, **options) -> RunFolder:
    return RunFolder.prepare(out, **({"config": CONFIG, "source": info, "basis": "test", "versions": {"rtface": "1"}}
                                     | options))


def _run(folder: RunFolder, media, indices: range) -> MeshSequenceSink:
    """Convert frames as the pipeline does: files first, then the journal."""
    sink = MeshSequenceSink(folder.root / "meshes", "obj", claim=folder.claim)
    for index in indices:
        result = media.make_result(index, mesh=media.make_mesh(1, side=3))
        sink.write(result)
        folder.journal.append(result)
    return sink


def _files(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def test_a_finished_run_has_its_summary_and_refuses_to_be_overwritten(tmp_path: Path, media, info) -> None:
    out = tmp_path / "out"
    with _prepare(out, info) as folder:
        assert folder.done is None
        _run(folder, media, range(3))
        assert not (out / "summary.json").exists()
        assert folder.finish({"frames": 3}) == out / "summary.json"
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames"] == 3 and summary["config"] == CONFIG and summary["source"]["name"] == "arrays"
    assert summary["files"] == [f"meshes/face0/frame_{i:06d}.obj" for i in range(3)]
    for options in ({}, {"resume": True}):
        with pytest.raises(OutputError, match=r"out holds a finished run; use --force to replace it, or choose"):
            _prepare(out, info, **options)
    with pytest.raises(InputError, match="got both --resume and --force, expected one"):
        _prepare(out, info, resume=True, force=True)


def test_an_interrupted_run_wants_resume_or_force(tmp_path: Path, media, info) -> None:
    with _prepare(tmp_path / "out", info) as folder:
        _run(folder, media, range(3))
    with pytest.raises(OutputError, match="holds an interrupted run; use --resume to go on, --force to begin anew"):
        _prepare(tmp_path / "out", info)


def test_a_run_that_stopped_before_its_first_frame_leaves_nothing_to_decide(tmp_path: Path, media, info) -> None:
    with _prepare(tmp_path / "out", info) as folder:
        folder.claim(folder.root / "face.glb")
    with _prepare(tmp_path / "out", info, config={"other": 1}) as folder:
        assert folder.done is None
        folder.journal.append(media.make_result(0))
    with pytest.raises(OutputError, match="interrupted run"):
        _prepare(tmp_path / "out", info)


def test_resume_goes_on_after_the_last_frame(tmp_path: Path, media, info) -> None:
    out = tmp_path / "out"
    with _prepare(out, info, resume=True) as folder:  # nothing there yet: simply begins
        assert folder.done is None
        _run(folder, media, range(3))
    os.truncate(out / ".rtface" / "journal.bin", (out / ".rtface" / "journal.bin").stat().st_size - 1)
    leftover = temporary_path(out / "meshes" / "face0" / "frame_000002.obj")
    leftover.touch()
    with _prepare(out, info, resume=True) as folder:
        assert folder.done is not None and folder.done.last_index == 1 and folder.done.discarded_bytes > 0
        assert not leftover.exists()
        _run(folder, media, range(2, 5))  # frame 2 is written again: its file is rtface's own
        folder.finish({})
    assert len(json.loads((out / "summary.json").read_text())["files"]) == 5


def test_resume_refuses_another_source_or_configuration_and_names_it(tmp_path: Path, media, info) -> None:
    out = tmp_path / "out"
    with _prepare(out, info) as folder:
        _run(folder, media, range(2))
    before = _files(out)
    for options, message in (
            ({"config": CONFIG | {"every": 2}}, "every was 1, now 2"),
            ({"config": CONFIG | {"smooth": {"beta": 0.7}}}, r"smooth\.beta was 0\.5, now 0\.7"),
            ({"config": CONFIG | {"new": True}}, "new was None, now True"),
            ({"basis": "other"}, "basis was 'test', now 'other'"),
            ({"source": replace(info, name="b.mp4")}, r"source was 'arrays', now 'b\.mp4'"),
            ({"source": replace(info, fingerprint="x")}, "the source file 'arrays' has changed since")):
        with pytest.raises(OutputError, match=f"interrupted run that differs: {message}; repeat the earlier options"):
            _prepare(out, info, resume=True, **options)
    assert _files(out) == before
    _prepare(out, info, resume=True, versions={"rtface": "2"}).close()  # versions are kept, not compared


def test_force_removes_what_rtface_made_and_nothing_else(tmp_path: Path, media, info) -> None:
    out = tmp_path / "out"
    with _prepare(out, info) as folder:
        _run(folder, media, range(3))
        folder.finish({})
    foreign = {out / "notes.txt", out / "meshes" / "face0" / "frame_000777.obj", out / "meshes" / "mine.obj"}
    for path in foreign:
        path.write_text("mine")
    with _prepare(out, info, force=True) as folder:
        assert folder.done is None
        assert {out / name for name in _files(out) if not name.startswith(".rtface/")} == foreign
        _run(folder, media, range(1))
        folder.finish({})
    assert json.loads((out / "summary.json").read_text())["files"] == ["meshes/face0/frame_000000.obj"]
    with _prepare(out, info, force=True):
        pass
    for path in foreign:
        assert path.read_text() == "mine"


def test_force_removes_empty_folders_of_an_interrupted_run(tmp_path: Path, media, info) -> None:
    with _prepare(tmp_path / "out", info) as folder:
        _run(folder, media, range(3))
    with _prepare(tmp_path / "out", info, force=True):
        assert sorted(os.listdir(tmp_path / "out")) == [".rtface"]


def test_a_tampered_list_never_reaches_outside(tmp_path: Path, media, info) -> None:
    out = tmp_path / "out"
    with _prepare(out, info) as folder:
        _run(folder, media, range(1))
    outside = tmp_path / "precious.txt"
    outside.write_text("mine")
    (out / "link").symlink_to(tmp_path)
    with open(out / ".rtface" / "files.txt", "ab") as file:
        file.write(f"../precious.txt\n{outside}\nlink/precious.txt\n\nunfinished".encode())
    (out / "unfinished").write_text("mine")
    with _prepare(out, info, force=True):
        pass
    assert outside.read_text() == "mine" and (out / "unfinished").exists()


def test_foreign_files_are_never_overwritten(tmp_path: Path, media, info) -> None:
    out = tmp_path / "out"
    (out / "meshes" / "face0").mkdir(parents=True)
    mine = out / "meshes" / "face0" / "frame_000001.obj"
    mine.write_text("mine")
    with _prepare(out, info) as folder:
        with pytest.raises(OutputError, match=r"frame_000001\.obj is there already and was not made by rtface; move"):
            _run(folder, media, range(2))
        folder.claim(tmp_path / "elsewhere.mp4")  # not in the folder: not noted
    assert mine.read_text() == "mine"
    assert "elsewhere" not in (out / ".rtface" / "files.txt").read_text()
    other = tmp_path / "other"
    other.mkdir()
    (other / "summary.json").write_text("{}")
    with pytest.raises(OutputError, match=r"summary\.json is there already and was not made by a run in this folder"):
        _prepare(other, info)
    assert (other / "summary.json").read_text() == "{}"


def test_two_runs_cannot_share_a_folder(tmp_path: Path, media, info) -> None:
    with _prepare(tmp_path / "out", info):
        for options in ({}, {"force": True}, {"resume": True}):
            with pytest.raises(OutputError, match="out is in use by another run of rtface; wait for it"):
                _prepare(tmp_path / "out", info, **options)
    _prepare(tmp_path / "out", info, force=True).close()


def test_a_file_or_a_full_disk_instead_of_a_folder(tmp_path: Path, info, full_disk) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="got a file, expected a folder"):
        _prepare(tmp_path / "file", info)
    with pytest.raises(OutputError, match=f"cannot write .*: {full_disk.message}|free disk space"):
        _prepare(full_disk() / "out", info)


def test_a_damaged_journal_says_force(tmp_path: Path, media, info) -> None:
    out = tmp_path / "out"
    with _prepare(out, info) as folder:
        _run(folder, media, range(2))
    (out / ".rtface" / "journal.bin").write_bytes(b"garbage")
    with pytest.raises(OutputError, match="cannot be resumed: .*journal.*--force"):
        _prepare(out, info, resume=True)
    with pytest.raises(OutputError, match="holds an interrupted run"):
        _prepare(out, info)
    (out / ".rtface" / "journal.bin").unlink()
    with _prepare(out, info, resume=True) as folder:
        assert folder.done is None and folder.journal.path.exists()


KILLED = """
import sys, importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("media", sys.argv[2])
media = importlib.util.module_from_spec(spec)
spec.loader.exec_module(media)
from rtface.io import ArraySource, MeshSequenceSink, RunFolder
info = ArraySource([media.number_picture(0)]).info
folder = RunFolder.prepare(sys.argv[1], config={}, source=info, basis="test")
sink = MeshSequenceSink(folder.root / "meshes", "ply", claim=folder.claim)
for index in range(10**9):
    result = media.make_result(index, mesh=media.make_mesh(1, side=3))
    sink.write(result)
    folder.journal.append(result)
    sys.stdout.write(f"{index}\\n")
    sys.stdout.flush()
"""


def test_a_killed_run_has_all_files_of_its_journal_and_can_be_resumed_or_removed(tmp_path: Path, media, info) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(out), str(Path(__file__).with_name("conftest.py"))],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        while int(process.stdout.readline()) < 40:
            pass
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with _prepare(out, info, config={}, resume=True) as folder:
        assert folder.done is not None and folder.done.last_index >= 40
        for frame in folder.done.frames:
            assert (out / "meshes" / "face0" / f"frame_{frame.index:06d}.ply").stat().st_size > 500
        sizes = {p.stat().st_size for p in (out / "meshes" / "face0").iterdir() if p.suffix == ".ply"}
        assert len(sizes) <= 4  # only the digits of the comment differ: no half-written file has a final name
    with _prepare(out, info, config={}, force=True):
        assert os.listdir(out) == [".rtface"]
