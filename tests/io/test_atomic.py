"""Atomic writing, folders that refuse, and the messages about them."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rtface.errors import OutputError
from rtface.io import atomic_path, check_output_folder, write_atomic
from rtface.io.atomic import output_error, temporaries_in, temporary_path


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "new" / "a.txt"
    with atomic_path(final) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == final.parent and not final.exists()
    assert final.read_text() == "whole" and os.listdir(final.parent) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    final.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(final, durable=True) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    with pytest.raises(KeyboardInterrupt), atomic_path(final) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert final.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_parts_are_written_in_order(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"one", memoryview(b"two"), b"", durable=True)
    assert (tmp_path / "a").read_bytes() == b"onetwo"


def test_leftovers_of_killed_processes_are_found_with_their_names(tmp_path: Path) -> None:
    for name in ("a.obj", "b.c.mp4"):
        temporary_path(tmp_path / name).touch()
    (tmp_path / ".a.obj.rtface-tmp").touch()
    (tmp_path / "mine.rtface-tmp").touch()
    assert sorted(name for _, name in temporaries_in(tmp_path)) == ["a.obj", "b.c.mp4"]
    assert temporaries_in(tmp_path / "missing") == []
    long = temporary_path(tmp_path / ("ä" * 120 + ".mp4"))
    long.touch()  # the name fits


def test_a_good_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    assert check_output_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert os.listdir(tmp_path / "a" / "b") == []


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file: got a file, expected a folder; choose another"):
        check_output_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="a part of the path is a file, expected a folder|a file is in the way"):
        check_output_folder(tmp_path / "file" / "below")
    with pytest.raises(OutputError, match="cannot write .*x"):
        write_atomic(tmp_path / "file" / "x", b"")
    with pytest.raises(OutputError, match="the path is a folder, expected a file name"):
        (tmp_path / "folder").mkdir()
        write_atomic(tmp_path / "folder", b"x")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_folder_without_permission(tmp_path: Path) -> None:
    """Run as another user, because nothing is forbidden to root."""
    program = ("import os, sys\n"
               "if os.getuid() == 0: os.setuid(65534)\n"
               "from rtface.errors import OutputError\n"
               "from rtface.io.atomic import check_output_folder\n"
               "try: check_output_folder(sys.argv[1])\n"
               "except OutputError as exc: sys.stdout.write(str(exc))\n")
    open_to_all = Path(tempfile.mkdtemp())
    open_to_all.chmod(0o755)
    folder = open_to_all / "locked"
    folder.mkdir(mode=0o555)
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o000)
    for path in (folder, folder / "new", hidden / "new"):
        run = subprocess.run([sys.executable, "-c", "import rtface.io\n" + program, str(path)], capture_output=True,
                             text=True, check=True)
        assert run.stdout.startswith(f"cannot write {path}: ")
        assert "writing is not permitted; change the permissions or choose another folder" in run.stdout
    shutil.rmtree(open_to_all)


def test_a_full_disk(full_disk) -> None:
    folder = full_disk()
    message = rf"cannot write .*a\.bin: {full_disk.message}.*; (free some space|choose a folder)"
    with pytest.raises(OutputError, match=message) as caught:
        write_atomic(folder / "a.bin", bytes(100_000))
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    with pytest.raises(OutputError, match=f"{full_disk.message}|free disk space"):
        check_output_folder(folder)
    assert not (folder / "a.bin").exists() and temporaries_in(folder) == []


def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"got \d+ bytes of free disk space, expected at least"):
        check_output_folder(tmp_path, needed_bytes=1 << 60)


def test_a_limit_on_file_sizes(tmp_path: Path) -> None:
    """The kernel's own limit (RLIMIT_FSIZE) in a process of its own."""
    program = ("import resource, signal, sys\n"
               "from rtface.errors import OutputError\n"
               "from rtface.io import write_atomic\n"
               "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
               "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
               "try: write_atomic(sys.argv[1], bytes(20_000))\n"
               "except OutputError as exc: sys.stdout.write(str(exc))\n")
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True,
                         check=True)
    assert "the file would be larger than this file system or process may write" in run.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG,
                                    errno.EIO])
def test_messages_name_the_path_and_the_mend(number: int) -> None:
    error = output_error("/some/where", OSError(number, os.strerror(number)))
    assert isinstance(error, OSError) and error.errno == number
    assert str(error).startswith("cannot write /some/where: ") and "; " in str(error)
    assert str(output_error("x", OSError("odd"))) == "cannot write x: odd; check the folder or choose another one"
