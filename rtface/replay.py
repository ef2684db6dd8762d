"""A run's log to files, without a network: what ``rtface convert`` does with a recording.

A recording is a folder with ``.rtface/journal.bin``: a take of ``rtface live``, also one that was killed, or what
``rtface convert`` wrote; or such a journal by itself. A take's ``video.mp4`` lends the pictures for an overlay.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Final

from rtface.convert import ConvertOptions
from rtface.errors import InputError, MediaError, OutputError
from rtface.exports import Format, file_sink, versions
from rtface.io import Journal, JournalFrame, RunFolder, Sink, SourceInfo, open_source, read_journal
from rtface.io.journal import MAGIC
from rtface.io.source import fingerprint
from rtface.io.timeline import Picker, Selection
from rtface.morphable import MorphableModel
from rtface.report import Summary, Tally
from rtface.stages.mesh import MeshBuilder
from rtface.stream import one_blas_thread
from rtface.types import Array

VIDEO: Final = "video.mp4"
"""Name of a take's video."""
_SAME_S: Final = 2e-3
"""A picture and an entry of the log whose times differ by less belong together."""


def find_log(path: str | os.PathLike[str]) -> Path | None:
    """The journal of a recording, or the file itself when it is a journal; None for anything else."""
    path = Path(path)
    try:
        if path.is_dir():
            inside = path / ".rtface" / "journal.bin"
            return inside if inside.is_file() else None
        if path.is_file():
            with path.open("rb") as file:
                return path if file.read(len(MAGIC))[:7] == MAGIC[:7] else None
    except OSError:
        return None
    return None


def replay(log: Path, out: Path, *, options: ConvertOptions | None = None,
           progress: Callable[[int, int | None], None] = lambda done, expected: None) -> Summary:
    """Write a journal's frames (:func:`find_log`) to the files that ``options`` name, in the folder ``out``.

    Of the options' selection start_s, end_s and every are followed. Raises InputError for a journal that cannot be
    read or belongs to another face model, and for options that need networks; OutputError when the disk refuses.
    """
    options = options or ConvertOptions()
    if options.resume:
        raise InputError("--resume: got it with a recording, expected a video; a replay is quick, use --force")
    if options.stages is not None:
        raise InputError("--stages: got it with a recording, which holds no masks; convert its video.mp4 instead")
    journal, model = read_journal(log), MorphableModel.load()
    recording = log.parent.parent if log.parent.name == ".rtface" else log.parent
    source = _source(journal, recording, log)
    if journal.basis != model.basis_id:
        raise InputError(f"{log}: got a journal of the face model {journal.basis!r}, expected {model.basis_id!r}")
    if out.resolve() == recording.resolve():
        raise OutputError(f"{out} is the recording itself; choose another folder")
    if options.overlay is not None and options.overlay.exists() and not options.force:
        raise OutputError(f"{options.overlay} is there already; use --force to replace it, or choose another name")
    config = {"replay": True, "formats": sorted(options.formats), "selection": dict(options.selection),
              "overlay": str(options.overlay.resolve()) if options.overlay else None}
    with ExitStack() as stack:
        stack.enter_context(one_blas_thread())
        overlay = (options.overlay, Pictures(recording / VIDEO)) if options.overlay is not None else None
        frames = list(_selected(journal, options.selection))
        if not frames:
            raise MediaError(f"{log}: got no frame in the recording, expected at least one; widen --start and --end")
        folder = stack.enter_context(RunFolder.prepare(out, config=config, source=source, basis=model.basis_id,
                                                       versions=versions(), force=options.force))
        started, tally = time.perf_counter(), Tally()
        for entry in frames:
            result = entry.to_result()
            folder.journal.append(result)
            tally.add(result)
        files, missing = write_files(frames, folder, model, source, formats=options.formats, overlay=overlay,
                                     progress=progress)
        notes = [f"the video ends early: {missing} frames of the log have no picture"] * bool(missing)
        notes += ["the recording was cut off; its last frame was not whole"] * bool(journal.discarded_bytes)
        summary = tally.summary(seconds=time.perf_counter() - started, computed=len(frames), times={}, backends={},
                                problems=(), files=files)
        summary = replace(summary, notes=[*summary.notes, *notes])
        folder.finish(asdict(summary))
        return summary


def _source(journal: Journal, recording: Path, log: Path) -> SourceInfo:
    """What the recorded run's source was, as its journal or run.json says; the log itself where neither does."""
    facts: Any = journal.metadata.get("source")
    known = {f.name for f in fields(SourceInfo)}
    if isinstance(facts, dict) and facts.keys() == known:
        return SourceInfo(**facts)
    first = journal.frames[0] if journal.frames else None
    width, height = (first.width, first.height) if first is not None else (0, 0)
    return SourceInfo(recording.name, "video", width, height, None, len(journal.frames), None, 0, "journal",
                      fingerprint([log]))


def _selected(journal: Journal, selection: Mapping[str, Any]) -> Iterator[JournalFrame]:
    chosen = Selection(selection.get("start_s"), selection.get("end_s"), selection.get("every", 1))
    picker = Picker(chosen)
    for entry in journal.frames:
        choice = picker.pick(entry.index, entry.pts_s)
        if choice == "stop":
            return
        if choice == "take":
            yield entry


def write_files(frames: Sequence[JournalFrame], folder: RunFolder, model: MorphableModel, source: SourceInfo, *,
                formats: Sequence[Format], overlay: tuple[Path, Pictures] | None = None,
                progress: Callable[[int, int | None], None] = lambda done, expected: None) -> tuple[list[Path], int]:
    """Write the frames of a log to files in a run's folder, and over a video's pictures.

    Returns the files, and how many frames have no picture. Nothing half-written stays after an error.
    """
    missing, sinks, shown = 0, list[Sink](), None
    try:
        for name in dict.fromkeys(formats):
            sinks.append(file_sink(name, folder.root, model, source, folder.claim))
        if overlay is not None:
            from rtface.overlay import OverlaySink  # OpenGL is loaded only when it is needed
            folder.claim(overlay[0])
            shown = OverlaySink(overlay[0], model, height=frames[0].height, width=frames[0].width, fps=source.fps)
            sinks.append(shown)
        builder = MeshBuilder(model) if any(sink.needs_mesh for sink in sinks) else None
        for done, entry in enumerate(frames if sinks else (), 1):
            result = entry.to_result()
            if builder is not None:
                result = replace(result, mesh=builder.build(result.coefficients, result.regions))
            pixels = overlay[1].at(entry.pts_s) if overlay is not None else None
            missing += shown is not None and pixels is None
            for sink in sinks:
                if sink is not shown:
                    sink.write(result)
                elif pixels is not None:
                    sink.write(replace(result, frame=replace(result.frame, pixels=pixels)))
            progress(done, len(frames))
        return [path for sink in sinks for path in sink.finish()], missing
    except BaseException:
        for sink in sinks:
            sink.abort()
        raise


class Pictures:
    """The pictures of a take's video by their times, asked for in order."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"--overlay: got a recording without {path.name}, expected the folder of a take of "
                             f"rtface live; leave --overlay out, or convert the video itself")
        self._frames = iter(open_source(path))
        self._next = next(self._frames, None)

    def at(self, pts_s: float) -> Array | None:
        """(H, W, 3) uint8, or None when the video has no picture of that time."""
        while self._next is not None and self._next.pts_s < pts_s - _SAME_S:
            self._next = next(self._frames, None)
        if self._next is None or self._next.pts_s > pts_s + _SAME_S:
            return None
        return self._next.pixels
