"""The factory's pictures and labels agree with one another."""

import cv2
import numpy as np
import pytest

from rtface.errors import InputError
from rtface.geometry import box_iou, pose_vertices
from rtface.jaw import project_landmarks
from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
from rtface.synth.generator import FACE_CLASS, OCCLUSION, FaceFactory
from rtface.synth.occluders import MAKERS
from rtface.synth.people import sample_expression, sample_person
from rtface.synth.scene import SceneFactory
from rtface.types import Coefficients


@pytest.fixture(scope="module")
def factory():
    return FaceFactory()


FAR = (1e7, 1e7)
"""So far away that perspective is scaled orthography."""


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_same_seed_gives_the_same_picture_and_labels(factory):
    config = SynthConfig(size=96)
    a, b = factory.generate(rng(5), config), FaceFactory(factory.model).generate(rng(5), config)
    for name in ("pixels", "clean", "mask", "occluder", "coefficients", "landmarks", "visibility", "box_xyxy"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert a.kinds == b.kinds
    assert not np.array_equal(a.pixels, factory.generate(rng(6), config).pixels)


def test_coefficients_project_to_the_labelled_landmarks(factory):
    for seed in range(4):
        sample = factory.generate(rng(seed), SynthConfig(size=96, distance_mm=FAR))
        c = Coefficients.from_vector(sample.coefficients[None], "rtface-1")
        placed = pose_vertices(factory.model.vertices(c.identity, c.expression), c.rotation, c.scale, c.translation)
        landmarks = project_landmarks(factory.model, factory.jaw, placed, c.rotation[:, 2])[0, :, :2]
        np.testing.assert_allclose(landmarks, sample.landmarks, atol=0.02)


def test_near_cameras_foreshorten_and_the_residual_says_how_much(factory):
    def look(distance):
        config = SynthConfig(size=200, distance_mm=(distance, distance), yaw_deg=0, pitch_deg=0, roll_deg=0,
                             profile_share=0, occluder_rate=0)
        return factory.generate(rng(1), config)

    samples = [look(d) for d in (400, 1000, 1e7)]
    residuals = [s.camera.residual_mm for s in samples]
    assert residuals[0] > 1.8 * residuals[1] > 1 and residuals[2] < 0.01
    ears, eyes = (np.array([np.linalg.norm(s.landmarks[a] - s.landmarks[b]) for s in samples])
                  for a, b in ((0, 16), (36, 45)))
    assert (np.diff(ears / eyes) > 0.03).all()  # ears lie behind the eyes
    for sample in samples:  # the coefficients draw the face to within that residual
        c = Coefficients.from_vector(sample.coefficients[None], "rtface-1")
        placed = pose_vertices(factory.model.vertices(c.identity, c.expression), c.rotation, c.scale, c.translation)
        apart = placed[0, factory.model.landmarks68[17:], :2] - sample.landmarks[17:]
        assert np.linalg.norm(apart, axis=1).mean() < 2.2 * (sample.camera.residual_mm + 0.01) * c.scale[0]


def test_frontal_inner_landmarks_lie_on_the_face_mask(factory):
    config = SynthConfig(size=128, yaw_deg=5, occluder_rate=0)
    for seed in range(4):
        sample = factory.generate(rng(seed), config)
        x, y = sample.landmarks[27:].astype(int).T.clip(0, 127)
        assert (sample.mask[y, x] > 0).mean() > 0.9


def test_clean_twin_is_taken_by_the_same_camera(factory):
    """Colours, noise and blur are those of the picture: far from the occluder the twins agree."""
    apart, beyond = [], cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (41, 41))
    for seed in range(12):
        rng = np.random.default_rng([5, seed])
        sample = factory.generate(rng, SynthConfig(size=96, occluder_rate=1.0, glare_rate=0.0, occluder_kinds=("cup",)))
        far = cv2.dilate((sample.occluder > 0).astype(np.uint8), beyond) == 0
        if far.mean() > 0.1:
            apart.append(np.abs(sample.pixels.astype(int) - sample.clean)[far].mean())
    assert len(apart) >= 4 and np.median(apart) < 2 and max(apart) < 8


def test_clean_twin_differs_only_by_the_occluder_and_its_shadow(factory):
    config = SynthConfig(size=160, occluder_rate=1.0, camera=False, supersample=1.0, defocus_rate=0)
    shaded = 0
    for seed in range(6):
        sample = factory.generate(rng(seed), config)
        pixels, clean = sample.pixels.astype(int), sample.clean.astype(int)
        changed = (pixels != clean).any(axis=2)
        near = sample.occluder > 0
        assert changed[near].any() or not near.any()  # a cup may be out of the picture
        shadow = changed & ~near
        shaded += int(shadow.sum())
        assert (pixels - clean)[shadow].max(initial=0) <= 0  # shadows only darken
    assert shaded > 100


def test_mask_is_hidden_exactly_where_an_occluder_covers_the_face(factory):
    config = SynthConfig(size=128, occluder_rate=1.0, occluder_kinds=("hand",), supersample=1.0)
    drawn = (factory.generate(rng(k), config) for k in range(1, 12))
    sample = next(s for s in drawn if (s.mask == OCCLUSION).sum() > 50)
    assert not ((sample.mask == FACE_CLASS) & (sample.occluder > 0)).any()
    face = sample.mask > 0
    assert sample.visible_fraction == pytest.approx((sample.mask == FACE_CLASS).sum() / face.sum())


def test_covered_landmarks_are_not_visible(factory):
    config = SynthConfig(size=128, yaw_deg=4, pitch_deg=4, occluder_rate=1.0, occluder_kinds=("mask",))
    eyes = []
    for seed in range(8):
        sample = factory.generate(rng(seed), config)
        assert sample.visibility[48:68].mean() < 0.2  # the mouth is under the mask
        eyes.append(sample.visibility[36:48].mean())
    assert np.mean(eyes) > 0.5  # the eyes are not, though hair may cover some


@pytest.mark.parametrize("kind", list(MAKERS))
def test_every_occluder_is_a_valid_mesh_in_front_of_or_around_the_face(factory, kind):
    person = sample_person(rng(1), factory.model)
    face = factory.model.vertices(person.identity[None], np.zeros((1, 64), np.float32))[0]
    for seed in range(5):
        for piece in MAKERS[kind](rng(seed), factory.builder.anchors(person, face)):
            assert np.isfinite(piece.shape.vertices).all()
            assert 0 <= piece.shape.triangles.min() <= piece.shape.triangles.max() < len(piece.shape.vertices)
            assert ((piece.color >= 0) & (piece.color <= 1)).all()


def test_occluders_appear_at_the_configured_rate(factory):
    config = SynthConfig(occluder_rate=0.4)
    drawn = [factory.choose_occluders(rng(i), config) for i in range(2000)]
    assert np.mean([bool(k) for k in drawn]) == pytest.approx(0.4, abs=0.04)
    share = [np.mean([kind in k for k in drawn]) for kind in OCCLUDER_KINDS]
    assert min(share) > 0.5 * max(share)


def test_mouths_are_as_wide_and_eyes_as_open_as_those_of_people_who_are_photographed(factory):
    """Real portraits: mouths 51 to 83 % of the distance of the outer eye corners wide (5 to 95 % of people)."""
    model, drawn = factory.model, rng(0)
    identity = np.zeros(80, np.float32)
    expressions = np.stack([sample_expression(drawn, model, identity) for _ in range(600)])
    points = model.vertices(identity[None].repeat(600, axis=0), expressions)[:, model.landmarks68]
    eyes = np.linalg.norm(points[:, 36] - points[:, 45], axis=1)
    width, opening = (np.linalg.norm(points[:, a] - points[:, b], axis=1) / eyes for a, b in ((48, 54), (38, 40)))
    assert np.quantile(width, 0.05) < 0.55 and 0.58 < np.median(width) < 0.68 and np.quantile(width, 0.95) > 0.74
    assert 0.05 < (opening < 0.02).mean() < 0.2  # blinks


def test_expressions_stay_within_the_persons_limits(factory):
    model = factory.model
    for seed in range(50):
        identity = model.identity_samples[seed]
        expression = sample_expression(rng(seed), model, identity)
        assert (expression >= model.expression_min - 1e-6).all()
        assert (expression <= model.expression_limits(identity[None])[0] + 1e-6).all()


def test_scene_boxes_lie_inside_the_picture_and_hold_faces(factory):
    scenes = SceneFactory(factory, SynthConfig())
    counts, decoys = [], 0
    for seed in range(12):
        scene = scenes.generate(rng(seed), 128, 160)
        decoys += len(scene.decoys_xyxy)
        if len(scene.decoys_xyxy) and len(scene.boxes_xyxy):
            assert box_iou(scene.decoys_xyxy, scene.boxes_xyxy).max() < 0.1
        assert scene.pixels.shape == (128, 160, 3)
        assert (scene.boxes_xyxy >= 0).all() and (scene.boxes_xyxy <= [160, 128, 160, 128]).all()
        assert ((scene.visible >= 0) & (scene.visible <= 1)).all()
        counts.append(len(scene.boxes_xyxy))
    assert min(counts) <= 1 and max(counts) >= 3 and decoys >= 4


@pytest.mark.parametrize(("values", "message"), [({"size": 4}, "expected at least 16"),
                                                 ({"occluder_kinds": ("ghost",)}, "ghost"),
                                                 ({"occluder_rate": 1.5}, "expected 0 to 1"),
                                                 ({"profile_share": -1}, "expected 0 to 1"),
                                                 ({"distance_mm": (900, 300)}, "two rising ones"),
                                                 ({"glare_rate": 0.7}, "expected 0 to 0.5"),
                                                 ({"defocus_rate": 2}, "expected 0 to 1"),
                                                 ({"supersample": 9}, "expected 1 to 4")])
def test_bad_settings_are_named(values, message):
    with pytest.raises(InputError, match=message):
        SynthConfig(**values)
