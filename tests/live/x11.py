"""A display of its own for window tests: Xvfb, with real key presses and pictures of what is on the screen."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from Xlib import XK, X
from Xlib.display import Display
from Xlib.ext import xtest
from Xlib.protocol import event

WIDTH, HEIGHT = 1300, 1000


@contextmanager
def virtual_display() -> Iterator[str]:
    """Starts Xvfb on a free number; yields its name, such as ``:99``. Fails (never skips) where Xvfb is missing."""
    program = shutil.which("Xvfb")
    assert program is not None, "window tests need Xvfb: apt install xvfb"
    read, write = os.pipe()
    server = subprocess.Popen([program, "-displayfd", str(write), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "+extension",
                               "GLX", "-nolisten", "tcp", "-noreset"], pass_fds=[write], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        assert number.isdecimal(), "Xvfb did not start"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(20)


class Desktop:
    """What a user sees of the display, and does there."""

    def __init__(self, name: str) -> None:
        self.display = Display(name)
        self.root = self.display.screen().root

    def windows(self, title: str) -> list[object]:
        """Top windows that are shown and whose title holds a text."""
        found = []
        for window in self.root.query_tree().children:
            name = window.get_wm_name() or ""
            if title in str(name) and window.get_attributes().map_state == X.IsViewable:
                found.append(window)
        return found

    def picture(self, title: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB of a window, as it is on the screen."""
        (window,) = self.windows(title)
        size = window.get_geometry()  # type: ignore[attr-defined]
        raw = window.get_image(0, 0, size.width, size.height, X.ZPixmap, 0xFFFFFFFF).data  # type: ignore[attr-defined]
        return np.frombuffer(raw, np.uint8).reshape(size.height, size.width, 4)[..., 2::-1].copy()

    def press(self, title: str, *keys: str) -> None:
        """Press and release keys in a window, as a keyboard does."""
        (window,) = self.windows(title)
        window.set_input_focus(X.RevertToParent, X.CurrentTime)  # type: ignore[attr-defined]
        for key in keys:
            code = self.display.keysym_to_keycode(XK.string_to_keysym(key))
            xtest.fake_input(self.display, X.KeyPress, code)
            xtest.fake_input(self.display, X.KeyRelease, code)
        self.display.sync()

    def close_window(self, title: str) -> None:
        """Click the window's close button: what a window manager sends then."""
        (window,) = self.windows(title)
        atom = self.display.intern_atom
        message = event.ClientMessage(window=window, client_type=atom("WM_PROTOCOLS"),
                                      data=(32, [atom("WM_DELETE_WINDOW"), X.CurrentTime, 0, 0, 0]))
        window.send_event(message)  # type: ignore[attr-defined]
        self.display.sync()

    def resize(self, title: str, width: int, height: int) -> None:
        (window,) = self.windows(title)
        window.configure(width=width, height=height)  # type: ignore[attr-defined]
        self.display.sync()
