"""OpenGL without a window or display: EGL, on a GPU or on Mesa's software rasteriser; and the check for GL errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import moderngl

from rtface.errors import RenderError

REQUIRED_VERSION: Final = 330
INSTALL: Final = "apt install libegl1 libgl1 libegl-mesa0 libgl1-mesa-dri"
# None: as the system's linker finds them; the plain names serve systems that have no linker tools.
_LIBRARIES: Final[tuple[dict[str, str], ...]] = ({}, {"libgl": "libGL.so.1", "libegl": "libEGL.so.1"})


@contextmanager
def headless_context() -> Iterator[moderngl.Context]:
    """A standalone OpenGL 3.3 core context through EGL, current in this thread inside the ``with`` block.

    It must be used by the thread that opened it; what was made in it (renderers) must be released before its end.
    Another context that was current before is not so any more, then or afterwards: ``with other:`` makes it.

    Raises:
        RenderError: no EGL or OpenGL library, no device or driver, or OpenGL below 3.3.
    """
    context = _create()
    try:
        yield context
    finally:
        context.release()


def _create() -> moderngl.Context:
    failures: list[str] = []
    for libraries in _LIBRARIES:
        settings: dict[str, Any] = {"backend": "egl", **libraries}
        try:
            context = moderngl.create_context(standalone=True, require=REQUIRED_VERSION, **settings)
        except Exception as exc:  # noqa: BLE001  glcontext raises plain Exception
            failures.append(str(exc))
            cause = exc
            continue
        if context.version_code < REQUIRED_VERSION:
            got = context.version_code
            context.release()
            raise RenderError(f"OpenGL: got version {got // 100}.{got // 10 % 10}, expected 3.3 or newer; update the "
                              f"graphics driver, or use Mesa's software rasteriser: {INSTALL}")
        return context
    raise RenderError(f"OpenGL: no headless context through EGL ({'; '.join(dict.fromkeys(failures))}), expected "
                      f"OpenGL 3.3 from a GPU driver or from Mesa; on Debian or Ubuntu: {INSTALL}") from cause


def check_gl_error(context: moderngl.Context, where: str) -> None:
    """Raise RenderError if OpenGL has reported errors since the last check; ``where`` says after what."""
    errors: list[str] = []
    while (error := context.error) != "GL_NO_ERROR":
        errors.append(error)
        if len(errors) == 8:  # a lost context reports for ever
            break
    if errors:
        raise RenderError(f"OpenGL: got {', '.join(errors)} after {where}, expected no error; the driver is "
                          f"{context.info['GL_RENDERER']!r}, {context.info['GL_VERSION']!r}")
