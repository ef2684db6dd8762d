"""The folder of a run: what is in it, when it is finished, how it is resumed, and what ``--force`` may remove.

Layout::

    OUT/
      .rtface/run.json      configuration, source, versions; written first
      .rtface/journal.bin   one record per finished frame (rtface.io.journal)
      .rtface/files.txt     every file that rtface made here, one relative name per line, noted before it is written
      .rtface/lock          held while a process writes here
      …                     meshes/face0/frame_000000.obj, face.glb, coefficients.npz, …
      summary.json          written last: the run is finished

Order within a frame: first its files, then its journal record. So a frame in the journal has all its files, and the
files of a frame that is not in the journal are simply written again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Final, Self

from rtface.errors import InputError, OutputError
from rtface.io.atomic import check_output_folder, output_errors, temporaries_in, write_atomic
from rtface.io.journal import Journal, JournalWriter, read_journal
from rtface.io.source import SourceInfo

_FORMAT: Final = 1


class RunFolder:
    """One output folder; a context manager that holds its lock. Make it with :meth:`prepare`."""

    def __init__(self, root: Path, source: SourceInfo, config: Mapping[str, Any], *, done: Journal | None,
                 journal: JournalWriter, claimed: set[str], lock: int) -> None:
        self.root = root
        self.done = done
        """The frames of the interrupted run that is resumed; None for a new run."""
        self.journal = journal
        """Open for appending."""
        self._source, self._config = source, config
        self._claimed, self._lock = claimed, lock

    @classmethod
    def prepare(cls, out: str | os.PathLike[str], *, config: Mapping[str, Any], source: SourceInfo, basis: str,
                versions: Mapping[str, str] | None = None, resume: bool = False, force: bool = False) -> Self:
        """Take a folder for a run.

        config: JSON object of everything that decides the result; a run is only resumed with an equal one. source:
        its fingerprint must be unchanged on resume. basis: identifier of the morphable model. versions: kept in
        run.json (not compared). resume: go on after the last frame of an unfinished run (a folder without a run is
        simply begun). force: first remove the files that rtface made here in an earlier run, and only those.

        Raises :class:`OutputError` when the folder holds a finished run (mend: force), an unfinished one (mend: resume
        or force), a run of another source or configuration (the differences are named), is in use by another process,
        or cannot be written; :class:`InputError` for resume together with force.
        """
        if resume and force:
            raise InputError("got both --resume and --force, expected one: --resume goes on, --force begins anew")
        root = check_output_folder(out)
        hidden = root / ".rtface"
        with output_errors(hidden):
            hidden.mkdir(exist_ok=True)
        lock = _take_lock(hidden / "lock", root)
        try:
            config = json.loads(json.dumps(dict(config), allow_nan=False))
            facts = {"format": _FORMAT, "config": config, "source": asdict(source), "basis": basis,
                     "versions": dict(versions or {})}
            claimed = _read_claims(hidden / "files.txt")
            state = _state(root, claimed)
            if state == "finished" and not force:
                raise OutputError(f"{root} holds a finished run; use --force to replace it, or choose another folder")
            if state == "unfinished" and not (resume or force):
                raise OutputError(f"{root} holds an interrupted run; use --resume to go on, --force to begin anew, or "
                                  "choose another folder")
            if force:
                _remove_files(root, claimed)
                claimed = set()
                state = "new"
            _remove_temporaries(root, claimed)
            if state == "unfinished":
                _compare(root, _read_json(hidden / "run.json") or {}, facts)
                journal, done = _resume_journal(hidden / "journal.bin", facts, basis)
                return cls(root, source, config, done=done, journal=journal, claimed=claimed, lock=lock)
            _check_summary_is_ours(root)
            write_atomic(hidden / "files.txt", b"", durable=True)
            journal = JournalWriter(hidden / "journal.bin", facts, basis=basis)
            write_atomic(hidden / "run.json", _json_bytes(facts), durable=True)
            return cls(root, source, config, done=None, journal=journal, claimed=set(), lock=lock)
        except BaseException:
            os.close(lock)
            raise

    def claim(self, path: str | os.PathLike[str]) -> None:
        """Note that rtface is about to make this file, before it exists; call it once or more.

        path: inside the folder (others are not noted: a file elsewhere is never removed by ``force``). Raises
        :class:`OutputError` when a file is there that rtface did not make.
        """
        path = Path(path)
        try:
            name = Path(os.path.abspath(path)).relative_to(os.path.abspath(self.root)).as_posix()
        except ValueError:
            return
        if name in self._claimed:
            return
        if "\n" in name:
            raise OutputError(f"cannot write {path!r}: got a name with a line break, expected one without")
        if path.exists() or path.is_symlink():
            raise OutputError(f"{path} is there already and was not made by rtface; move it away or choose another "
                              "folder")
        with output_errors(self._hidden / "files.txt"), open(self._hidden / "files.txt", "ab") as file:
            file.write(os.fsencode(name) + b"\n")
        self._claimed.add(name)

    @property
    def _hidden(self) -> Path:
        return self.root / ".rtface"

    @property
    def summary_path(self) -> Path:
        return self.root / "summary.json"

    def finish(self, summary: Mapping[str, Any]) -> Path:
        """Write ``summary.json`` last, which marks the run as finished; returns its path and releases the folder.

        summary: JSON object; the source, the configuration and the list of files are added to it.
        """
        self.journal.close()
        self.claim(self.summary_path)
        files = sorted(n for n in self._claimed if (self.root / n).is_file())
        content = {"rtface": _FORMAT, **summary, "source": asdict(self._source), "config": dict(self._config),
                   "files": files}
        write_atomic(self.summary_path, _json_bytes(content), durable=True)
        self.close()
        return self.summary_path

    def close(self) -> None:
        """Close the journal and release the folder; an unfinished run can be resumed."""
        lock, self._lock = self._lock, -1
        try:
            self.journal.close()
        finally:
            if lock >= 0:
                os.close(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _json_bytes(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="surrogateescape")


def _read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None when the file is missing or something else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _state(root: Path, claimed: set[str]) -> str:
    """``new``, ``unfinished`` or ``finished``; a run that stopped before it made anything counts as new."""
    if not (root / ".rtface" / "run.json").exists():
        return "new"
    summary = _read_json(root / "summary.json")
    if summary is not None and "rtface" in summary:
        return "finished"
    if any((root / name).exists() for name in claimed):
        return "unfinished"
    try:
        return "unfinished" if read_journal(root / ".rtface" / "journal.bin").frames else "new"
    except InputError:  # there, but not readable: the user decides
        return "unfinished" if (root / ".rtface" / "journal.bin").exists() else "new"


def _check_summary_is_ours(root: Path) -> None:
    """A new run may not replace somebody else's summary.json."""
    path = root / "summary.json"
    if path.exists():
        raise OutputError(f"{path} is there already and was not made by a run in this folder; move it away or choose "
                          "another folder")


def _take_lock(path: Path, root: Path) -> int:
    """An open handle that holds the folder's lock until it is closed (also when the process dies)."""
    with output_errors(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(handle)
        raise OutputError(f"{root} is in use by another run of rtface; wait for it or choose another folder") from exc
    except OSError:  # some network drives have no locks
        pass
    return handle


def _read_claims(path: Path) -> set[str]:
    """Relative names in files.txt that stay inside the folder; an incomplete last line is left out."""
    try:
        data = path.read_bytes()
    except OSError:
        return set()
    names = (os.fsdecode(line) for line in data[:data.rfind(b"\n") + 1].splitlines())
    return {n for n in names if n and not PurePosixPath(n).is_absolute() and ".." not in PurePosixPath(n).parts}


def _inside(root: Path, names: set[str]) -> Iterator[Path]:
    """Paths of claimed names whose folder really lies inside the root (not behind a link to elsewhere)."""
    real = os.path.realpath(root)
    for name in sorted(names):
        path = root / name
        folder = os.path.realpath(path.parent)
        if folder == real or folder.startswith(real + os.sep):
            yield path


def _remove_files(root: Path, names: set[str]) -> None:
    """Remove the claimed files, their temporaries, and folders that are empty then; summary.json first."""
    with output_errors(root):
        if "summary.json" in names:
            (root / "summary.json").unlink(missing_ok=True)
        _remove_temporaries(root, names)
        folders: set[Path] = set()
        for path in _inside(root, names):
            if path.is_file() or path.is_symlink():
                path.unlink()
            folders |= {p for p in path.parents if root in p.parents}
        for folder in sorted(folders, key=lambda p: len(p.parts), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        for name in ("run.json", "journal.bin", "files.txt"):
            (root / ".rtface" / name).unlink(missing_ok=True)


def _remove_temporaries(root: Path, names: set[str]) -> None:
    """Remove temporary files that a killed run left beside its claimed files."""
    by_folder: dict[Path, set[str]] = {}
    for path in _inside(root, names):
        by_folder.setdefault(path.parent, set()).add(path.name)
    for folder, wanted in by_folder.items():
        for path, final in temporaries_in(folder):
            if final in wanted:
                with contextlib.suppress(OSError):
                    path.unlink()


def _compare(root: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise unless an interrupted run had the same configuration, basis and source."""
    differences = list(_differences(before.get("config"), now["config"], ""))
    if before.get("basis") != now["basis"]:
        differences.append(f"basis was {before.get('basis')!r}, now {now['basis']!r}")
    old, new = before.get("source") or {}, now["source"]
    if old.get("name") != new["name"]:
        differences.append(f"source was {old.get('name')!r}, now {new['name']!r}")
    elif old.get("fingerprint") != new["fingerprint"]:
        differences.append(f"the source file {new['name']!r} has changed since")
    if before.get("format") != _FORMAT:
        differences.append("it was written by another version of rtface")
    if differences:
        raise OutputError(f"{root} holds an interrupted run that differs: {'; '.join(differences)}; repeat the earlier "
                          "options to resume, use --force to begin anew, or choose another folder")


def _differences(before: Any, now: Any, name: str) -> Iterator[str]:
    """Lines naming the entries in which two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name or 'config'} was {before!r}, now {now!r}"


def _resume_journal(path: Path, facts: Mapping[str, Any], basis: str) -> tuple[JournalWriter, Journal | None]:
    """The journal of an interrupted run; a new one when there is none."""
    if not path.exists():
        return JournalWriter(path, facts, basis=basis), None
    try:
        return JournalWriter.resume(path)
    except InputError as exc:
        raise OutputError(f"the interrupted run cannot be resumed: {exc}") from exc
