"""Pictures of face meshes with ModernGL: lit, wireframe, albedo, normals, visibility; alone or over a frame.

    with headless_context() as context, MeshRenderer(context, height, width) as renderer:
        picture = renderer.render_overlay(frame.pixels, faces, style=Style(mode="lit", opacity=0.9))
"""

from rtface.render.alone import OwnRenderer
from rtface.render.headless import check_gl_error, headless_context
from rtface.render.renderer import MeshRenderer
from rtface.render.scene import (
    RenderFace,
    RenderPart,
    Style,
    border_fade,
    faces_from_mesh,
    split_mesh,
    subdivision_lines,
)

__all__ = ["MeshRenderer", "OwnRenderer", "RenderFace", "RenderPart", "Style", "border_fade", "check_gl_error",
           "faces_from_mesh", "headless_context", "split_mesh", "subdivision_lines"]
