"""Contexts without a display, and what is said where there can be none."""

from __future__ import annotations

from typing import Any

import moderngl
import pytest

from rtface.errors import RenderError
from rtface.render import check_gl_error, headless_context


def test_context_is_modern_and_current(context: moderngl.Context) -> None:
    assert context.version_code >= 330
    buffer = context.buffer(b"rtface")
    assert buffer.read() == b"rtface"
    buffer.release()


def test_two_contexts_do_not_disturb_each_other(context: moderngl.Context) -> None:
    buffer = context.buffer(b"outer")
    with headless_context() as inner:
        assert inner is not context
        inner.buffer(b"inner").release()
    with context:
        assert buffer.read() == b"outer"
    buffer.release()


def test_missing_egl_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLCONTEXT_LINUX_LIBEGL", "/nonexistent/libEGL.so.1")
    with pytest.raises(RenderError, match="libEGL.so.1.*expected OpenGL 3.3.*apt install libegl1 libgl1") as caught:
        with headless_context():
            pass
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value, RuntimeError)


def test_no_device_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLCONTEXT_DEVICE_INDEX", "97")
    with pytest.raises(RenderError, match="device index 97.*libegl-mesa0 libgl1-mesa-dri"):
        with headless_context():
            pass


def test_old_opengl_is_refused_and_released(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        version_code = 310
        released = False

        def release(self) -> None:
            self.released = True

    old = Old()

    def create(**_: Any) -> Old:
        return old

    monkeypatch.setattr(moderngl, "create_context", create)
    with pytest.raises(RenderError, match="got version 3.1, expected 3.3 or newer"):
        with headless_context():
            pass
    assert old.released


def test_check_gl_error_says_where(context: moderngl.Context) -> None:
    check_gl_error(context, "nothing")
    context.enable_direct(0xFFFF)
    with pytest.raises(RenderError, match="got GL_INVALID_ENUM after a test, expected no error"):
        check_gl_error(context, "a test")
    check_gl_error(context, "clearing")


def test_contexts_can_be_made_again_and_again() -> None:
    for _ in range(10):
        with headless_context() as made:
            assert made.error == "GL_NO_ERROR"
