"""What the window shows of a live run, and what its keys do. Belongs to the main thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from rtface.config import Recipe
from rtface.errors import RtfaceError
from rtface.io import SourceInfo
from rtface.live import hud
from rtface.live.recorder import Recorder
from rtface.live.session import LiveSession
from rtface.morphable import MorphableModel
from rtface.overlay import FaceScene
from rtface.pipeline import Pipeline
from rtface.render import MeshRenderer, Style
from rtface.render.window import Label, Window
from rtface.stage_view import GROUND, PANELS, SIDE, StageRow
from rtface.types import FrameResult

VIEWS: Final = ("mesh over video", "mesh alone", "stages")
COLUMNS: Final = 3
"""Of the panels of stages, which are as many as :data:`rtface.stage_view.PANELS`."""
GRID: Final = (COLUMNS * SIDE, math.ceil(len(PANELS) / COLUMNS) * SIDE)
"""Width and height in px of them all; one place is free, where the numbers go."""
RECIPES: Final[tuple[Recipe, ...]] = ("off", "mask", "contour")
IDLE_S: Final = 0.03
"""Events of the window are taken at least so often."""
PANELS_S: Final = 0.2
"""Numbers change at most so often: faster ones cannot be read."""
MESSAGE_S: Final = 2.5


@dataclass(slots=True)
class ViewState:
    """What the keys have changed."""

    view: int = 0
    """Index into :data:`VIEWS`."""
    wireframe: bool = False
    albedo: bool = False
    mirror: bool = False
    frozen: bool = False
    help: bool = False
    quit: bool = False
    message: str = ""
    message_until: float = 0.0

    def style(self) -> Style:
        """How faces are drawn."""
        mode: Any = "wireframe" if self.wireframe else "albedo" if self.albedo else "lit"
        return Style(mode=mode, opacity=0.85 if self.view == 0 and not self.wireframe else 1.0)


class Screen:
    """A window for one live run; a context manager."""

    def __init__(self, source: SourceInfo, model: MorphableModel, pipeline: Pipeline, recorder: Recorder, *,
                 mirror: bool = False, say: Callable[[str], None] = lambda line: None) -> None:
        """RenderError when no window can be opened."""
        self.state = ViewState(mirror=mirror)
        self._pipeline, self._recorder, self._say = pipeline, recorder, say
        width = min(max(source.width, 960), 1280)
        with ExitStack() as stack:
            self._window = stack.enter_context(Window(f"rtface - {source.name}", width,
                                                      max(1, round(width * source.height / source.width)),
                                                      on_key=self.press))
            context = self._window.context
            samples = 0 if self._window.software else 4
            self._renderer = stack.enter_context(MeshRenderer(context, source.height, source.width, samples=samples))
            self._row = StageRow(model, stack.enter_context(MeshRenderer(context, SIDE, SIDE, samples=samples)))
            self._stack = stack.pop_all()
        self._scene = FaceScene(model)
        self._result: FrameResult | None = None
        self._texture: Any = None
        self._panels: list[Label] = []
        self._panels_due = 0.0
        self._stale = True
        self._keys = self._actions()

    def _actions(self) -> dict[str, tuple[str, Callable[[], None]]]:
        """Key → what it says on H, and what it does."""
        state = self.state

        def flip(name: str) -> Callable[[], None]:
            return lambda: setattr(state, name, not getattr(state, name))

        return {
            "h": ("show or hide the keys", flip("help")),
            "v": ("view: over the video, mesh alone, stages", self._next_view),
            "o": ("recipe for what hides a face: off, mask, contour", self._next_recipe),
            "w": ("wireframe", flip("wireframe")),
            "a": ("albedo: colours without light", flip("albedo")),
            "f": ("freeze the picture; the run goes on (space too)", flip("frozen")),
            "m": ("mirror the picture, not the results", flip("mirror")),
            "r": ("record: begin or end a take", self._record),
            "n": ("calibrate neutral: rest your face for a second", self._calibrate),
            "i": ("reset identity: forget who the faces are", self._reset_identity),
            "q": ("quit (Esc too)", lambda: setattr(state, "quit", True)),
        }

    def press(self, key: str) -> None:
        """Act on a key as if it had been pressed in the window; unknown ones do nothing."""
        key = {"escape": "q", "space": "f"}.get(key, key)
        if key in self._keys:
            try:
                self._keys[key][1]()
            except RtfaceError as exc:
                self._tell(str(exc))
                self._say(str(exc))
            self._stale, self._panels_due = True, 0.0

    def _next_view(self) -> None:
        self.state.view = (self.state.view + 1) % len(VIEWS)

    def _next_recipe(self) -> None:
        self._pipeline.set_recipe(RECIPES[(RECIPES.index(self._pipeline.recipe) + 1) % len(RECIPES)])
        self._tell(f"recipe {self._pipeline.recipe}")

    def _record(self) -> None:
        self._recorder.toggle()
        take = self._recorder.take
        self._tell(f"recording {take}" if take else "take ended")

    def _calibrate(self) -> None:
        self._pipeline.calibrate_neutral()
        self._tell("calibrating neutral: rest your face")

    def _reset_identity(self) -> None:
        self._pipeline.reset_identity()
        self._tell("identity reset")

    def _tell(self, message: str) -> None:
        self.state.message, self.state.message_until = message, time.monotonic() + MESSAGE_S

    def show(self, session: LiveSession, duration_s: float | None = None) -> None:
        """Draw the newest results until the run ends, the window is closed, or time is up. Raises the run's errors."""
        while not (session.ended or self._window.closing or self.state.quit):
            if duration_s is not None and session.seconds >= duration_s:
                return
            self.step(session, IDLE_S)

    def step(self, session: LiveSession, wait_s: float) -> None:
        """Wait for a result, draw, and take events: one turn of :meth:`show`."""
        result = session.newest(wait_s)
        fresh = result is not None and not self.state.frozen
        if fresh:
            self._result = result
        due = time.monotonic() >= self._panels_due
        if not (fresh or self._stale or due):
            self._window.poll()
            return
        if self._result is not None and (fresh or self._stale):
            self._texture = self._draw(self._result)
            self._stale = False
        if due:
            self._panels = self._make_panels(session)
            self._panels_due = time.monotonic() + PANELS_S
        self._window.show(self._texture, [*self._panels, *self._tags()], mirror=self._mirrored)
        if fresh and result is not None:
            session.meter.drawn(result, time.monotonic_ns())

    @property
    def _mirrored(self) -> bool:
        return self.state.mirror and self.state.view != 2

    def _draw(self, result: FrameResult) -> Any:
        """The picture as a texture."""
        if self.state.view == 2:
            return self._window.upload(in_columns(self._row.row(result)))
        style, groups = self.state.style(), self._scene.groups(result)
        pixels = np.ascontiguousarray(result.frame.pixels)
        if self.state.view == 1:
            self._renderer.resize(*pixels.shape[:2])
            return self._renderer.draw([face for faces, _ in groups for face in faces], style=style)
        for faces, opacity in groups[:-1]:  # guessed ones lie below
            pixels = self._renderer.render_overlay(pixels, faces, style=replace(style, opacity=style.opacity * opacity))
        faces, opacity = groups[-1] if groups else ([], 1.0)
        return self._renderer.draw(faces, style=replace(style, opacity=style.opacity * opacity), background=pixels)

    def _make_panels(self, session: LiveSession) -> list[Label]:
        width, height = self._window.size
        x, y = 12, 12
        if self.state.view == 2:  # where no panel of stages is
            area = self._window.area(*GRID)
            x, y = area.x + area.width * (COLUMNS - 1) // COLUMNS + 12, area.y + area.height // 2 + 12
        stats = hud.text_panel(self._lines(session))
        out = [Label(stats, x, y)]
        if self.state.help:
            keys = hud.help_panel([(key.upper(), text) for key, (text, _) in self._keys.items()])
            out.append(Label(keys, 12, 12 if y > 12 else stats.shape[0] + 24))
        faces = self._readings()
        if faces:
            panel = hud.faces_panel(faces)
            out.append(Label(panel, width - panel.shape[1] - 12, max(12, height - panel.shape[0] - 12)))
        return out

    def _lines(self, session: LiveSession) -> list[tuple[str, hud.Ink]]:
        state, now, recorder = self.state, session.meter.reading(time.monotonic_ns()), self._recorder
        speed = f"{now.fps:.1f} fps" + ("" if math.isnan(now.p50_ms) else
                                        f"   latency p50 {now.p50_ms:.0f}  p99 {now.p99_ms:.0f} ms")
        lost = {**session.drops, "encoder busy": recorder.dropped, "window busy": session.undrawn}
        dropped = [f"{n} {why}" for why, n in lost.items() if n] or ["none"]
        lines = [(speed, hud.PLAIN), ("dropped " + ", ".join(dropped[:2]), hud.DIM),
                 *((", ".join(dropped[k:k + 2]), hud.DIM) for k in range(2, len(dropped), 2)),
                 (f"{VIEWS[state.view]}   recipe {self._pipeline.recipe}" + "   mirrored" * self._mirrored, hud.DIM)]
        if recorder.take is not None:
            lines.append((f"REC {recorder.take}  {recorder.seconds:.0f} s", hud.RED))
        lines += [(problem[:100], hud.RED) for problem in recorder.problems[-1:]]
        if state.frozen:
            lines.append(("frozen (F)", hud.WARN))
        if self._pipeline.calibrating:
            lines.append(("calibrating neutral ...", hud.WARN))
        elif time.monotonic() < state.message_until:
            lines.append((state.message[:100], hud.WARN))
        return [*lines, *([] if state.help else [("H keys", hud.DIM)])]

    def _readings(self) -> list[hud.FaceReading]:
        r = self._result
        if r is None:
            return []
        return [hud.FaceReading(int(r.tracks.ids[k]), r.status[k], float(r.confidence[k]),
                                tuple(r.regions[k].tolist())) for k in range(min(len(r.tracks), 4))]

    def _tags(self) -> list[Label]:
        """Ids at the faces' boxes, where there are several; names of the panels of stages."""
        r = self._result
        if r is None:
            return []
        if self.state.view == 2:
            return self._panel_names()
        if len(r.tracks) < 2:
            return []
        area = self._window.area(r.frame.width, r.frame.height)
        scale, out = area.width / r.frame.width, []
        for box, identifier, status in zip(r.tracks.boxes_xyxy, r.tracks.ids.tolist(), r.status, strict=True):
            bitmap = hud.tag(f"face {identifier}", hud.STATUS_INK[status])
            left = r.frame.width - box[2] if self._mirrored else box[0]
            out.append(Label(bitmap, round(area.x + left * scale),
                             round(area.y + box[1] * scale) - bitmap.shape[0]))
        return out

    def _panel_names(self) -> list[Label]:
        area = self._window.area(*GRID)
        side, out = area.width / COLUMNS, []
        for k, name in enumerate(PANELS):
            bitmap = hud.tag(name, hud.PLAIN)
            out.append(Label(bitmap, round(area.x + (k % COLUMNS) * side) + 4,
                             round(area.y + (k // COLUMNS + 1) * side) - bitmap.shape[0] - 4))
        return out

    def close(self) -> None:
        """Close the window."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def in_columns(row: hud.Bitmap) -> hud.Bitmap:
    """Panels side by side (SIDE, P·SIDE, 3) → in :data:`COLUMNS` columns, which fit a window better."""
    count = row.shape[1] // SIDE
    out = np.full((math.ceil(count / COLUMNS) * SIDE, COLUMNS * SIDE, 3), GROUND, np.uint8)
    for k in range(count):
        top, left = divmod(k, COLUMNS)
        out[top * SIDE:(top + 1) * SIDE, left * SIDE:(left + 1) * SIDE] = row[:, k * SIDE:(k + 1) * SIDE]
    return out
