"""A renderer with a headless context of its own, so that several can live in one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rtface.render.headless import headless_context
from rtface.render.renderer import MeshRenderer


class OwnRenderer:
    """A :class:`MeshRenderer` and its context, which is current inside :meth:`current` only; for one thread."""

    def __init__(self, height: int, width: int) -> None:
        """Size of the pictures in px. RenderError without OpenGL."""
        with ExitStack() as stack:
            self._context = stack.enter_context(headless_context())
            self._renderer = stack.enter_context(MeshRenderer(self._context, height, width))
            self._stack: ExitStack | None = stack.pop_all()

    @contextmanager
    def current(self) -> Iterator[MeshRenderer]:
        """The renderer, with its context current; whichever was before is current again afterwards."""
        with self._context:
            yield self._renderer

    def release(self) -> None:
        """Free renderer and context; a second call does nothing."""
        stack, self._stack = self._stack, None
        if stack is not None:
            with self._context:
                self._renderer.release()
            stack.close()
