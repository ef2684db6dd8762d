"""Dense labels agree with the picture, with the sparse labels and with one another."""

import cv2
import numpy as np
import pytest

from rtface.contours import FEATURES, PARSING, features
from rtface.synth import labels, shards
from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
from rtface.synth.generator import FACE_CLASS, OCCLUSION, FaceFactory
from rtface.synth.people import sample_person
from rtface.synth.render import sample_light
from rtface.train.data import load_shard

NUMBER = {name: k for k, name in enumerate(PARSING)}


@pytest.fixture(scope="module")
def factory():
    return FaceFactory()


def frontal(factory, seed, **options):
    config = SynthConfig(size=200, supersample=1.0, camera=False, dense=True, yaw_deg=6, pitch_deg=5, roll_deg=4,
                         profile_share=0, **options)
    return factory.generate(np.random.default_rng(seed), config)


def middle(parsing, name):
    rows, columns = np.nonzero(parsing == NUMBER[name])
    assert len(rows) > 3, f"no {name}"
    return np.array([columns.mean(), rows.mean()]) + 0.5


def test_dense_labels_come_only_when_asked_for(factory):
    assert factory.generate(np.random.default_rng(0), SynthConfig(size=64)).dense is None


@pytest.mark.parametrize("seed", [2, 5, 9])
def test_features_lie_at_their_landmarks(factory, seed):
    sample = frontal(factory, seed, occluder_rate=0)
    parsing, points = sample.dense.clean_parsing, sample.landmarks
    np.testing.assert_array_equal(sample.dense.parsing, parsing)  # nothing hides anything
    reach = np.linalg.norm(points[45] - points[36])
    for name, rows in (("nose", slice(27, 36)), ("upper_lip", slice(48, 55)), ("lower_lip", slice(55, 60)),
                       ("right_brow", slice(17, 22)), ("left_brow", slice(22, 27))):
        if (parsing == NUMBER[name]).sum() > 20:  # hair may hide a brow
            assert np.linalg.norm(middle(parsing, name) - points[rows].mean(axis=0)) < 0.2 * reach
    skin = parsing == NUMBER["skin"]
    assert skin.sum() > 0.2 * (np.prod(np.ptp(points, axis=0)))
    assert middle(parsing, "neck")[1] > points[8, 1] - 0.2 * reach


def test_left_is_the_persons_own(factory):
    for seed in range(12):
        sample = frontal(factory, seed, occluder_rate=0)
        parsing = sample.dense.clean_parsing
        if min((parsing == NUMBER[n]).sum() for n in ("left_eye", "right_eye")) > 12:
            assert middle(parsing, "left_eye")[0] > middle(parsing, "right_eye")[0]
            return
    pytest.fail("no open eyes in twelve faces")


def test_parsing_agrees_with_the_mask_and_the_occluders(factory):
    for seed, kind, worn in ((1, "hand", "background"), (2, "hat", "hat"), (3, "sunglasses", "eye_glasses"),
                             (4, "scarf", "cloth"), (5, "mask", "background"), (6, "helmet", "hat")):
        sample = frontal(factory, seed, occluder_rate=1, occluder_kinds=(kind,))
        parsing, clean = sample.dense.parsing, sample.dense.clean_parsing
        covered = sample.occluder == 1 + OCCLUDER_KINDS.index(kind)
        assert covered.any() and (parsing[covered] == NUMBER[worn]).all()
        np.testing.assert_array_equal(parsing[~covered], clean[~covered])
        face = np.isin(parsing, [NUMBER[n] for n in ("skin", "nose", "left_eye", "right_eye", "left_brow", "right_brow",
                                                     "upper_lip", "lower_lip", "mouth")])
        assert (sample.mask[face & (sample.mask > 0)] == FACE_CLASS).mean() > 0.97
        assert not face[sample.mask == OCCLUSION].any()


def test_contours_are_lines_on_the_borders_of_features(factory):
    sample = frontal(factory, 9, occluder_rate=0)
    contour, points = sample.dense.contour, sample.landmarks
    assert contour.max() == 255 and 0.005 < (contour > 127).mean() < 0.08
    near = cv2.distanceTransform((contour < 128).astype(np.uint8), cv2.DIST_L2, 5)
    place = np.clip(points.astype(int), 0, 199)
    outer_lips = place[48:60]
    assert near[outer_lips[:, 1], outer_lips[:, 0]].mean() < 4  # px
    assert near[place[3:14, 1], place[3:14, 0]].mean() < 5  # the jaw
    assert near[place[30, 1], place[30, 0]] > 3  # the nose's tip is no border


def test_features_are_the_papers_five():
    got = features(np.arange(19, dtype=np.uint8))
    assert " ".join(FEATURES[k - 1] if k else "-" for k in got) == (
        "- skin nose - eyes eyes brows brows - - lips lips lips - - - - - -")


def test_depth_and_normals_fit_the_geometry(factory):
    sample = frontal(factory, 9, occluder_rate=0)
    depth, normals, points = sample.dense.depth_mm, sample.dense.normals, sample.landmarks.astype(int)
    there = np.isfinite(depth)
    assert (normals[there] != 0).any(axis=-1).mean() > 0.99 and not normals[~there].any()
    length = np.linalg.norm(normals[there].astype(float), axis=-1)
    assert np.abs(length - 127).max() < 2
    tip, ear = (depth[points[i, 1], points[i, 0]] for i in (30, 2))
    assert 40 < ear - tip < 140  # mm
    assert normals[there][:, 2].mean() < -20  # towards the camera


def test_seen_vertices_are_the_ones_that_nothing_hides(factory):
    open_face = frontal(factory, 9, occluder_rate=0).dense.seen
    model = factory.model
    assert open_face[model.region_mask("nose")].mean() > 0.7
    masked = frontal(factory, 9, occluder_rate=1, occluder_kinds=("mask",)).dense.seen
    lips = model.region_mask("upper_lip", "lower_lip")
    assert open_face[lips].mean() > 0.4 > 0.1 > masked[lips].mean()
    assert masked[model.region_mask("brow")].mean() > 0.3


def test_dense_shards_keep_their_labels(factory, tmp_path):
    config = SynthConfig(size=64, clean_twin=False, dense=True)
    list(shards.write(tmp_path, 3, config=config))
    shard = load_shard(tmp_path / "faces_00000.npz")
    want = factory.generate(np.random.default_rng([0, 0, 1]), config).dense
    for name in ("parsing", "clean_parsing", "contour"):
        np.testing.assert_array_equal(shards.decode(shard.blob(name, 1)), getattr(want, name))


def test_beards_leave_the_contour_alone(factory):
    model = factory.model
    person = next(p for p in (sample_person(np.random.default_rng(i), model) for i in range(200)) if p.skin.beard)
    shaved = person._replace(skin=person.skin._replace(beard=0.0, stubble=0.0, moustache=0.0, goatee=0.0))
    pose = np.array([0, 0, 0, 0.6, 80, 80], np.float32)
    outlines = []
    for p in (person, shaved):
        rng = np.random.default_rng(0)
        shot = factory.shoot(rng, factory.stage(rng, p, np.zeros(64, np.float32), ()), pose,
                             sample_light(np.random.default_rng(1)), 160, 160)
        bare = labels.parse(shot.head, *labels.without_hair(shot.head, 160, 160), p.skin, haired=p.hair is not None)
        outlines.append(labels.contours(bare, 160) > 127)
    assert (outlines[0] == outlines[1]).all() and outlines[0].sum() > 200
