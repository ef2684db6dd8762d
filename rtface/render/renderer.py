"""Faces → pictures with OpenGL 3.3, in any context and without a window.

Faces are drawn into a multisampled layer of premultiplied RGBA, which is then laid over a picture or a plain
background: opacity belongs to the layer, so a face never shows its own far side or a face behind it, and pixels that
no face touches keep their very bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, RenderError
from rtface.paths import SHADERS
from rtface.render.buffers import MeshCache, Targets
from rtface.render.camera import Rectangle, View, bounding_rectangle, clip_from_head, view_face
from rtface.render.headless import check_gl_error
from rtface.render.scene import (
    MATERIALS,
    Color,
    Material,
    RenderFace,
    RenderPart,
    Style,
    highlight_direction,
    light_harmonics,
)

UInt8Array = NDArray[np.uint8]
_LINE_COLOR: Color = (0.25, 0.92, 1.0)
_FILL_COLOR: Color = (0.16, 0.24, 0.28)


class _Placed:
    """A face with the numbers that drawing needs, computed once."""

    def __init__(self, face: RenderFace) -> None:
        self.face = face
        self.parts = [part for part in face.parts if len(part.triangles) and len(part.vertices)]
        bounds = [_bounds(part) for part in self.parts]
        if bounds:
            self.view: View = view_face(face, np.min([low for low, _ in bounds], axis=0),
                                        np.max([high for _, high in bounds], axis=0))


class MeshRenderer:
    """Draws faces into pictures of one size; a context manager that owns its OpenGL objects.

    The context must be current in the calling thread whenever a method is called, and outlive the renderer. Memory:
    returned pictures belong to the caller; buffers inside are allocated once and reused. Sizes follow the picture
    handed to :meth:`render`, so a clip that changes its size needs no care.
    """

    def __init__(self, context: moderngl.Context, height: int, width: int, *, samples: int = 4) -> None:
        """samples: per pixel, for smooth outlines; 0 or 1 means none; cut to what the driver can do.

        Raises:
            InputError: a size below 1 or above the driver's limit.
            RenderError: the driver refuses a shader or framebuffer.
        """
        if samples < 0:
            raise InputError(f"samples: got {samples}, expected 0 or more")
        self._context = context
        self.samples = 0 if samples < 2 else min(samples, context.max_samples)
        self._limit = int(context.info["GL_MAX_TEXTURE_SIZE"])
        self._programs: dict[str, moderngl.Program] = {}
        self._released = False
        self._height = self._width = 0
        self._targets: Targets | None = None
        with ExitStack() as stack:
            self._meshes = MeshCache(context)
            stack.callback(self.release)
            self.resize(height, width)
            self._compose = self._program("picture")
            self._cover = context.vertex_array(self._compose, [])
            check_gl_error(context, "creating a renderer")
            stack.pop_all()

    def __enter__(self) -> MeshRenderer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.release()

    @property
    def height(self) -> int:
        return self._height

    @property
    def width(self) -> int:
        return self._width

    def resize(self, height: int, width: int) -> None:
        """Make the framebuffers of another picture size; nothing happens where the size is the same."""
        self._check_usable()
        if not (1 <= height <= self._limit and 1 <= width <= self._limit):
            raise InputError(f"picture: got {width} × {height} px, expected sides of 1..{self._limit} px")
        if self._targets is not None and (height, width) == (self._height, self._width):
            return
        targets = Targets.create(self._context, height, width, self.samples)
        if self._targets is not None:
            self._targets.release()
        self._targets, self._height, self._width = targets, height, width
        self._staging = np.empty(height * width * 3, np.uint8)

    def release(self) -> None:
        """Free every OpenGL object; the renderer cannot be used afterwards. May be called twice."""
        if self._released:
            return
        self._released = True
        self._meshes.release()
        if self._targets is not None:
            self._targets.release()
        if hasattr(self, "_cover"):
            self._cover.release()
        for program in self._programs.values():
            program.release()
        self._programs = {}

    def render(self, faces: Sequence[RenderFace], *, style: Style | None = None, background: UInt8Array | None = None,
               out: UInt8Array | None = None) -> UInt8Array:
        """Draw faces over a picture, or over the style's plain background.

        Args:
            faces: any number, 0 too; they may reach out of the picture. Between faces the larger scale is nearer.
            style: None: :class:`Style` as it comes, lit.
            background: (H, W, 3) uint8 RGB, not written to; the renderer takes its size. None: ``style.background``.
            out: (H, W, 3) uint8, C-contiguous, to be written instead of a new array; may be ``background`` itself.

        Returns:
            (H, W, 3) uint8 RGB, top row first; ``out``, or a new array that the caller owns.

        Raises:
            InputError: arrays of a wrong shape or type, triangle indices out of range, numbers that are not finite.
            RenderError: OpenGL reported an error.
        """
        style = style or Style()
        self._prepare(background)
        picture = self._check_out(out)
        if background is None:
            picture[:] = np.rint(255 * np.asarray(style.background)).astype(np.uint8)
        elif picture is not background:
            np.copyto(picture, background)
        placed, area = self._place(faces, style)
        if not area.empty:
            self._draw(placed, style, background, area)
            self._read(picture, area)
        return picture

    def render_overlay(self, pixels: UInt8Array, faces: Sequence[RenderFace], *, style: Style | None = None,
                       out: UInt8Array | None = None) -> UInt8Array:
        """Faces over a frame (H, W, 3) uint8 RGB: :meth:`render` with ``background=pixels``.

        Pixels that no face touches are returned bit for bit; outlines are blended by coverage.
        """
        return self.render(faces, style=style, background=pixels, out=out)

    def draw(self, faces: Sequence[RenderFace], *, style: Style | None = None,
             background: UInt8Array | None = None) -> moderngl.Texture:
        """Like :meth:`render`, without reading back: the picture stays on the GPU, for a window to show.

        Returns:
            RGBA8 texture, row 0 the top row (flip it when drawing into a window); the renderer's own, valid until
            its next call.
        """
        style = style or Style()
        self._prepare(background)
        placed, _ = self._place(faces, style)
        targets = self._draw(placed, style, background, Rectangle(0, 0, self._width, self._height))
        return targets.picture_texture

    def _prepare(self, background: UInt8Array | None) -> None:
        self._check_usable()
        check_gl_error(self._context, "calls outside the renderer")
        if background is None:
            return
        if (not isinstance(background, np.ndarray) or background.dtype != np.uint8 or background.ndim != 3
                or background.shape[2] != 3):
            got = f"{background.dtype} {background.shape}" if isinstance(background, np.ndarray) \
                else type(background).__name__
            raise InputError(f"background: got {got}, expected an (H, W, 3) uint8 RGB array")
        self.resize(background.shape[0], background.shape[1])

    def _check_usable(self) -> None:
        if self._released:
            raise RenderError("MeshRenderer: got a call after release(), expected one before it; make a new renderer")

    def _check_out(self, out: UInt8Array | None) -> UInt8Array:
        shape = (self._height, self._width, 3)
        if out is None:
            return np.empty(shape, np.uint8)
        if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != np.uint8 \
                or not (out.flags.c_contiguous and out.flags.writeable):
            raise InputError(f"out: expected a writeable, C-contiguous uint8 array {shape}")
        return out

    def _place(self, faces: Sequence[RenderFace], style: Style) -> tuple[list[_Placed], Rectangle]:
        """Far faces first, and the pixels that they may touch."""
        placed = [p for p in (_Placed(face) for face in faces) if p.parts]
        placed.sort(key=lambda p: p.face.scale)
        return placed, bounding_rectangle([p.view for p in placed], self._height, self._width, 1.0)

    def _draw(self, placed: list[_Placed], style: Style, background: UInt8Array | None, area: Rectangle) -> Targets:
        """Layer of faces, then the picture, inside ``area`` only."""
        context, targets = self._context, self._targets
        assert targets is not None
        targets.faces.scissor = area
        targets.picture.scissor = area
        with _drawing_into(context, targets.faces, moderngl.DEPTH_TEST | moderngl.CULL_FACE):
            context.depth_func, context.cull_face, context.front_face = "<", "back", "cw"
            try:
                targets.faces.clear(0.0, 0.0, 0.0, 0.0)
                for k, item in enumerate(placed):
                    nearest = 1 - 2 * (k + 1) / len(placed)  # the last face lies in the nearest slice of depths
                    self._draw_face(item, style, (nearest, nearest + 2 / len(placed)))
            finally:
                context.front_face = "ccw"
            context.copy_framebuffer(targets.layer, targets.faces)
        with _drawing_into(context, targets.picture, moderngl.NOTHING):
            if background is not None:
                targets.upload_pixels(background, area)
            targets.layer_texture.use(0)
            targets.pixels.use(1)
            self._compose["layer"] = 0
            self._compose["pixels"] = 1
            self._compose["pixels_origin"] = (area.x, area.y)
            plain = np.rint(255 * np.asarray(style.background)) / 255  # so that render's bytes fit in
            _write(self._compose, {"opacity": style.opacity, "background": (*plain, background is None)})
            self._cover.render(moderngl.TRIANGLES, vertices=3)
        check_gl_error(context, f"drawing {len(placed)} faces")
        return targets

    def _draw_face(self, item: _Placed, style: Style, depth_slice: tuple[float, float]) -> None:
        face = item.face
        light = light_harmonics(style.light_direction)
        towards = np.asarray(style.light_direction, np.float64)
        if face.illumination is not None:
            light = np.asarray(face.illumination, np.float64)
            towards = highlight_direction(light, style.light_direction)
        half = towards / np.linalg.norm(towards) + (0.0, 0.0, -1.0)
        shared = {
            "clip_from_head": clip_from_head(face, item.view, self._height, self._width, depth_slice).T,
            "camera_from_head": item.view.camera_from_head.T,
            "harmonics": light,
            "half_direction": half / max(float(np.linalg.norm(half)), 1e-6),
            "visible_color": style.visible_color,
            "hidden_color": style.hidden_color,
            "line_color": style.color or _LINE_COLOR,
            "line_width": style.line_width_px,
            "fill_color": (*_FILL_COLOR, style.fill_opacity),
        }
        given: set[moderngl.Program] = set()
        for part in item.parts:
            material = MATERIALS[part.kind]
            program = self._mesh_program(style, material)
            if program not in given:
                given.add(program)
                _write(program, shared)
            plain = style.color if part.kind in ("skin", "context") else None
            _write(program, {"base_color": (*(plain or (0.0, 0.0, 0.0)), plain is not None),
                             "gloss": (material.gloss, material.shininess),
                             "shade_top": material.shade_top})
            self._meshes.get(part, style.mode == "wireframe").draw(program, part)

    def _mesh_program(self, style: Style, material: Material) -> moderngl.Program:
        if style.mode == "wireframe":
            return self._program("wire")
        smooth = style.mode == "albedo" or (style.mode != "normals" and material.gloss == 0.0)
        return self._program("mesh", f"MODE_{style.mode.upper()}", "PER_VERTEX" if smooth else "PER_PIXEL")

    def _read(self, picture: UInt8Array, area: Rectangle) -> None:
        """Copy ``area`` of the picture on the GPU into an (H, W, 3) array."""
        assert self._targets is not None
        x, y, width, height = area
        whole = (width, height) == (self._width, self._height)
        into = picture.reshape(-1) if whole else self._staging[:width * height * 3]
        self._targets.picture.read_into(into, viewport=area, components=3, alignment=1)
        if not whole:
            picture[y:y + height, x:x + width] = into.reshape(height, width, 3)
        check_gl_error(self._context, "reading the picture")

    def _program(self, name: str, *defines: str) -> moderngl.Program:
        """Shader program ``name`` with these words defined, compiled at its first use."""
        key = " ".join((name, *defines))
        if key not in self._programs:
            head = "".join(["#version 330 core\n", *(f"#define {word}\n" for word in defines),
                            "" if name == "picture" else _shader("common.glsl")])
            try:
                self._programs[key] = self._context.program(vertex_shader=head + _shader(f"{name}.vert"),
                                                            fragment_shader=head + _shader(f"{name}.frag"))
            except moderngl.Error as exc:
                raise RenderError(f"shader {key}: got {exc}; expected it to compile on "
                                  f"{self._context.info['GL_RENDERER']!r}") from exc
        return self._programs[key]


@contextmanager
def _drawing_into(context: moderngl.Context, target: moderngl.Framebuffer, flags: int) -> Iterator[None]:
    """Bind a framebuffer and enable nothing but ``flags``; restore the caller's afterwards."""
    scope = context.scope(target, flags)
    try:
        with scope:
            yield
    finally:
        scope.release()


def _shader(file: str) -> str:
    return (SHADERS / file).read_text(encoding="utf-8")


def _bounds(part: RenderPart) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smallest and largest x, y, z of a part in mm, (3,) each; InputError where a number is not finite."""
    for name in ("normals", "colors", "visibility", "opacity"):
        values = getattr(part, name)
        if values is not None and not (np.isfinite(values.min()) and np.isfinite(values.max())):  # NaN passes both
            raise InputError(f"RenderPart.{name} ({part.kind}): got NaN or infinite numbers, expected finite ones")
    columns = part.vertices.T  # ten times faster than a reduction along axis 0
    low = np.array([column.min() for column in columns], np.float64)
    high = np.array([column.max() for column in columns], np.float64)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InputError(f"RenderPart.vertices ({part.kind}): got NaN or infinite numbers, expected finite mm")
    return low, high


def _write(program: moderngl.Program, uniforms: Mapping[str, Any]) -> None:
    """Set the uniforms that ``program`` has (compilers leave unused ones out); matrices come column by column."""
    for name, value in uniforms.items():
        uniform = program.get(name, None)
        if isinstance(uniform, moderngl.Uniform):
            uniform.write(np.ascontiguousarray(value, np.float32).tobytes())
