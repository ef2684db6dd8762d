"""The window on a virtual display: what is on the screen, what keys do, how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from rtface.errors import InputError, RenderError
from rtface.io import SyntheticSource
from rtface.live import hud
from rtface.live.recorder import Recorder
from rtface.live.screen import Screen, in_columns
from rtface.live.session import LiveSession
from rtface.morphable import MorphableModel
from rtface.overlay import FaceScene
from rtface.pipeline import Pipeline
from rtface.render import MeshRenderer, Style, headless_context
from rtface.render.window import Label, Window
from rtface.types import FaceStatus, FrameResult
from tests.live.conftest import picture
from tests.live.test_recorder import LIVE, REPOSITORY
from tests.live.x11 import Desktop, virtual_display
from tests.render.conftest import psnr

TITLE = "rtface"


@pytest.fixture(scope="session")
def desktop() -> Iterator[Desktop]:
    """One display for all tests: pyglet keeps the first one that it sees."""
    with virtual_display() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", name)
        user = Desktop(name)
        yield user
        user.display.close()


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def test_pictures_arrive_on_the_screen_as_they_are(desktop: Desktop) -> None:
    with Window("rtface a", 320, 240, on_key=lambda key: None) as window:
        assert window.size == (320, 240) and not window.closing
        pixels = noise(240, 320)
        window.show(window.upload(pixels))
        np.testing.assert_array_equal(desktop.picture("rtface a"), pixels)
        window.show(window.upload(pixels), mirror=True)
        np.testing.assert_array_equal(desktop.picture("rtface a"), pixels[:, ::-1])
        small = np.full((60, 120, 3), 200, np.uint8)  # wider than the window: bars above and below
        window.show(window.upload(small))
        shown = desktop.picture("rtface a")
        assert window.area(120, 60) == (0, 40, 320, 160)
        assert (shown[41:199] == 200).all() and (shown[:39] < 30).all() and (shown[201:] < 30).all()
        window.show(None)
        assert (desktop.picture("rtface a") < 30).all()
    assert desktop.windows("rtface a") == []
    window.close()


def test_labels_lie_over_the_picture_where_they_belong(desktop: Desktop) -> None:
    with Window("rtface b", 200, 100, on_key=lambda key: None) as window:
        pixels = np.full((100, 200, 3), 100, np.uint8)
        label = np.zeros((10, 20, 4), np.uint8)
        label[..., :3], label[..., 3] = (200, 50, 0), 255
        label[5:, :, 3] = 0
        half = np.full((4, 4, 4), (250, 250, 250, 128), np.uint8)
        for mirror in (False, True):
            window.show(window.upload(pixels), [Label(label, 30, 20), Label(half, 0, 96)], mirror=mirror)
            want = pixels.copy()
            want[20:25, 30:50] = (200, 50, 0)
            want[96:, :4] = 175
            np.testing.assert_allclose(desktop.picture("rtface b").astype(int), want, atol=1)
        assert len(window._labels) == 2
        window.show(None)
        assert not window._labels
        with pytest.raises(InputError, match="expected an .H, W, 3. uint8"):
            window.upload(pixels.astype(np.float32))


def test_keys_resizing_and_the_close_button(desktop: Desktop) -> None:
    pressed: list[str] = []
    with Window("rtface c", 200, 100, on_key=pressed.append) as window:
        window.show(None)
        desktop.press("rtface c", "h", "Q", "Escape", "space", "5")
        soon(lambda: len(pressed) >= 4, window.poll)
        assert pressed == ["h", "q", "escape", "space"]
        desktop.resize("rtface c", 300, 300)
        soon(lambda: window.size == (300, 300), window.poll)
        window.show(window.upload(np.full((10, 10, 3), 77, np.uint8)))
        assert (desktop.picture("rtface c") == 77).all()
        desktop.close_window("rtface c")
        soon(lambda: window.closing, window.poll)


def test_an_error_of_opengl_does_not_pass_unseen(desktop: Desktop) -> None:
    with Window("rtface d", 64, 64, on_key=lambda key: None) as window:
        window.context.enable_direct(0x1234)  # no such thing
        with pytest.raises(RenderError, match="GL_INVALID_ENUM"):
            window.show(None)
        window.show(None)


def soon(condition: Callable[[], bool], turn: Callable[[], None], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        turn()
        time.sleep(0.005)


class Shown:
    """A screen over a run, advanced by hand."""

    def __init__(self, desktop: Desktop, screen: Screen, session: LiveSession) -> None:
        self.desktop, self.screen, self.session = desktop, screen, session

    def press(self, *keys: str) -> None:
        self.desktop.press(TITLE, *keys)

    def until(self, condition: Callable[[], bool]) -> None:
        soon(condition, lambda: self.screen.step(self.session, 0.01))

    def picture(self) -> np.ndarray:
        return self.desktop.picture(TITLE)


@contextmanager
def shown(desktop: Desktop, chain: Pipeline, model: MorphableModel, folder: Path, fps: float = 25.0) -> Iterator[Shown]:
    with ExitStack() as stack:
        source = SyntheticSource(picture, None, fps, realtime=True)
        recorder = Recorder(folder, model, source.info, formats=("csv",), config={})
        stack.callback(recorder.close)
        screen = stack.enter_context(Screen(source.info, model, chain, recorder))
        session = stack.enter_context(LiveSession(chain, source, recorder=recorder))
        out = Shown(desktop, screen, session)
        out.until(lambda: screen._result is not None and len(screen._result.tracks) == 2)
        yield out


def over_video(result: FrameResult, model: MorphableModel, style: Style, height: int, width: int, *,
               alone: bool = False, samples: int = 0) -> np.ndarray:
    """The same picture by the headless renderer, enlarged like the window does (bilinear)."""
    import cv2

    faces = [face for group, _ in FaceScene(model).groups(result) for face in group]
    with headless_context() as context, MeshRenderer(context, 120, 160, samples=samples) as renderer:
        drawn = renderer.render(faces, style=style) if alone else \
            renderer.render_overlay(result.frame.pixels, faces, style=style)
    return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR)


def test_every_view_is_what_the_headless_renderer_draws(desktop: Desktop, chain: Pipeline, model: MorphableModel,
                                                        tmp_path: Path) -> None:
    with shown(desktop, chain, model, tmp_path) as run:
        screen, height, width = run.screen, 720, 960
        middle = np.s_[270:430, 240:780]  # no panels and tags there
        run.until(lambda: all(s is FaceStatus.TRACKED for s in screen._result.status))  # type: ignore[union-attr]
        run.press("f")
        run.until(lambda: screen.state.frozen)
        looks = [("", Style(opacity=0.85), False), ("w", Style(mode="wireframe"), False),
                 ("v", Style(mode="wireframe"), True), ("wa", Style(mode="albedo"), True)]
        seen = []
        for keys, style, alone in looks:
            run.press(*keys)
            run.until(lambda want=(style, int(alone)): (screen.state.style(), screen.state.view) == want)  # type: ignore
            screen.step(run.session, 0.01)
            with_window = run.picture()
            assert with_window.shape == (height, width, 3)
            assert screen._result is not None
            want = over_video(screen._result, model, style, height, width, alone=alone,
                              samples=screen._renderer.samples)
            assert psnr(with_window[middle], want[middle]) > 35, keys
            seen.append(with_window[middle])
        assert all(psnr(a, b) < 25 for a, b in zip(seen, seen[1:], strict=False))


def test_mirroring_turns_the_picture_and_not_the_panels(desktop: Desktop, chain: Pipeline, model: MorphableModel,
                                                        tmp_path: Path) -> None:
    with shown(desktop, chain, model, tmp_path) as run:
        run.press("f")
        run.until(lambda: run.screen.state.frozen)
        plain = run.picture()
        run.press("m")
        run.until(lambda: run.screen.state.mirror)
        run.screen.step(run.session, 0.01)
        mirrored = run.picture()
        strip = np.s_[300:500, 200:760]
        assert psnr(mirrored[strip], plain[:, ::-1][strip]) > 40
        assert (mirrored[14:17, 14:18] < 50).all() and (mirrored[14:17, -18:-14] == 60).all()  # panel, picture


def test_keys_act_on_the_run(desktop: Desktop, chain: Pipeline, model: MorphableModel, tmp_path: Path) -> None:
    with shown(desktop, chain, model, tmp_path / "takes") as run:
        screen = run.screen
        lines = lambda: " / ".join(text for text, _ in screen._lines(run.session))  # noqa: E731
        assert "fps" in lines() and "latency p50" in lines() and "recipe off" in lines() and "H keys" in lines()
        run.press("o")
        run.until(lambda: screen._result is not None and screen._result.occlusion is not None)
        assert "recipe mask" in lines()
        run.press("v", "v")
        run.until(lambda: screen.state.view == 2)
        screen.step(run.session, 0.2)
        panel = run.picture()[5:350, 5:300]  # the input's crop: the second face is not in it, the first is red
        assert (np.abs(panel.astype(int) - (255, 0, 0)).max(axis=-1) < 60).mean() > 0.05
        run.press("h")
        run.until(lambda: screen.state.help)
        run.press("r")
        run.until(lambda: screen._recorder.take is not None)
        assert "REC take-001" in lines()
        run.press("n")
        run.until(lambda: chain.calibrating)
        assert "calibrating neutral" in lines()
        run.until(lambda: not chain.calibrating)
        run.until(lambda: screen._result is not None and abs(screen._result.coefficients.expression).max() < 0.2)
        run.press("i", "r")
        run.until(lambda: screen._recorder.take is None)
        screen.press("7")  # means nothing
        run.press("f")
        run.until(lambda: screen.state.frozen)
        before, frames = run.picture(), run.session.tally.frames
        run.until(lambda: run.session.tally.frames > frames + 5)
        assert psnr(before[400:600, 100:600], run.picture()[400:600, 100:600]) == float("inf")
        run.press("Escape")
        run.until(lambda: screen.state.quit)
        began = time.monotonic()
        screen.show(run.session)
        assert time.monotonic() - began < 0.5
    assert (tmp_path / "takes" / "take-001" / "coefficients.csv").exists()
    assert run.session.meter.totals()["drawn"]["count"] > 5


def test_a_key_that_fails_says_why_and_the_run_goes_on(desktop: Desktop, chain: Pipeline, model: MorphableModel,
                                                       tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with shown(desktop, chain, model, tmp_path / "file") as run:
        frames = run.session.tally.frames
        run.press("r")
        run.until(lambda: "file" in run.screen.state.message)
        run.until(lambda: run.session.tally.frames > frames + 5)


def test_the_close_button_ends_the_run_promptly(desktop: Desktop, tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIVE, str(REPOSITORY), "live", "--source", "demo", "--recipe", "off", "--mirror",
               "--out", str(tmp_path / "takes"), "--format", "csv", "--json", str(tmp_path / "s.json"), "--record"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})
    journal = tmp_path / "takes" / "take-001" / ".rtface" / "journal.bin"
    deadline = time.monotonic() + 120
    while not (desktop.windows(TITLE) and journal.exists() and journal.stat().st_size > 60_000):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    desktop.close_window(TITLE)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["latency_ms"]["drawn"]["p50_ms"] > summary["latency_ms"]["result"]["p50_ms"] > 0
    assert summary["drops"].keys() == {"camera", "stages busy", "encoder busy", "window busy"}
    assert "capture to drawn" in out and (tmp_path / "takes" / "take-001" / "coefficients.csv").exists()


def test_panels_say_what_they_are_given() -> None:
    text = hud.text_panel([("30 fps", hud.PLAIN), ("dropped none", hud.DIM)])
    assert text.dtype == np.uint8 and text.shape[2] == 4 and text.shape[0] > 30
    faces = [hud.FaceReading(3, FaceStatus.TRACKED, 0.9, (1.0, 0.5, 0.0, 1.0, float("nan"), 1.0))]
    panel = hud.faces_panel(faces)
    ink = [int((np.abs(panel[..., :3].astype(int) - color).max(axis=-1) < 3).sum()) for color in (hud.GOOD, hud.WARN)]
    assert ink[0] > 3 * 78 * 7 and ink[1] == pytest.approx(39 * 8, abs=60)  # three full bars, one half
    assert hud.tag("face 1", hud.GOOD) is hud.tag("face 1", hud.GOOD)
    assert hud.help_panel([("H", "keys"), ("Q", "quit")]).shape[0] > 30


def test_panels_of_stages_go_into_columns() -> None:
    row = np.concatenate([np.full((256, 256, 3), k, np.uint8) for k in range(1, 6)], axis=1)
    grid = in_columns(row)
    assert grid.shape == (512, 768, 3)
    assert [int(grid[y, x, 0]) for y in (10, 300) for x in (10, 300, 600)] == [1, 2, 3, 4, 5, 24]
