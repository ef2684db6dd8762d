"""A window that shows pictures from the GPU with labels over them, and hands on keys (moderngl-window, pyglet).

Everything in here belongs to the main thread: window systems want it so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple

import moderngl
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, RenderError
from rtface.paths import SHADERS
from rtface.render.camera import Rectangle
from rtface.render.headless import REQUIRED_VERSION, check_gl_error

UInt8Array = NDArray[np.uint8]
GROUND: Final = (0.055, 0.06, 0.065)
"""Beside the picture, where the window has another shape."""


class Label(NamedTuple):
    """A small picture over the other one; hand in the same array as long as it stays the same."""

    bitmap: UInt8Array
    """(h, w, 4) uint8 RGBA, straight alpha, not changed afterwards."""
    x: int
    """px of the window from its left edge."""
    y: int
    """px of the window from its top edge."""


class Window:
    """A context manager that owns a window and its OpenGL context, which stays current in this thread."""

    def __init__(self, title: str, width: int, height: int, *, on_key: Callable[[str], None]) -> None:
        """width, height: px. on_key: called with ``a`` … ``z``, ``escape`` or ``space`` when a key goes down, by
        :meth:`show`.

        RenderError when moderngl-window is not installed, there is no display, or OpenGL is below 3.3.
        """
        self._on_key = on_key
        self._window: Any = _open(title, width, height)
        self.context: moderngl.Context = self._window.ctx
        self._labels: dict[int, tuple[UInt8Array, moderngl.Texture]] = {}
        self._picture: moderngl.Texture | None = None
        keys = self._window.keys
        self._names = {getattr(keys, letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
        self._names |= {keys.ESCAPE: "escape", keys.SPACE: "space"}
        self._window.exit_key = None
        self._window.key_event_func = self._key
        head = "#version 330 core\n"
        self._program = self.context.program(
            vertex_shader=head + (SHADERS / "picture.vert").read_text(encoding="utf-8"),
            fragment_shader=head + (SHADERS / "screen.frag").read_text(encoding="utf-8"))
        self._cover = self.context.vertex_array(self._program, [])
        self._smooth = self.context.sampler(repeat_x=False, repeat_y=False,
                                            filter=(moderngl.LINEAR, moderngl.LINEAR))
        self._exact = self.context.sampler(repeat_x=False, repeat_y=False,
                                           filter=(moderngl.NEAREST, moderngl.NEAREST))
        check_gl_error(self.context, "opening the window")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px of what is drawn into (not the same as the system's units on every display)."""
        width, height = self._window.buffer_size
        return int(width), int(height)

    @property
    def software(self) -> bool:
        """OpenGL runs on the CPU here (Mesa's llvmpipe or softpipe): smooth edges cost more than they are worth."""
        return "pipe" in self.context.info["GL_RENDERER"]

    @property
    def closing(self) -> bool:
        """The user has closed it."""
        return bool(self._window.is_closing)

    def area(self, width: int, height: int) -> Rectangle:
        """Where a picture of that size is shown: as large as it fits, in the middle; px from the top left."""
        window_width, window_height = self.size
        scale = min(window_width / width, window_height / height)
        w, h = max(1, round(width * scale)), max(1, round(height * scale))
        return Rectangle((window_width - w) // 2, (window_height - h) // 2, w, h)

    def upload(self, pixels: UInt8Array) -> moderngl.Texture:
        """A picture (H, W, 3) uint8 RGB as a texture for :meth:`show`; valid until the next call."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise InputError(f"picture: got {pixels.dtype} {pixels.shape}, expected an (H, W, 3) uint8 RGB array")
        size = (pixels.shape[1], pixels.shape[0])
        if self._picture is None or self._picture.size != size:
            if self._picture is not None:
                self._picture.release()
            self._picture = self.context.texture(size, 3, alignment=1)
        self._picture.write(np.ascontiguousarray(pixels))
        return self._picture

    def show(self, picture: moderngl.Texture | None, labels: Sequence[Label] = (), *, mirror: bool = False) -> None:
        """Draw, bring it to the screen, and take keys and other events of the window.

        picture: row 0 the top row, as :meth:`rtface.render.MeshRenderer.draw` returns it; None: only the ground.
        mirror: left and right of the picture change places; labels stay. RenderError: OpenGL reported an error.
        """
        context, (width, height) = self.context, self.size
        context.screen.use()
        context.viewport = (0, 0, width, height)
        context.clear(*GROUND)
        if picture is not None:
            x, y, w, h = self.area(*picture.size)
            same = (w, h) == picture.size
            self._draw(picture, (x, height - y - h, w, h), self._exact if same else self._smooth, mirror)
        context.enable(moderngl.BLEND)
        context.blend_func = moderngl.SRC_ALPHA, moderngl.ONE_MINUS_SRC_ALPHA
        for bitmap, x, y in labels:
            h, w = bitmap.shape[:2]
            self._draw(self._label(bitmap), (x, height - y - h, w, h), self._exact, False)
        context.disable(moderngl.BLEND)
        context.viewport = (0, 0, width, height)
        check_gl_error(context, "showing a picture")
        self._forget({id(label.bitmap) for label in labels})
        self._window.swap_buffers()

    def poll(self) -> None:
        """Take keys and other events of the window without drawing."""
        import pyglet

        for window in list(pyglet.app.windows):
            window.dispatch_events()

    def _draw(self, texture: moderngl.Texture, area: tuple[int, int, int, int], sampler: moderngl.Sampler,
              mirror: bool) -> None:
        self.context.viewport = area
        texture.use(0)
        sampler.use(0)
        self._program["picture"] = 0
        self._program["area"] = tuple(float(v) for v in area)
        self._program["mirrored"] = mirror
        self._cover.render(moderngl.TRIANGLES, vertices=3)
        sampler.clear(0)

    def _label(self, bitmap: UInt8Array) -> moderngl.Texture:
        if id(bitmap) not in self._labels:
            texture = self.context.texture((bitmap.shape[1], bitmap.shape[0]), 4, np.ascontiguousarray(bitmap))
            self._labels[id(bitmap)] = bitmap, texture  # holds on to the array, so its id stays its own
        return self._labels[id(bitmap)][1]

    def _forget(self, used: set[int]) -> None:
        for key in self._labels.keys() - used:
            self._labels.pop(key)[1].release()

    def _key(self, key: Any, action: Any, modifiers: Any) -> None:
        if action == self._window.keys.ACTION_PRESS and key in self._names:
            self._on_key(self._names[key])

    def close(self) -> None:
        """Free what OpenGL holds and close it; a second call does nothing."""
        window, self._window = self._window, None
        if window is None:
            return
        self._forget(set())
        for item in (self._picture, self._cover, self._program, self._smooth, self._exact):
            if item is not None:
                item.release()
        window.close()
        window.destroy()

    def __enter__(self) -> Window:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _open(title: str, width: int, height: int) -> Any:
    try:
        from moderngl_window import get_local_window_cls
    except ImportError as exc:
        raise RenderError("window: got no moderngl-window, expected it to be installed: pip install 'rtface[live]'; "
                          "or leave the window out: --no-window") from exc
    try:
        return get_local_window_cls("pyglet")(
            title=title, size=(width, height), gl_version=(REQUIRED_VERSION // 100, REQUIRED_VERSION // 10 % 10),
            resizable=True, vsync=True, samples=0, aspect_ratio=None, cursor=True)
    except Exception as exc:  # noqa: BLE001  every window system has errors of its own
        reason = " ".join(str(exc).split()) or type(exc).__name__
        raise RenderError(f"window: it cannot be opened ({reason}), expected a display with OpenGL 3.3; on a machine "
                          f"without one use --no-window") from exc
