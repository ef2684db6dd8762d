"""What a run says at its end: counted from results, written to summary.json, shown as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rtface.stream import StageTimes
from rtface.types import FaceStatus, FrameResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A finished run in numbers."""

    frames: int
    frames_with_face: int
    """Frames with at least one face, held and interpolated ones included."""
    faces: int
    """Different faces (ids) over the run."""
    tracked: int
    """Faces in frames, measured there."""
    held: int
    """Faces in frames, repeated from the frame before."""
    interpolated: int
    """Faces in frames, filled in between two measured ones."""
    absent: int
    """Faces in frames in which they are not present, over all ids."""
    hidden: int
    """Faces in frames that something hid, of this session's frames."""
    completed: int
    """Those of them that were completed before regression; all others skipped the way."""
    mean_confidence: float | None
    """Of measured faces; None without any."""
    detections: int
    """Frames in which the detector ran."""
    clip_s: float
    """Time from the first to the last frame."""
    computed: int
    """Frames that this session computed; the others came from an interrupted run."""
    seconds: float
    """Wall time of this session's frames, files included."""
    fps: float
    """Computed frames per second of wall time."""
    stages: Mapping[str, Mapping[str, float]]
    """Per stage: count, mean_ms, p50_ms, p95_ms, total_ms, of this session."""
    backends: Mapping[str, str]
    """What ran each network."""
    backend_choice: str
    """Which backend was taken, and why; empty when the networks came from elsewhere."""
    notes: Sequence[str]
    """What a reader should know: damage in the source, no face anywhere."""
    outputs: Sequence[str]
    """Files written at the end, by their paths."""

    def lines(self) -> list[str]:
        """The summary as text for people."""
        share = 100 * self.frames_with_face / max(self.frames, 1)
        resumed = f" ({self.frames - self.computed} of them from the interrupted run)" if self.computed < self.frames \
            else ""
        sure = f", mean confidence {self.mean_confidence:.2f}" if self.mean_confidence is not None else ""
        out = [f"frames   {self.frames}{resumed}, {self.clip_s:.2f} s of video",
               f"faces    {self.faces}, in {share:.1f} % of the frames{sure}",
               f"status   {self.tracked} tracked, {self.held} held, {self.interpolated} interpolated, "
               f"{self.absent} absent",
               f"speed    {self.fps:.1f} fps ({self.seconds:.2f} s for {self.computed} frames)"]
        if self.backend_choice:
            out.append(f"backend  {self.backend_choice}")
        if self.hidden:
            out.insert(3, f"hidden   something before the face {self.hidden} times, {self.completed} completed")
        if self.stages:
            out += ["", f"{'stage':<12}{'runs':>7}{'mean ms':>10}{'p50':>8}{'p95':>8}{'total s':>10}"]
            out += [f"{name:<12}{int(t['count']):>7}{t['mean_ms']:>10.2f}{t['p50_ms']:>8.2f}{t['p95_ms']:>8.2f}"
                    f"{t['total_ms'] / 1000:>10.2f}" for name, t in self.stages.items()]
        out += [""] * bool(self.notes) + [f"note: {note}" for note in self.notes]
        return out + [""] + [f"wrote {path}" for path in self.outputs]


class Tally:
    """Counts results as they come."""

    def __init__(self) -> None:
        self.frames = 0
        self._with_face = 0
        self._ids: set[int] = set()
        self._status: Counter[FaceStatus] = Counter()
        self._confidence = 0.0
        self._detections = self._hidden = self._completed = 0
        self._first_s = self._last_s = 0.0

    def add(self, result: FrameResult) -> None:
        """Count one frame."""
        if not self.frames:
            self._first_s = result.frame.pts_s
        self._last_s = result.frame.pts_s
        self.frames += 1
        self._with_face += any(status is not FaceStatus.ABSENT for status in result.status)
        self._detections += "detect" in result.timings_ms
        if result.occlusion is not None:
            self._hidden += int(result.occlusion.mask.any(axis=(1, 2, 3)).sum())
        self._completed += len(result.completion) if result.completion is not None else 0
        for identifier, status, sure in zip(result.tracks.ids.tolist(), result.status, result.confidence.tolist(),
                                            strict=True):
            self._ids.add(identifier)
            self._status[status] += 1
            self._confidence += sure if status is FaceStatus.TRACKED else 0.0

    def summary(self, *, seconds: float, computed: int, times: Mapping[str, StageTimes], backends: Mapping[str, str],
                problems: Sequence[str], files: Sequence[Path], backend_choice: str = "") -> Summary:
        """The numbers of the run; seconds and stage times are this session's."""
        notes = [f"the source is damaged: {line}" for line in problems]
        if not self._ids:
            notes.append("no face was found in any frame; if there is one, it may be smaller than 16 px or mostly "
                         "hidden")
        present = sum(self._status[s] for s in FaceStatus if s is not FaceStatus.ABSENT)
        tracked = self._status[FaceStatus.TRACKED]
        stages: dict[str, dict[str, Any]] = {
            name: {"count": t.count, **{key: round(getattr(t, key), 4) for key in ("mean_ms", "p50_ms", "p95_ms",
                                                                                  "total_ms")}}
            for name, t in times.items()}
        return Summary(frames=self.frames, frames_with_face=self._with_face, faces=len(self._ids), tracked=tracked,
                       held=self._status[FaceStatus.HELD], interpolated=self._status[FaceStatus.INTERPOLATED],
                       absent=self.frames * len(self._ids) - present,
                       hidden=self._hidden, completed=self._completed,
                       mean_confidence=round(self._confidence / tracked, 4) if tracked else None,
                       detections=self._detections, clip_s=round(self._last_s - self._first_s, 6), computed=computed,
                       seconds=round(seconds, 4), fps=round(computed / max(seconds, 1e-9), 2), stages=stages,
                       backends=dict(backends), backend_choice=backend_choice,
                       notes=notes, outputs=[str(path) for path in _folded(files)])


def _folded(files: Sequence[Path]) -> list[Path]:
    """Mesh sequences as their folder, other files as they are."""
    out: dict[Path, None] = {}
    for path in files:
        sequence = path.suffix in (".obj", ".ply")
        out[path.parent.parent if sequence else path] = None
    return list(out)
