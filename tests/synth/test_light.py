"""Cast shadows, skin relief and hair that stays outside of the face."""

import numpy as np
import pytest

from rtface.geometry import spherical_harmonics
from rtface.morphable import MorphableModel
from rtface.synth.hair import SEGMENTS, Locks, clear_of
from rtface.synth.head import occluder_surface
from rtface.synth.piece import Piece
from rtface.synth.relief import DEPTH_MM, FOLDED_BY, FOLDS, ReliefParams, emboss, fold_fields, height_map
from rtface.synth.render import Light, draw, irradiated, over, place
from rtface.synth.shadow import lit_share
from rtface.synth.shapes import box, cross, strips

DOWN_LEFT = np.array([0.6, -0.6, -0.53], np.float32)


@pytest.fixture(scope="module")
def model():
    return MorphableModel.load()


def plane(half, depth):
    """A grid of points (G², 3) that looks at the camera."""
    axis = np.linspace(-half, half, 41, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    points = np.stack([x, y, np.full_like(x, depth)], -1).reshape(-1, 3)
    return points, np.tile(np.array([0, 0, -1], np.float32), (len(points), 1))


def test_shadow_lies_where_the_light_is_blocked():
    wall, normals = plane(60, 0.0)
    card = box(np.array([0, 0, -40.0]), np.diag([15.0, 15, 0.5]))
    towards = DOWN_LEFT / np.linalg.norm(DOWN_LEFT)
    lit = lit_share(wall, normals, card.vertices, card.triangles, towards, px_per_mm=1.0, softness_mm=1.0)
    center = -towards[:2] / towards[2] * -40  # the card's middle, moved along the light onto the wall
    inside = (np.abs(wall[:, :2] - center) < 11).all(axis=1)
    outside = (np.abs(wall[:, :2] - center) > 19).any(axis=1)
    assert inside.sum() > 20 and lit[inside].max() == 0
    assert lit[outside].min() == 1
    soft = lit_share(wall, normals, card.vertices, card.triangles, towards, px_per_mm=1.0, softness_mm=8.0)
    assert ((soft > 0.05) & (soft < 0.95)).sum() > 2 * ((lit > 0.05) & (lit < 0.95)).sum()


def test_an_open_surface_does_not_shade_itself(model):
    normals = np.stack([np.zeros(len(model.mean)), np.zeros(len(model.mean)), -np.ones(len(model.mean))], -1)
    front = np.array([0.0, 0.0, -1.0], np.float32)
    lit = lit_share(model.mean, normals.astype(np.float32), model.mean, model.triangles, front, px_per_mm=1.0,
                    softness_mm=3.0)
    forehead = model.region_mask("forehead")
    assert lit[forehead].mean() > 0.97
    ears = model.region_mask("neck")
    assert lit[ears].mean() < 0.9  # the chin's shadow


def test_drawing_with_a_shadow_is_darker_only_there():
    wall, normals = plane(60, 0.0)
    light = Light(np.array([0.5 + 0.25 * 0.8, -0.24, -0.2, 0.24, 0, 0, 0, 0, 0], np.float32), np.ones(3, np.float32),
                  DOWN_LEFT / np.linalg.norm(DOWN_LEFT), 0.8, 1.0)
    rows = np.arange(40)[:, None] * 41 + np.arange(40)
    triangles = np.stack([np.stack([rows, rows + 41, rows + 1], -1), np.stack([rows + 1, rows + 41, rows + 42], -1)])
    shape = box(np.array([0, 0, -40.0]), np.diag([15.0, 15, 0.5]))
    card = occluder_surface(Piece(shape, np.full(3, 0.5, np.float32), 0.0), 0)
    ground = card._replace(vertices=wall, triangles=triangles.reshape(-1, 3).astype(np.int32),
                           albedo=np.full((len(wall), 3), 0.5, np.float32), kind=np.zeros(len(wall), np.uint8),
                           gloss=np.zeros(len(wall), np.float32), normals=normals)
    pose = np.array([0, 0, 0, 1, 64, 64], np.float32)
    alone, both = (draw(s, pose, light, None, 128, 128) for s in ([ground], [ground, card]))
    on_ground = both.kind == 0
    darker = (both.color < alone.color - 1e-4).all(axis=-1) & on_ground
    assert 300 < darker.sum() < 2500
    same = on_ground & ~darker
    assert same.sum() > 8000 and np.abs(both.color - alone.color)[same].max() < 1e-5
    unlit = draw([ground, card], pose, light._replace(direct=0.0), None, 128, 128)
    assert np.abs(unlit.color - alone.color)[on_ground].max() < 1e-5


def test_drawings_merge_by_depth():
    pose, light = np.array([0, 0, 0, 1, 32, 32], np.float32), Light(
        np.eye(9, dtype=np.float32)[0], np.ones(3, np.float32), np.array([0, 0, -1], np.float32))
    cards = [occluder_surface(Piece(box(np.array([x, 0, z]), np.diag([12.0, 12, 0.5])), np.full(3, c, np.float32), 0.0),
                              k) for k, (x, z, c) in enumerate(((-5.0, 0.0, 0.2), (5.0, -10.0, 0.8)))]
    far, near = (draw([card], pose, light, None, 64, 64) for card in cards)
    joint = draw(cards, pose, light, None, 64, 64)
    for merged in (over(near, far), over(far, near)):
        np.testing.assert_array_equal(merged.kind, joint.kind)
        np.testing.assert_array_equal(merged.depth, joint.depth)
        np.testing.assert_allclose(merged.color, joint.color, atol=1e-6)


def test_wrinkles_lie_in_their_places_and_deepen_with_expression(model):
    size = 256
    fields, mm_per_texel = fold_fields(size)
    assert fields.shape == (len(FOLDS), size, size) and 0.5 < mm_per_texel < 2
    uv = model.uv[model.landmarks68] * size
    rows, columns = np.mgrid[:size, :size]
    middle = {name: (fields[k] * np.stack([columns, rows])).sum(axis=(1, 2)) / fields[k].sum()
              for k, name in enumerate(FOLDS)}
    assert middle["forehead"][1] < uv[17:27, 1].min() and middle["crow"][1] < uv[33, 1]
    assert uv[33, 1] < middle["nasolabial"][1] < uv[57, 1] < middle["marionette"][1]
    names = model.expression_names
    params = ReliefParams(0.0, 0.0, 0.0, 1.0, (3, 5))
    rest = height_map(params, names, np.zeros(64, np.float32), size)
    assert np.abs(rest).max() == 0
    for k, name in enumerate(FOLDS):
        expression = np.zeros(64, np.float32)
        expression[names.index(FOLDED_BY[name][0])] = 1
        height = height_map(params, names, expression, size)
        assert -2 < height.min() and height.max() <= 0.01
        assert -1.6 * DEPTH_MM[name] < height[fields[k] > 0.8].mean() < -0.3 * DEPTH_MM[name]
    old = height_map(params._replace(age=1.0), names, np.zeros(64, np.float32), size)
    assert all(old[f > 0.8].mean() < -0.2 for f in fields)


def test_relief_is_bright_towards_the_light(model):
    size = 128
    x = np.mgrid[:size, :size][1].astype(np.float32)
    ridge = np.exp(-((x - 64) / 6) ** 2)  # rises to the middle from both sides
    gray = np.full((size, size, 3), 0.5, np.float32)
    from_left = emboss(gray, ridge, np.array([-1.0, 0, 0], np.float32), 1.0)[64, :, 0]
    assert from_left[58] > 0.51 and from_left[70] < 0.49
    np.testing.assert_allclose(emboss(gray, np.zeros_like(ridge), np.array([-1.0, 0, 0]), 1.0), gray)


def test_locks_are_pulled_out_of_the_face_or_left_out():
    surface, _ = plane(60, 0.0)
    surface = np.concatenate([surface, surface + [0, 0, 200]]).astype(np.float32)  # a face and the back of the head
    places = np.array([[0, 0, 30], [10, 10, -20], [0, 0, 150], [300, 0, 30]], np.float32)
    points = np.repeat(places, 2 * SEGMENTS, axis=0)  # four locks without extent
    first = np.arange(4)[:, None] * (2 * SEGMENTS)
    locks = Locks(points, (first + [0, 1, 2]).astype(np.int32), points, points)
    cleared = clear_of(locks, surface, keep=True)
    np.testing.assert_allclose(cleared.vertices[::2 * SEGMENTS], [[0, 0, -2], [10, 10, -20], [0, 0, 150], [300, 0, 30]])
    np.testing.assert_array_equal(cleared.triangles, locks.triangles)
    dropped = clear_of(locks, surface, keep=False)
    np.testing.assert_array_equal(dropped.vertices, points)
    np.testing.assert_array_equal(dropped.triangles, locks.triangles[1:])


def test_light_spreads_in_skin_red_most_and_nowhere_else():
    rng = np.random.default_rng(4)
    normals = rng.normal(size=(500, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    harmonics = rng.normal(size=9).astype(np.float32)
    plain = spherical_harmonics(normals) @ harmonics
    hard = irradiated(normals, np.zeros(500, np.float32), harmonics)
    np.testing.assert_allclose(hard, np.repeat(plain[:, None], 3, axis=1), atol=1e-5)
    soft = irradiated(normals, np.ones(500, np.float32), harmonics)
    contrast = soft.std(axis=0)
    assert contrast[0] < contrast[1] < contrast[2] < hard[:, 0].std() and contrast[0] > 0.9 * hard[:, 0].std()


def test_closed_surfaces_come_first_and_only_their_backs_are_left_out():
    pose = np.array([0, 0, 0, 1, 32, 32], np.float32)
    corners = np.array([[-20, -20, 0], [-20, 20, 0], [20, -20, 0]], np.float32)
    kinds = {}
    for name, order in (("towards", [[0, 1, 2]]), ("away", [[0, 2, 1]])):
        for closed in (True, False):
            sheet = occluder_surface(Piece(box(np.zeros(3), np.eye(3)), np.full(3, 0.5, np.float32), 0.0), 0)
            sheet = sheet._replace(vertices=corners, triangles=np.array(order, np.int32),
                                   albedo=np.ones((3, 3), np.float32),
                                   kind=np.zeros(3, np.uint8), gloss=np.zeros(3, np.float32), closed=closed)
            thing = occluder_surface(Piece(box(np.array([0.0, 0, 500]), np.eye(3)), np.ones(3, np.float32), 0.0), 1)
            mesh = place([thing, sheet], pose)
            assert mesh.closed == (1 if closed else 0) and mesh.closed_casters == mesh.closed
            assert mesh.triangles[0].max() < (3 if closed else 8)
            kinds[name, closed] = mesh.rasterize(64, 64).triangle_id[20, 20] >= 0
    assert kinds == {("towards", True): True, ("towards", False): True, ("away", True): False, ("away", False): True}


def test_what_does_not_cast_or_receive_has_no_shadow():
    pose = np.array([0, 0, 0, 1, 32, 32], np.float32)
    things = [occluder_surface(Piece(box(np.array([x, 0, 0]), np.eye(3) * 5), np.ones(3, np.float32), 0.0), 0)
              for x in (-10.0, 10.0)]
    mesh = place([things[0]._replace(casts=False), things[1]._replace(receives=False)], pose)
    each = len(things[0].vertices)
    assert len(mesh.casters) == len(things[1].triangles) and mesh.casters.min() >= each
    np.testing.assert_array_equal(mesh.receiving, np.arange(2 * each) < each)


def test_strips_are_two_triangles_per_piece_of_every_ribbon():
    np.testing.assert_array_equal(strips(2, 2), [[0, 1, 3], [0, 3, 2], [4, 5, 7], [4, 7, 6]])
    assert strips(0, 4).shape == (0, 3) and strips(5, 4).shape == (30, 3) and strips(5, 4).max() == 39
    a, b = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    np.testing.assert_allclose(cross(a, b), np.cross(a, b))
