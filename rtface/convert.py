"""The job behind ``rtface convert``: a source in, files in a folder out, in a way that can be interrupted.

Order within a frame: files, journal, then (every few seconds) what the stages remember. A resumed run replays the
journal into the sinks that need all frames, lets the stages go over the few frames between the last state and the
last journal entry again, and goes on. An uninterrupted run gives the same files.
"""

from __future__ import annotations

import io
import math
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from rtface.config import PipelineConfig
from rtface.errors import InputError, MediaError, OutputError
from rtface.exports import DEFAULT_FORMATS, FORMATS, Format, file_sink, versions
from rtface.io import JournalFrame, MeshSequenceSink, RunFolder, Sink, Source, write_atomic
from rtface.io.atomic import sync_file
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.report import Summary, Tally
from rtface.run import PipelineState, Run
from rtface.stream import StageTimer, one_blas_thread
from rtface.types import Frame

STATE_EVERY_S: Final = 2.0
"""Wall time between two states on disk: what a resumed run computes again at most."""


class OpenAt(Protocol):
    """Opens the source so that it delivers the frames after a source index (-1: all)."""

    def __call__(self, after_index: int) -> Source: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """What to write, and how to treat what is there already."""

    formats: tuple[Format, ...] = DEFAULT_FORMATS
    overlay: Path | None = None
    """Video of the mesh over the source; None: none."""
    stages: Path | None = None
    """Video of input, mask, contour, completed crop and mesh side by side; None: none."""
    selection: Mapping[str, Any] = field(default_factory=dict)
    """How the source's frames were chosen (start, end, every), to compare with on resume."""
    resume: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not (self.formats or self.videos):
            raise InputError(f"format: got {', '.join(unknown) or 'none'}, expected some of {', '.join(FORMATS)}")
        if self.resume and self.force:
            raise InputError("got both --resume and --force, expected one: --resume goes on, --force begins anew")
        if self.overlay is not None and self.overlay == self.stages:
            raise InputError(f"--overlay and --stages: got {self.overlay} twice, expected two names")

    @property
    def videos(self) -> tuple[Path, ...]:
        """Files to write that show pictures."""
        return tuple(path for path in (self.overlay, self.stages) if path is not None)


def convert(open_at: OpenAt, out: Path, pipeline: Callable[[PipelineConfig, MorphableModel], Pipeline], *,
            config: PipelineConfig | None = None, options: ConvertOptions | None = None,
            progress: Callable[[int, int | None], None] = lambda done, expected: None) -> Summary:
    """Convert a source into the files that ``options`` name, in the folder ``out``.

    pipeline: makes the chain (:class:`Pipeline` with keyword model, or one with other engines).
    progress: called after every frame with the frames done and about how many there are (None: unknown).

    Raises any RtfaceError; finished frames stay in the folder then, for ``resume``. On KeyboardInterrupt too.
    """
    config, options = config or PipelineConfig(), options or ConvertOptions()
    meshes = options.overlay is not None or bool({"obj", "ply"} & set(options.formats))
    config = replace(config, meshes=meshes)
    with ExitStack() as stack:
        stack.enter_context(one_blas_thread())
        source = stack.enter_context(open_at(-1))
        for path in options.videos:
            if path.exists() and not (options.force or options.resume):
                raise OutputError(f"{path} is there already; use --force to replace it, or choose another name")
        if options.stages is not None and config.occlusion.recipe == "off":
            raise InputError("--stages: got the recipe off, expected one that looks for occlusion; "
                             "use --recipe contour")
        model = MorphableModel.load()
        chain = stack.enter_context(pipeline(config, model))
        shown = stack.enter_context(_video_sinks(options, model, source))
        folder = stack.enter_context(RunFolder.prepare(
            out, config=_deciding(config, options), source=source.info, basis=model.basis_id, versions=versions(),
            resume=options.resume, force=options.force))
        job = _Job(folder, chain, model, source, options, shown)
        stack.push(job.abort_on_error)
        return job.run(open_at, progress)


@contextmanager
def _video_sinks(options: ConvertOptions, model: MorphableModel, source: Source) -> Iterator[dict[Path, Sink]]:
    """The sinks that show pictures, made before anything is written: whether there is OpenGL shows here."""
    info, sinks = source.info, dict[Path, Sink]()
    try:
        if options.overlay is not None:
            from rtface.overlay import OverlaySink  # OpenGL is loaded only when it is needed
            sinks[options.overlay] = OverlaySink(options.overlay, model, height=info.height, width=info.width,
                                                 fps=info.fps)
        if options.stages is not None:
            from rtface.stage_view import StagesSink
            sinks[options.stages] = StagesSink(options.stages, model, fps=info.fps)
        yield sinks
    finally:
        for sink in sinks.values():
            sink.abort()  # after finish there is nothing left to remove


def _deciding(config: PipelineConfig, options: ConvertOptions) -> dict[str, Any]:
    """The part of the options that decides what is in the files."""
    pipeline = config.to_dict()
    for name in ("threads", "stage_threads", "meshes"):
        del pipeline[name]
    return {"pipeline": pipeline, "formats": sorted(options.formats), "selection": dict(options.selection),
            "overlay": str(options.overlay.resolve()) if options.overlay else None,
            "stages": str(options.stages.resolve()) if options.stages else None}


class _Job:
    """One conversion; lives in one thread."""

    def __init__(self, folder: RunFolder, chain: Pipeline, model: MorphableModel, source: Source,
                 options: ConvertOptions, shown: Mapping[Path, Sink]) -> None:
        self._folder, self._chain, self._source, self._options = folder, chain, source, options
        self._tally, self._timer = Tally(), StageTimer()
        self._state_path = folder.root / ".rtface" / "state.npz"
        folder.claim(self._state_path)
        self._sinks: list[Sink] = []
        try:
            for name in dict.fromkeys(options.formats):
                self._sinks.append(file_sink(name, folder.root, model, source.info, folder.claim))
            for path, sink in shown.items():
                folder.claim(path)
                self._sinks.append(sink)
        except BaseException:
            self._abort()
            raise

    def run(self, open_at: OpenAt, progress: Callable[[int, int | None], None]) -> Summary:
        """All frames, then the summary."""
        done = self._folder.done
        frames: Sequence[JournalFrame] = done.frames if done is not None else ()
        last = frames[-1].index if frames else -1
        expected = self._source.expected_frames
        self._replay(frames, open_at, lambda count: progress(count, expected))
        started = time.perf_counter()
        state = self._load_state(last)
        after = state.after_index if state is not None else -1
        reach = self._chain.config.gaps.max_gap_s + self._chain.config.gaps.hold_s
        recent = [f.to_result() for f in _up_to(frames, after, reach)]
        with open_at(after) as source, self._chain.run(source, state=state, recent=recent) as run:
            self._go_on(run, last, lambda count: progress(count, expected))
            problems = list(source.problems)
            times = run.times()
        if not self._tally.frames:
            raise MediaError(f"{self._source.info.name}: got no frame, expected at least one; "
                             f"widen --start and --end")
        with self._timer.stage("finish"):
            files = [path for sink in self._sinks for path in sink.finish()]
        self._timer.end_frame()
        times |= self._timer.summary()
        seconds = time.perf_counter() - started
        summary = self._tally.summary(seconds=seconds, computed=self._tally.frames - len(frames), times=times,
                                      backends=self._chain.backends, backend_choice=str(self._chain.choice or ""),
                                      problems=problems, files=files)
        self._state_path.unlink(missing_ok=True)
        self._folder.finish(asdict(summary))
        return summary

    def _go_on(self, run: Run, last: int, progress: Callable[[int], None]) -> None:
        """Write the results after source index ``last``; those before are in the journal already."""
        saved = time.monotonic()
        for result in run:
            if result.frame.index <= last:
                continue
            with self._timer.stage("write"):
                for sink in self._sinks:
                    sink.write(result)
                self._folder.journal.append(result)
            self._timer.end_frame()
            self._tally.add(result)
            progress(self._tally.frames)
            if run.state is not None and time.monotonic() - saved > STATE_EVERY_S:
                self._save_state(run.state)
                saved = time.monotonic()

    def _replay(self, frames: Sequence[JournalFrame], open_at: OpenAt, progress: Callable[[int], None]) -> None:
        """Bring the sinks to where they were; files of single frames are there already."""
        sinks = [sink for sink in self._sinks if not isinstance(sink, MeshSequenceSink)]
        needs_pixels = bool(self._options.videos)
        with ExitStack() as stack:
            pictures: Iterator[Frame] = iter(stack.enter_context(open_at(-1))) if needs_pixels and frames else iter(())
            for entry in frames:
                result = entry.to_result()
                if needs_pixels:
                    picture = next((p for p in pictures if p.index == entry.index), None)
                    if picture is None:
                        raise InputError(f"frame {entry.index}: got no such frame in the source, expected those of "
                                         f"the interrupted run; begin anew with --force")
                    result = replace(result, frame=picture)
                    if self._options.stages is not None:
                        result = self._chain.add_occlusion(result)
                    result = self._chain.add_mesh(result)
                for sink in sinks:
                    sink.write(result)
                self._tally.add(result)
                progress(self._tally.frames)

    def _save_state(self, state: PipelineState) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, after_index=np.array(state.after_index), **state.arrays)
        sync_file(self._folder.journal.path)  # the journal on disk is never behind the state
        write_atomic(self._state_path, buffer.getvalue(), durable=True)

    def _load_state(self, last: int) -> PipelineState | None:
        """The state on disk; None when there is none that fits, then all frames are computed again."""
        if last < 0 or not self._state_path.is_file():
            return None
        try:
            with np.load(io.BytesIO(self._state_path.read_bytes()), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            return None
        after = int(arrays.pop("after_index", np.array(math.inf)))
        return PipelineState(after, arrays) if after <= last else None

    def _abort(self) -> None:
        for sink in self._sinks:
            sink.abort()

    def abort_on_error(self, kind: type[BaseException] | None, *_: object) -> None:
        """Remove temporary files when the block ends with an error."""
        if kind is not None:
            self._abort()


def _up_to(frames: Sequence[JournalFrame], index: int, reach_s: float) -> Iterable[JournalFrame]:
    """The entries of the last ``reach_s`` seconds up to a source index."""
    before = [frame for frame in frames if frame.index <= index]
    return [frame for frame in before if frame.pts_s >= before[-1].pts_s - reach_s]
