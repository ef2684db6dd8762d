"""What lives on the GPU: vertex buffers per topology, and the framebuffers of one picture size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import moderngl
import numpy as np

from rtface.errors import InputError, RenderError
from rtface.render.camera import Rectangle
from rtface.render.scene import FloatArray, RenderPart

MAX_TOPOLOGIES: Final = 64
"""Buffers of the topologies least recently drawn are released beyond this number."""
_Object: TypeAlias = moderngl.Framebuffer | moderngl.Texture | moderngl.Renderbuffer
_ATTRIBUTES: Final = (("in_position", 3), ("in_normal", 3), ("in_color", 3), ("in_visibility", 1), ("in_opacity", 1))


class MeshBuffers:
    """Buffers of one topology, allocated once; every upload orphans them, so the GPU may still read the old ones.

    ``expanded`` meshes have three vertices of their own for each triangle and no index buffer, as the wireframe
    needs: its distance to the edges differs between the triangles of a vertex.
    """

    def __init__(self, context: moderngl.Context, part: RenderPart, expanded: bool) -> None:
        self._context = context
        self.triangles, self.lines, self.expanded = part.triangles, part.lines, expanded
        self.vertex_count = len(part.vertices)
        if len(part.triangles) and not 0 <= part.triangles.min() <= part.triangles.max() < self.vertex_count:
            raise InputError(f"RenderPart.triangles: got indices {part.triangles.min()}..{part.triangles.max()}, "
                             f"expected 0..{self.vertex_count - 1} as there are {self.vertex_count} vertices")
        self._corners = part.triangles.ravel() if expanded else None
        count = part.triangles.size if expanded else self.vertex_count
        self._buffers = {name: context.buffer(reserve=max(count, 1) * size * 4, dynamic=True)
                         for name, size in _ATTRIBUTES}
        self._fixed: dict[str, moderngl.Buffer] = {}
        if expanded:
            shown = np.ones(part.triangles.shape, np.uint8) if part.lines is None else part.lines.astype(np.uint8)
            self._fixed["in_lines"] = context.buffer(np.repeat(shown, 3, axis=0).tobytes() or b"\0\0\0")
        else:
            self._fixed["index"] = context.buffer(part.triangles.tobytes() or bytes(12))
        self._arrays: dict[moderngl.Program, moderngl.VertexArray] = {}

    def fits(self, part: RenderPart, expanded: bool) -> bool:
        """Whether these buffers were made for the part's very arrays."""
        return (self.triangles is part.triangles and self.vertex_count == len(part.vertices)
                and self.expanded == expanded and (not expanded or self.lines is part.lines))

    def draw(self, program: moderngl.Program, part: RenderPart) -> None:
        """Upload what ``program`` reads of the part and draw it."""
        for name, _ in _ATTRIBUTES:
            if name in program:
                self._upload(self._buffers[name], self._values(part, name))
        if program not in self._arrays:
            content = [(self._buffers[name], f"{size}f4", name) for name, size in _ATTRIBUTES if name in program]
            if "in_lines" in program:
                content.append((self._fixed["in_lines"], "3u1", "in_lines"))
            index = self._fixed.get("index")
            self._arrays[program] = self._context.vertex_array(program, content, index, index_element_size=4)
        self._arrays[program].render(moderngl.TRIANGLES, vertices=part.triangles.size)

    def _values(self, part: RenderPart, name: str) -> FloatArray:
        values = getattr(part, {"in_position": "vertices", "in_normal": "normals", "in_color": "colors",
                                "in_visibility": "visibility", "in_opacity": "opacity"}[name])
        if values is None:
            values = np.ones(self.vertex_count, np.float32)
        taken: FloatArray = values if self._corners is None else values[self._corners]
        return np.ascontiguousarray(taken)

    @staticmethod
    def _upload(buffer: moderngl.Buffer, values: FloatArray) -> None:
        buffer.orphan()
        buffer.write(values)

    def release(self) -> None:
        for array in self._arrays.values():
            array.release()
        for buffer in (*self._buffers.values(), *self._fixed.values()):
            buffer.release()
        self._arrays, self._buffers, self._fixed = {}, {}, {}


class MeshCache:
    """Buffers by the identity of their triangle arrays; holds on to the arrays, so an id stays theirs."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self._meshes: OrderedDict[tuple[int, int, bool], MeshBuffers] = OrderedDict()

    def __len__(self) -> int:
        return len(self._meshes)

    def get(self, part: RenderPart, expanded: bool) -> MeshBuffers:
        key = (id(part.triangles), id(part.lines) if expanded else 0, expanded)
        mesh = self._meshes.get(key)
        if mesh is None or not mesh.fits(part, expanded):
            if mesh is not None:
                self._meshes.pop(key).release()
            mesh = self._meshes[key] = MeshBuffers(self._context, part, expanded)
            while len(self._meshes) > MAX_TOPOLOGIES:
                self._meshes.popitem(last=False)[1].release()
        self._meshes.move_to_end(key)
        return mesh

    def release(self) -> None:
        for mesh in self._meshes.values():
            mesh.release()
        self._meshes.clear()


class Targets(NamedTuple):
    """Framebuffers of one picture size; row 0 of every texture is the top row of the picture."""

    faces: moderngl.Framebuffer
    """Multisampled colour and depth that the faces are drawn into."""
    layer: moderngl.Framebuffer
    """Faces resolved to one premultiplied RGBA per pixel."""
    layer_texture: moderngl.Texture
    picture: moderngl.Framebuffer
    """Faces over the background, RGBA8 with A = 1."""
    picture_texture: moderngl.Texture
    pixels: moderngl.Texture
    """The picture behind the faces, RGB8; its texel (0, 0) is the corner of the rectangle last uploaded."""
    owned: tuple[_Object, ...]

    @classmethod
    def create(cls, context: moderngl.Context, height: int, width: int, samples: int) -> Targets:
        """Allocate everything; RenderError (and nothing left behind) where OpenGL refuses."""
        size = (width, height)
        owned: list[_Object] = []
        try:
            owned.append(color := context.renderbuffer(size, 4, samples=samples))
            owned.append(depth := context.depth_renderbuffer(size, samples=samples))
            owned.append(faces := context.framebuffer([color], depth))
            owned.append(layer_texture := context.texture(size, 4))
            owned.append(layer := context.framebuffer([layer_texture]))
            owned.append(picture_texture := context.texture(size, 4))
            owned.append(picture := context.framebuffer([picture_texture]))
            owned.append(pixels := context.texture(size, 3, alignment=1))
        except moderngl.Error as exc:
            _release(owned)
            raise RenderError(f"framebuffer of {width} × {height} px with {samples} samples: {exc}; expected a size "
                              "that OpenGL can hold, so render smaller") from exc
        for texture in (layer_texture, picture_texture, pixels):
            texture.filter = (moderngl.NEAREST, moderngl.NEAREST)
            texture.repeat_x = texture.repeat_y = False
        return cls(faces, layer, layer_texture, picture, picture_texture, pixels, tuple(owned))

    def upload_pixels(self, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], area: Rectangle) -> None:
        """Copy a rectangle of an (H, W, 3) uint8 picture into texels (0, 0)..(width, height)."""
        x, y, width, height = area
        self.pixels.write(np.ascontiguousarray(pixels[y:y + height, x:x + width]), viewport=(0, 0, width, height))

    def release(self) -> None:
        _release(self.owned)


def _release(owned: Sequence[_Object]) -> None:
    for item in reversed(owned):
        item.release()

