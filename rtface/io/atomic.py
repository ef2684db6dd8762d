"""Writing files so that a final name never holds half a file, and operating-system errors that say how to mend them.

A file is written under a temporary name in the folder of its final name and renamed when it is complete. Temporary
names look like ``.NAME.1a2b3c4d.rtface-tmp``; :func:`temporaries_in` finds those that a killed process left behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rtface.errors import OutputError

TEMPORARY_SUFFIX: Final = ".rtface-tmp"
_NAME_LIMIT: Final = 200  # bytes of the final name kept in a temporary one; file systems allow 255 in all

_TEMPORARY_NAME: Final = re.compile(r"\.(.+)\.[0-9a-f]{8}" + re.escape(TEMPORARY_SUFFIX))

_MENDS: Final = {
    errno.ENOSPC: "the disk is full; free some space or choose a folder on another disk",
    errno.EDQUOT: "the disk quota is used up; free some space or choose a folder on another disk",
    errno.EFBIG: "the file would be larger than this file system or process may write; choose a folder on another disk",
    errno.EACCES: "writing is not permitted; change the permissions or choose another folder",
    errno.EPERM: "writing is not permitted; change the permissions or choose another folder",
    errno.EROFS: "the file system is read-only; choose a folder on another disk",
    errno.ENOTDIR: "a part of the path is a file, expected a folder; choose another folder",
    errno.EISDIR: "the path is a folder, expected a file name; choose another name",
    errno.EEXIST: "a file is in the way, expected a folder; choose another folder",
    errno.ENOENT: "the folder is missing; make it first or choose another one",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n) or close other programs",
    errno.EIO: "the disk reports an input/output error; check it or choose another one",
    errno.ESTALE: "the network drive went away; mount it again or choose another folder",
}


def output_error(path: str | os.PathLike[str], cause: BaseException) -> OutputError:
    """An :class:`OutputError` for ``cause`` that names the path, what happened and the mend; its ``errno`` is kept."""
    number = getattr(cause, "errno", None)
    mend = _MENDS.get(number) if isinstance(number, int) else None
    if mend is None:
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        mend = f"{reason}; check the folder or choose another one"
    error = OutputError(f"cannot write {os.fspath(path)}: {mend}")
    error.errno = number
    return error


@contextlib.contextmanager
def output_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any :class:`OSError` of the block into an :class:`OutputError` about ``path``; others pass."""
    try:
        yield
    except OutputError:
        raise
    except OSError as exc:
        raise output_error(path, exc) from exc


def temporary_path(final: str | os.PathLike[str]) -> Path:
    """A new hidden name in the folder of ``final``; nothing is created."""
    final = Path(final)
    name = os.fsdecode(os.fsencode(final.name)[:_NAME_LIMIT])
    return final.with_name(f".{name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def temporaries_in(folder: str | os.PathLike[str]) -> list[tuple[Path, str]]:
    """Temporary files in a folder that killed processes left behind, each with the final name it was meant for."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    matches = [_TEMPORARY_NAME.fullmatch(name) for name in names]
    return [(Path(folder) / m.group(), m.group(1)) for m in matches if m is not None]


@contextlib.contextmanager
def atomic_path(final: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``final``; rename it to ``final`` when the block ends, remove it when it raises.

    durable: also wait until the disk holds the file and its name (fsync), for files that mark something as done.
    Missing parent folders are made. Raises :class:`OutputError` for operating-system errors, also for those of the
    block; other exceptions of the block pass unchanged.
    """
    final = Path(final)
    with output_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(final)
        try:
            yield temporary
            if durable:
                sync_file(temporary)
            os.replace(temporary, final)
            if durable:
                sync_file(final.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_atomic(final: str | os.PathLike[str], *parts: bytes | memoryview, durable: bool = False) -> None:
    """Write ``parts`` one after the other to ``final``, whole or not at all. Raises :class:`OutputError`."""
    with atomic_path(final, durable=durable) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            for part in parts:
                write_all(handle, part)
        finally:
            os.close(handle)


def write_all(handle: int, data: bytes | memoryview) -> None:
    """``os.write`` until everything is written; a full disk raises :class:`OSError` after a partial write."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(handle, view):]


def sync_file(path: str | os.PathLike[str]) -> None:
    """fsync a file or a folder (a folder's entries; skipped where folders cannot be opened, as on Windows)."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        if Path(path).is_dir():
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_output_folder(path: str | os.PathLike[str], *, needed_bytes: int = 4096) -> Path:
    """Make sure that files can be written into a folder, which is made when missing; returns it as a path.

    needed_bytes: free space asked for. Raises :class:`OutputError` when the path is a file, not writable or the disk
    is full; the message names the path and the mend. A small temporary file is written and removed again, because
    permission bits do not tell for every file system and user.
    """
    folder = Path(path)
    probe = temporary_path(folder / "probe")
    with output_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"cannot write {folder}: got a file, expected a folder; choose another name")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                write_all(handle, b"rtface")
            finally:
                os.close(handle)
        finally:
            probe.unlink(missing_ok=True)
        if hasattr(os, "statvfs"):
            space = os.statvfs(folder)
            free = space.f_bavail * space.f_frsize
            if space.f_blocks and free < needed_bytes:
                raise OutputError(f"cannot write {folder}: got {free} bytes of free disk space, expected at least "
                                  f"{needed_bytes}; free some space or choose a folder on another disk")
    return folder
