"""MeshRenderer: styles, several faces, sizes, bad input, resources."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import moderngl
import numpy as np
import pytest

from rtface.errors import InputError, RenderError
from rtface.render import MeshRenderer, RenderPart, Style
from rtface.render.buffers import MAX_TOPOLOGIES

from .conftest import ball, box, face

BLACK = (0.0, 0.0, 0.0)


@pytest.fixture
def photo() -> np.ndarray:
    """(120, 160, 3) noise with every byte value, read-only as frames are."""
    pixels = np.random.default_rng(7).integers(0, 256, (120, 160, 3), np.uint8)
    pixels.setflags(write=False)
    return pixels


def _touched(renderer: MeshRenderer, faces: list[Any]) -> np.ndarray:
    """(H, W) bool: pixels that the faces cover at least partly."""
    return renderer.render(faces, style=Style(mode="albedo", background=(0.0, 0.0, 1.0))).astype(int)[..., 0] > 0


def test_no_faces_gives_the_background(renderer: MeshRenderer, photo: np.ndarray) -> None:
    np.testing.assert_array_equal(renderer.render_overlay(photo, []), photo)
    plain = renderer.render([], style=Style(background=(0.2, 0.4, 0.6)))
    assert plain.shape == (120, 160, 3) and (plain == (51, 102, 153)).all()


def test_overlay_leaves_other_pixels_bit_for_bit(renderer: MeshRenderer, photo: np.ndarray) -> None:
    faces = [face([ball(30)], translation=(50, 60)), face([ball(10)], translation=(120, 30))]
    touched = _touched(renderer, faces)
    assert 2500 < touched.sum() < 3500
    for style in (Style(), Style(opacity=0.5), Style(mode="wireframe"), Style(mode="normals")):
        before = photo.copy()
        picture = renderer.render_overlay(photo, faces, style=style)
        np.testing.assert_array_equal(photo, before)
        np.testing.assert_array_equal(picture[~touched], photo[~touched])
        assert (picture[touched] != photo[touched]).any(axis=-1).mean() > 0.3


def test_whole_frames_pass_the_gpu_bit_for_bit(renderer: MeshRenderer, photo: np.ndarray) -> None:
    """A face in both corners makes the rectangle the whole frame: all other pixels go through OpenGL unchanged."""
    faces = [face([box((0, 0), (1, 1))], translation=at) for at in ((0, 0), (159, 119))]
    picture = renderer.render_overlay(photo, faces)
    assert picture[0, 0].tolist() != photo[0, 0].tolist()
    np.testing.assert_array_equal(picture.reshape(-1, 3)[1:-1], photo.reshape(-1, 3)[1:-1])


def test_albedo_passes_colours_through_and_opacity_mixes_them(renderer: MeshRenderer) -> None:
    head = face([box((-20, -20), (20, 20), color=(0.2, 0.4, 0.6))])
    assert (renderer.render([head], style=Style(mode="albedo"))[45:75, 65:95] == (51, 102, 153)).all()
    frame = np.full((120, 160, 3), 200, np.uint8)
    mixed = renderer.render_overlay(frame, [head], style=Style(mode="albedo", opacity=0.25))[60, 80].astype(int)
    np.testing.assert_allclose(mixed, 0.25 * np.array([51, 102, 153]) + 0.75 * 200, atol=1)
    np.testing.assert_array_equal(renderer.render_overlay(frame, [head], style=Style(opacity=0.0)), frame)


@pytest.mark.parametrize("mode", ["lit", "albedo", "normals", "visibility", "wireframe"])
def test_vertices_fade_by_their_own_opacity_and_still_hide(renderer: MeshRenderer, mode: Any) -> None:
    near = replace(box((-20, -20), (20, 20)), opacity=np.array([0.0, 0.0, 1.0, 1.0], np.float32))  # left to right
    solid = replace(near, opacity=np.ones(4, np.float32))
    frame = np.full((120, 160, 3), 200, np.uint8)
    style = Style(mode=mode, color=(0.2, 0.4, 0.6), fill_opacity=1.0)
    whole = renderer.render_overlay(frame, [face([solid])], style=style)[55, 60:100].astype(float)
    np.testing.assert_array_equal(whole, renderer.render_overlay(frame, [face([box((-20, -20), (20, 20))])],
                                                                 style=style)[55, 60:100])
    behind = box((-20, -20), (20, 20), depth=5, color=(1, 0, 0))
    faded = renderer.render_overlay(frame, [face([behind, near])], style=style)[55, 60:100].astype(float)
    cover = ((np.arange(40) + 0.5) / 40)[:, None]
    np.testing.assert_allclose(faded, cover * whole + (1 - cover) * 200, atol=2.5)


def test_uniform_light_of_strength_one_shows_the_albedo(renderer: MeshRenderer) -> None:
    gamma = np.zeros(9, np.float32)
    gamma[0] = 1.0
    part = ball(40, color=(0.25, 0.5, 0.75))
    lit = renderer.render([face([part], illumination=gamma)])
    flat = renderer.render([face([part])], style=Style(mode="albedo"))
    assert np.abs(lit.astype(int) - flat).max() <= 1


@pytest.mark.parametrize(("index", "sign", "brighter"), [(1, -1, "top"), (3, -1, "left"), (3, 1, "right")])
def test_light_comes_from_where_the_harmonics_say(renderer: MeshRenderer, index: int, sign: int,
                                                  brighter: str) -> None:
    gamma = np.zeros(9, np.float32)
    gamma[0], gamma[index] = 0.5, 0.4 * sign
    turned = face([ball(40)], (0.0, 0.6, 0.9), illumination=gamma)  # light stays in camera axes when heads turn
    picture = renderer.render([turned]).astype(int).sum(axis=-1)
    sides = {"top": picture[35, 80], "bottom": picture[85, 80], "left": picture[60, 55], "right": picture[60, 105]}
    assert max(sides, key=lambda k: sides[k]) == brighter


def test_normals_are_camera_axes(renderer: MeshRenderer) -> None:
    picture = renderer.render([face([ball(40)])], style=Style(mode="normals")).astype(int)
    np.testing.assert_allclose(picture[60, 80], (128, 128, 255), atol=6)
    assert picture[60, 115, 0] > 220 and picture[60, 45, 0] < 36  # red to the right
    assert picture[25, 80, 1] > 220 and picture[95, 80, 1] < 36  # green up


def test_style_colour_replaces_skin_but_not_eyes(renderer: MeshRenderer) -> None:
    skin, eye = box((-30, -20), (0, 20), color=(1, 0, 0)), replace(box((0, -20), (30, 20), color=(0, 0, 1)), kind="eye")
    picture = renderer.render([face([skin, eye])], style=Style(mode="albedo", color=(0.0, 1.0, 0.0)))
    assert picture[60, 65].tolist() == [0, 255, 0] and picture[60, 95].tolist() == [0, 0, 255]


def test_wireframe_has_lines_and_holes(renderer: MeshRenderer, photo: np.ndarray) -> None:
    head = face([ball(50, rings=8)], (0.3, 0.2, 0.0))
    style = Style(mode="wireframe", color=(1.0, 1.0, 1.0), background=BLACK)
    picture = renderer.render([head], style=style)[..., 0].astype(int)
    inside = _touched(renderer, [head])
    assert 0.08 < (picture[inside] > 150).mean() < 0.4
    assert (picture[inside] == 0).mean() > 0.3
    assert ((picture > 0) & (picture < 150)).sum() > 200  # antialiased
    wider = renderer.render([head], style=replace(style, line_width_px=3.0))[..., 0].astype(int)
    assert wider.sum() > 1.7 * picture.sum()
    assert (renderer.render([head], style=replace(style, fill_opacity=1.0)).any(axis=-1))[inside].all()


def test_wireframe_hides_lines_behind_the_surface(renderer: MeshRenderer) -> None:
    outer, inner = ball(50, rings=8), ball(30, rings=10)
    style = Style(mode="wireframe")
    np.testing.assert_array_equal(renderer.render([face([inner, outer])], style=style),
                                  renderer.render([face([outer])], style=style))


def test_wireframe_draws_only_the_lines_asked_for(renderer: MeshRenderer) -> None:
    quad = box((-30, -30), (30, 30))
    sides = replace(quad, lines=np.array([[True, True, False], [False, True, True]]))  # all but the diagonal
    style = Style(mode="wireframe", background=BLACK)
    whole, part = (renderer.render([face([p])], style=style)[..., 1] for p in (quad, sides))
    assert whole[60, 80] > 100 and part[60, 80] == 0
    assert part[60, 50] > 100 and part[30, 80] > 100 and part[60, 109] > 100 and part[89, 80] > 100


def test_nearer_surface_hides_the_farther_in_any_order(renderer: MeshRenderer) -> None:
    near, far = box((-20, -20), (20, 20), -5.0, (1, 0, 0)), box((-30, -30), (30, 30), 5.0, (0, 1, 0))
    for parts in ((near, far), (far, near)):
        picture = renderer.render([face(parts)], style=Style(mode="albedo"))
        assert picture[60, 80].tolist() == [255, 0, 0] and picture[60, 55].tolist() == [0, 255, 0]


def test_larger_face_hides_the_smaller_whatever_their_depths(renderer: MeshRenderer) -> None:
    """Depths of different faces are not comparable; the scale says who is nearer."""
    large = face([box((-10, -10), (10, 10), 50.0, (1, 0, 0))], scale=2.0)
    small = face([box((-40, -10), (40, 10), -90.0, (0, 1, 0))], scale=1.0)
    for faces in ([large, small], [small, large]):
        picture = renderer.render(faces, style=Style(mode="albedo"))
        assert picture[60, 80].tolist() == [255, 0, 0] and picture[60, 45].tolist() == [0, 255, 0]


def test_faces_that_share_topology_keep_their_own_values(renderer: MeshRenderer) -> None:
    first = ball(12, color=(1, 0, 0))
    faces = [face([replace(first, vertices=first.vertices * np.float32(1 + k / 8),
                           colors=np.roll(first.colors, k, axis=1))], translation=(30 + 45 * k, 60)) for k in range(3)]
    picture = renderer.render(faces, style=Style(mode="albedo", background=BLACK))
    for k in range(3):
        assert picture[60, 30 + 45 * k].tolist() == np.roll([255, 0, 0], k).tolist()
    assert len(renderer._meshes) == 1


@pytest.mark.parametrize("at", [(-500, 60), (80, 5000), (1e9, -1e9), (-45, 60)])
def test_faces_off_the_picture_change_nothing(renderer: MeshRenderer, photo: np.ndarray,
                                              at: tuple[float, float]) -> None:
    np.testing.assert_array_equal(renderer.render_overlay(photo, [face([ball(40)], translation=at)]), photo)


def test_face_across_the_border_is_cut(renderer: MeshRenderer) -> None:
    renderer.resize(120, 240)
    whole = renderer.render([face([ball(40)], translation=(100, 60))])
    for shift in (0, 60):
        renderer.resize(120, 160)
        picture = renderer.render([face([ball(40)], translation=(100 - 80 + shift, 60))])
        np.testing.assert_allclose(picture[:, :140 - shift].astype(int), whole[:, 80 - shift:220 - 2 * shift], atol=1)


def test_face_larger_than_the_picture_fills_it(renderer: MeshRenderer) -> None:
    assert _touched(renderer, [face([ball(40)], scale=40.0)]).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 33), (17, 1), (2, 3), (61, 127)])
def test_tiny_and_odd_sizes(context: moderngl.Context, height: int, width: int) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    with MeshRenderer(context, height, width) as small:
        np.testing.assert_array_equal(small.render_overlay(frame, []), frame)
        covered = small.render_overlay(frame, [face([ball(200)], translation=(width / 2, height / 2))])
        assert covered.shape == frame.shape and (covered != frame).any()


def test_renderer_follows_the_frame_size(renderer: MeshRenderer) -> None:
    for height, width in ((48, 64), (120, 160), (90, 30)):
        frame = np.full((height, width, 3), 9, np.uint8)
        picture = renderer.render_overlay(frame, [face([ball(10)], translation=(15, 20))])
        assert picture.shape == frame.shape and (renderer.height, renderer.width) == (height, width)
        assert picture[20, 15].max() > 60 and picture[-1, -1].tolist() == [9, 9, 9]


def test_results_belong_to_the_caller(renderer: MeshRenderer, photo: np.ndarray) -> None:
    first = renderer.render_overlay(photo, [face([ball(30)])])
    kept = first.copy()
    second = renderer.render_overlay(photo, [face([ball(10)])])
    np.testing.assert_array_equal(first, kept)
    out = photo.copy()
    assert renderer.render_overlay(out, [face([ball(10)])], out=out) is out  # in place
    np.testing.assert_array_equal(out, second)


def test_same_input_gives_the_same_bytes(renderer: MeshRenderer, photo: np.ndarray) -> None:
    faces = [face([ball(30)], (0.2, 0.1, 0.0))]
    np.testing.assert_array_equal(renderer.render_overlay(photo, faces), renderer.render_overlay(photo, faces))


def test_draw_leaves_the_same_picture_on_the_gpu(renderer: MeshRenderer, photo: np.ndarray) -> None:
    faces = [face([ball(30)], translation=(60, 50))]
    texture = renderer.draw(faces, background=photo)
    rgba = np.frombuffer(texture.read(), np.uint8).reshape(120, 160, 4)
    np.testing.assert_array_equal(rgba[..., :3], renderer.render_overlay(photo, faces))
    assert (rgba[..., 3] == 255).all()
    empty = np.frombuffer(renderer.draw([], style=Style(background=(1.0, 0.0, 0.0))).read(), np.uint8)
    assert (empty.reshape(-1, 4) == (255, 0, 0, 255)).all()


def test_bound_framebuffer_is_restored(renderer: MeshRenderer, context: moderngl.Context) -> None:
    before = context.detect_framebuffer()
    texture = context.texture((8, 8), 4)
    mine = context.framebuffer([texture])
    mine.use()
    renderer.render([face([ball(30)])])
    assert context.detect_framebuffer().glo == mine.glo
    before.use()
    mine.release()
    texture.release()


def test_nothing_to_draw_is_fine(renderer: MeshRenderer, photo: np.ndarray) -> None:
    hollow = RenderPart(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32),
                        np.zeros((0, 3), np.int32))
    flat = replace(box((0, 0), (0, 0)), normals=np.zeros((4, 3), np.float32))
    for mode in ("lit", "wireframe"):
        for faces in ([face([])], [face([hollow])], [face([flat])]):
            np.testing.assert_array_equal(renderer.render_overlay(photo, faces, style=Style(mode=mode)), photo)


@pytest.mark.parametrize("field", ["vertices", "normals", "colors", "visibility", "opacity"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(renderer: MeshRenderer, photo: np.ndarray, field: str,
                                                 value: float) -> None:
    ones = np.ones(len(ball().vertices), np.float32)
    part = ball(30, visibility=ones, opacity=ones)
    broken = getattr(part, field).copy()
    broken.flat[17] = value
    with pytest.raises(InputError, match=f"RenderPart.{field} .skin.: got NaN or infinite"):
        renderer.render_overlay(photo, [face([replace(part, **{field: broken})])])
    assert (renderer.render_overlay(photo, [face([part])]) != photo).any()  # and it goes on working


@pytest.mark.parametrize("bad", [4, -1])
@pytest.mark.parametrize("mode", ["lit", "wireframe"])
def test_triangles_beyond_the_vertices_are_refused(renderer: MeshRenderer, bad: int, mode: Any) -> None:
    part = replace(box((0, 0), (9, 9)), triangles=np.array([[0, 1, bad]], np.int32))
    with pytest.raises(InputError, match="got indices .* expected 0..3 as there are 4 vertices"):
        renderer.render([face([part])], style=Style(mode=mode))
    assert renderer.render([face([ball(30)])])[60, 80].max() > 60


@pytest.mark.parametrize("background", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
                                        np.zeros((4, 4, 3), np.float32), "frame", np.zeros((0, 4, 3), np.uint8)])
def test_bad_backgrounds_are_refused(renderer: MeshRenderer, background: Any) -> None:
    with pytest.raises(InputError, match="got .*expected"):
        renderer.render([], background=background)
    assert (renderer.height, renderer.width) == (120, 160)


def test_bad_out_is_refused(renderer: MeshRenderer, photo: np.ndarray) -> None:
    for out in (np.zeros((120, 160, 4), np.uint8), np.zeros((60, 160, 3), np.uint8), photo,
                np.zeros((120, 160, 3), np.int8), np.zeros((120, 320, 3), np.uint8)[:, ::2]):
        with pytest.raises(InputError, match="out: expected a writeable, C-contiguous uint8 array .120, 160, 3."):
            renderer.render([], out=out)


@pytest.mark.parametrize(("height", "width"), [(0, 10), (10, 0), (-1, 5), (10, 10 ** 6)])
def test_impossible_sizes_are_refused(context: moderngl.Context, height: int, width: int) -> None:
    with pytest.raises(InputError, match="expected sides of 1.."):
        MeshRenderer(context, height, width)


def test_negative_samples_are_refused_and_many_are_cut(context: moderngl.Context) -> None:
    with pytest.raises(InputError, match="samples: got -1, expected 0 or more"):
        MeshRenderer(context, 4, 4, samples=-1)
    with MeshRenderer(context, 4, 4, samples=1000) as made:
        assert made.samples == context.max_samples


def test_foreign_gl_errors_are_reported_as_such(renderer: MeshRenderer, context: moderngl.Context) -> None:
    context.enable_direct(0xFFFF)
    with pytest.raises(RenderError, match="GL_INVALID_ENUM after calls outside the renderer"):
        renderer.render([])


def test_released_renderer_says_so(context: moderngl.Context) -> None:
    with MeshRenderer(context, 8, 8) as made:
        pass
    made.release()  # twice is fine
    for call in (lambda: made.render([]), lambda: made.resize(4, 4), lambda: made.draw([])):
        with pytest.raises(RenderError, match=r"got a call after release\(\)"):
            call()


class _Watched:
    """A context that remembers what was made in it."""

    def __init__(self, context: moderngl.Context) -> None:
        self._context = context
        self.made: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._context, name)
        if name not in ("buffer", "depth_renderbuffer", "framebuffer", "program", "renderbuffer", "scope", "texture",
                        "vertex_array"):
            return value

        def make(*args: Any, **options: Any) -> Any:
            self.made.append(value(*args, **options))
            return self.made[-1]

        return make

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_context", "made"):
            super().__setattr__(name, value)
        else:
            setattr(self._context, name, value)

    def alive(self) -> int:
        return sum(type(item.mglo).__name__ != "InvalidObject" for item in self.made)


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2 ** 20


def test_fifty_renderers_leave_nothing_behind(context: moderngl.Context) -> None:
    watched: Any = _Watched(context)
    sizes = []
    for k in range(50):
        with MeshRenderer(watched, 500 + k, 600) as made:
            made.render([face([ball(5)], translation=(12, 8))], style=Style(mode="wireframe" if k % 2 else "lit"))
            made.resize(400, 300)
            made.draw([])
            assert watched.alive() > 10
        assert watched.alive() == 0
        sizes.append(_resident_mb())
    assert len(watched.made) > 50 * 20
    assert sizes[-1] - sizes[5] < 60  # a renderer of this size holds more than 10 MB


def test_frames_leave_nothing_behind(context: moderngl.Context) -> None:
    watched: Any = _Watched(context)
    with MeshRenderer(watched, 60, 80) as made:
        heads = [face([ball(20)], translation=(40, 30))]
        made.render(heads)
        alive = watched.alive()
        for _ in range(10):
            made.render(heads)
        assert watched.alive() == alive


def test_broken_shader_is_an_error_and_leaves_nothing_behind(context: moderngl.Context,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    watched: Any = _Watched(context)
    monkeypatch.setattr("rtface.render.renderer._shader", lambda file: "nonsense")
    with pytest.raises(RenderError, match="(?s)shader picture: got .*expected it to compile on"):
        MeshRenderer(watched, 8, 8)
    assert watched.made and watched.alive() == 0


def test_topologies_beyond_the_limit_are_dropped(renderer: MeshRenderer, context: moderngl.Context) -> None:
    renderer.render([face([box((0, 0), (5, 5))])])
    for _ in range(MAX_TOPOLOGIES + 20):
        renderer.render([face([box((0, 0), (5, 5))])])
    assert len(renderer._meshes) == MAX_TOPOLOGIES
