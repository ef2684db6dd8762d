"""Takes of a live run: video and coefficient log while it runs, meshes and curves when it ends.

A take is a folder like that of a converted video. While it is recorded it holds ``video.mp4``, written in pieces that
can be read each by itself, and ``.rtface/journal.bin``, one record per frame; a kill at any moment costs at most the
last half second of the video and nothing of the log. When a take ends, its log is replayed into the wanted formats;
after a kill ``rtface convert TAKE OUT`` does the same.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from rtface.errors import InputError, OutputError, RtfaceError
from rtface.exports import FORMATS, Format, versions
from rtface.io import RunFolder, SourceInfo, VideoSink, check_output_folder, read_journal
from rtface.io.atomic import output_errors
from rtface.morphable import MorphableModel
from rtface.replay import VIDEO, write_files
from rtface.report import Tally
from rtface.stream import BoundedChannel
from rtface.types import Coefficients, Frame, FrameResult

WAITING: Final = 16
"""Frames that may wait for the encoder; beyond that the oldest one is dropped."""


class Recorder:
    """Begins and ends takes; :meth:`write` hands results to the one that is going on and never waits.

    Takes are numbered: FOLDER/take-001, take-002, … A take that fails (a full disk) ends with what it has, and is
    told to ``say`` and in ``problems``; the live run goes on.
    """

    def __init__(self, folder: Path, model: MorphableModel, source: SourceInfo, *, formats: Sequence[Format],
                 config: Mapping[str, Any], say: Callable[[str], None] = lambda line: None) -> None:
        """formats: of the files made when a take ends, may be none. config: for run.json."""
        unknown = [name for name in formats if name not in FORMATS]
        if unknown:
            raise InputError(f"--format: got {', '.join(unknown)}, expected some of {', '.join(FORMATS)}")
        self._folder, self._model, self._source = folder, model, source
        self._formats, self._config, self._say = tuple(formats), dict(config), say
        self._take: _Take | None = None
        self._takes: list[_Take] = []
        self._number = 0
        self._lock = threading.Lock()

    @property
    def take(self) -> str | None:
        """Name of the take that is going on."""
        take = self._going_on()
        return take.root.name if take is not None else None

    @property
    def seconds(self) -> float:
        """How long the take that is going on lasts."""
        take = self._going_on()
        return time.monotonic() - take.began if take is not None else 0.0

    @property
    def dropped(self) -> int:
        """Frames that the encoder was too slow for, over all takes."""
        return sum(take.frames.dropped for take in self._takes)

    @property
    def problems(self) -> list[str]:
        return [take.problem for take in self._takes if take.problem is not None]

    @property
    def folders(self) -> list[Path]:
        """Takes that hold something."""
        return [take.root for take in self._takes if take.tally.frames]

    def _going_on(self) -> _Take | None:
        take = self._take
        return take if take is not None and take.problem is None else None

    def start(self) -> Path:
        """Begin a take and return its folder; nothing new happens while one is going on. OutputError: no folder."""
        with self._lock:
            take = self._going_on()
            if take is None:
                check_output_folder(self._folder)
                self._number += 1
                while (root := self._folder / f"take-{self._number:03d}").exists():
                    self._number += 1
                with output_errors(root):
                    root.mkdir()
                take = self._take = _Take(root, self)
                self._takes.append(take)
            return take.root

    def stop(self) -> None:
        """End the take; its files are made in its own thread, see :meth:`close`."""
        with self._lock:
            take, self._take = self._take, None
        if take is not None:
            take.frames.close()

    def toggle(self) -> None:
        """Begin or end a take."""
        if self._going_on() is None:
            self.start()
        else:
            self.stop()

    def write(self, result: FrameResult) -> None:
        """Hand over a result; what it refers to is copied, but for the frame's pixels, which nobody changes."""
        take = self._going_on()
        if take is not None:
            take.put(result)

    def close(self) -> None:
        """End the take and wait until all files of all takes are written."""
        self.stop()
        for take in self._takes:
            take.thread.join()


class _Take:
    """One recording, written in a thread of its own."""

    def __init__(self, root: Path, owner: Recorder) -> None:
        self.root, self.began = root, time.monotonic()
        self.tally = Tally()
        self.problem: str | None = None
        self.frames: BoundedChannel[FrameResult] = BoundedChannel(WAITING, "drop_oldest")
        self._owner = owner
        self.thread = threading.Thread(target=self._work, name=f"rtface-{root.name}", daemon=True)
        self.thread.start()

    def put(self, result: FrameResult) -> None:
        c = result.coefficients
        kept = replace(result, coefficients=Coefficients.from_vector(c.to_vector(), c.basis), occlusion=None,
                       completion=None, mesh=None)
        try:
            self.frames.send(kept)
        except RtfaceError:  # it has ended in the meantime
            return

    def _work(self) -> None:
        try:
            self._record()
        except RtfaceError as exc:
            self.problem = f"{self.root.name} ended early: {exc}"
            self._owner._say(self.problem)
        except Exception as exc:  # noqa: BLE001  a thread must not die silently
            self.problem = f"{self.root.name} ended early: {type(exc).__name__}: {exc}"
            self._owner._say(self.problem)
        finally:
            self.frames.cancel()

    def _record(self) -> None:
        """All frames, on a clock that starts with the first one and with numbers without gaps."""
        owner, first = self._owner, None
        info = owner._source
        with RunFolder.prepare(self.root, config=owner._config, source=info, basis=owner._model.basis_id,
                               versions=versions()) as folder:
            folder.claim(self.root / VIDEO)
            video = VideoSink(self.root / VIDEO, fps=info.fps or 30.0, streaming=True)
            try:
                for index, result in enumerate(self.frames):
                    first = result.frame.pts_s if first is None else first
                    frame = Frame(result.frame.pixels, index, result.frame.pts_s - first, result.frame.captured_ns)
                    lost = self.frames.dropped_before + (result.dropped_before if index else 0)
                    entry = replace(result, frame=frame, dropped_before=lost)
                    video.write(frame.pixels, frame.pts_s)
                    folder.journal.append(entry)
                    self.tally.add(entry)
                files = video.finish()
            except OutputError:
                video.abort()
                raise
            if self.tally.frames:
                self._finish(folder, files)
        if not self.tally.frames:
            shutil.rmtree(self.root, ignore_errors=True)  # made by start(), and still empty but for the run's facts

    def _finish(self, folder: RunFolder, files: list[Path]) -> None:
        """Replay the log into the wanted formats, and write the take's summary."""
        owner, seconds = self._owner, time.monotonic() - self.began
        if owner._formats:
            files += write_files(read_journal(folder.journal.path).frames, folder, owner._model, owner._source,
                                 formats=owner._formats)[0]
        summary = self.tally.summary(seconds=seconds, computed=self.tally.frames, times={}, backends={}, problems=(),
                                     files=files)
        lost = self.frames.dropped
        notes = [f"{lost} frames were dropped because the encoder was busy"] * bool(lost)
        folder.finish(asdict(replace(summary, notes=[*summary.notes, *notes])))
