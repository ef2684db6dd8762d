"""Looking twice: what is asymmetric in the network's errors cancels, what is asymmetric in the face stays."""

from collections.abc import Mapping

import numpy as np
import pytest

from rtface.config import PipelineConfig, TrackerConfig
from rtface.contours import PARSING
from rtface.errors import InputError, ModelFileError
from rtface.inference import EngineSpec, FakeEngine
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.stages.reflect import ReflectedEngine, reflected_landmarks, reflected_maps, reflected_regressor
from rtface.types import Frame
from tests import blobs

SIDE = 128


@pytest.fixture(scope="module")
def mirror() -> Mirror:
    return Mirror(MorphableModel.load(level=0))


def crops(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((2, 3, SIDE, SIDE), dtype=np.float32)


def test_an_error_to_one_side_cancels_and_the_truth_stays() -> None:
    def find(crops: np.ndarray) -> Mapping[str, np.ndarray]:
        """Each crop's brightest column, 3 px too far to the right; its side is told by landmark 36 (an eye)."""
        column = crops.mean(axis=(1, 2)).argmax(axis=1) + np.float32(0.5)
        points = np.zeros((len(crops), 68, 2), np.float32)
        points[..., 0] = column[:, None] + 3
        visibility = np.zeros((len(crops), 68), np.float32)
        eyes = np.where(column < SIDE / 2, 36, 45)
        points[range(len(crops)), eyes, 1], visibility[range(len(crops)), eyes] = 10, 1
        return {"landmarks": points, "presence": np.full(len(crops), 0.9, np.float32), "visibility": visibility}

    engine = FakeEngine(blobs.SPECS["landmarks"], find)
    picture = np.zeros((1, 3, SIDE, SIDE), np.float32)
    picture[..., 20] = 1
    out = reflected_landmarks(engine).run(crops=picture)
    np.testing.assert_allclose(out["landmarks"][..., 0], 20.5, atol=1e-5)  # 23.5, and in the mirror 17.5
    assert out["landmarks"][0, 36, 1] == 10 and np.count_nonzero(out["landmarks"][0, :, 1]) == 1
    assert out["visibility"][0, 36] == 1 and out["visibility"].sum() == 1
    assert out["presence"] == pytest.approx(0.9)
    assert engine.calls == 1  # both pictures in one batch


def test_coefficients_are_the_mean_of_both_looks(mirror: Mirror) -> None:
    spec, rng = blobs.SPECS["regressor"], np.random.default_rng(1)
    straight, turned = rng.normal(size=(2, 1, 239)).astype(np.float32)
    told = {"image": np.zeros((1, 3, 224, 224), np.float32)}
    told["image"][..., :100] = 1  # bright on the left: the picture; on the right: its mirror image

    def regress(crops: np.ndarray) -> Mapping[str, np.ndarray]:
        return {"coefficients": np.where(crops[:, 0, 0, :1] > 0, straight, turned)}

    twice = reflected_regressor(FakeEngine(spec, regress), mirror)
    np.testing.assert_allclose(twice.run(crops=told["image"])["coefficients"],
                               (straight + mirror.coefficients(turned, 224.0)) / 2, rtol=1e-6)
    exact = FakeEngine(spec, lambda crops: {"coefficients": np.where(
        crops[:, 0, 0, :1] > 0, straight, mirror.coefficients(straight, 224.0)).astype(np.float32)})
    both = reflected_regressor(exact, mirror).run(crops=told["image"])["coefficients"]
    np.testing.assert_allclose(both, straight, atol=1e-4)


def test_masks_are_turned_with_their_pictures(mirror: Mirror) -> None:
    seen = []
    spec = EngineSpec("regressor", "compact", (*blobs.SPECS["landmarks"].inputs, blobs.GUIDED[1]),
                      blobs.SPECS["regressor"].outputs, basis=mirror.basis_id)

    def regress(crops: np.ndarray, mask: np.ndarray) -> Mapping[str, np.ndarray]:
        assert crops.flags.c_contiguous and mask.flags.c_contiguous
        seen.append((crops, mask))
        return {"coefficients": np.zeros((len(crops), 239), np.float32)}

    mask = (crops(1)[:, :1] > 0.5).astype(np.float32)
    reflected_regressor(FakeEngine(spec, regress), mirror).run(crops=crops(), mask=mask)
    ((pictures, masks),) = seen
    np.testing.assert_array_equal(pictures, np.concatenate([crops(), crops()[..., ::-1]]))
    np.testing.assert_array_equal(masks, np.concatenate([mask, mask[..., ::-1]]))


def test_no_faces_and_a_wrong_basis(mirror: Mirror) -> None:
    out = reflected_landmarks(FakeEngine(blobs.SPECS["landmarks"], blobs.find_landmarks)).run(crops=crops()[:0])
    assert out["landmarks"].shape == (0, 68, 2)
    other = EngineSpec("regressor", "compact", blobs.SPECS["regressor"].inputs, blobs.SPECS["regressor"].outputs,
                       basis="other-2")
    with pytest.raises(ModelFileError, match="other-2.*rtface.train.regressor"):
        reflected_regressor(FakeEngine(other, blobs.regress), mirror)


def test_maps_of_classes_are_turned_back_and_eyes_change_sides() -> None:
    left, right = PARSING.index("left_eye"), PARSING.index("right_eye")

    def classes(crops: np.ndarray, bright: int, dark: int, count: int) -> np.ndarray:
        maps = np.zeros((len(crops), count, SIDE, SIDE), np.float32)
        maps[:, bright], maps[:, dark] = crops[:, 0] > 0.5, crops[:, 0] <= 0.5
        return maps

    def parse(crops: np.ndarray) -> Mapping[str, np.ndarray]:
        """The bright half is an eye: the left one in the picture, and therefore the right one in its mirror image."""
        maps = [classes(crops[:1], left, right, 19), classes(crops[1:], right, left, 19)]
        return {"probability": np.concatenate(maps)}

    picture = np.zeros((1, 3, SIDE, SIDE), np.float32)
    picture[..., :SIDE // 4] = 1
    engines = reflected_maps({
        "segment": FakeEngine(blobs.SPECS["segment"], lambda crops: {"probability": classes(crops, 2, 1, 3)}),
        "parse": FakeEngine(blobs.SPECS["parse"], parse),
        "landmarks": FakeEngine(blobs.SPECS["landmarks"], blobs.find_landmarks)})
    for name, bright, dark in (("segment", 2, 1), ("parse", left, right)):
        maps = engines[name].run(crops=picture)["probability"]
        assert (maps[0, bright, :, :SIDE // 4] == 1).all() and (maps[0, dark, :, SIDE // 4:] == 1).all()
        assert maps.sum() == SIDE * SIDE
    assert not isinstance(engines["landmarks"], ReflectedEngine)


def test_closing_it_leaves_the_engine_open() -> None:
    engine = FakeEngine(blobs.SPECS["landmarks"], blobs.find_landmarks)
    with reflected_landmarks(engine) as twice:
        assert (twice.spec, twice.backend) == (engine.spec, engine.backend)
    assert engine.run(crops=crops()).keys() == {"landmarks", "presence", "visibility"}


@pytest.mark.parametrize("reflect", [True, False])
def test_the_pipeline_looks_twice_unless_told_not_to(reflect: bool) -> None:
    looked: dict[str, list[int]] = {"landmarks": [], "regressor": []}

    def find(crops: np.ndarray) -> Mapping[str, np.ndarray]:
        looked["landmarks"].append(len(crops))
        return blobs.find_landmarks(crops)

    def regress(crops: np.ndarray) -> Mapping[str, np.ndarray]:
        looked["regressor"].append(len(crops))
        return blobs.regress(crops)

    engines = {**blobs.engines(), "landmarks": FakeEngine(blobs.SPECS["landmarks"], find),
               "regressor": FakeEngine(blobs.SPECS["regressor"], regress)}
    config = PipelineConfig(meshes=False, reflect=reflect, tracker=TrackerConfig(faces=1))
    with Pipeline(config, engines=engines) as chain:
        result = chain.process(Frame(blobs.paint([(80, 60, 50, 0)]), 0, 0.0))
    assert len(result.tracks) == 1
    looks = 2 if reflect else 1
    assert looked == {"landmarks": [looks, looks], "regressor": [looks]}
    with pytest.raises(InputError, match="reflect"):
        PipelineConfig(reflect="twice")  # type: ignore[arg-type]


def test_it_is_an_engine_for_any_network_of_pictures() -> None:
    spec = EngineSpec("flat", "compact", (blobs.GUIDED[1],), (blobs.GUIDED[1],))
    engine = FakeEngine(spec, lambda mask: {"mask": mask})
    twice = ReflectedEngine(engine, lambda out: {"mask": out["mask"][..., ::-1]})
    mask = crops()[:, :1]
    np.testing.assert_array_equal(twice.run(mask=mask)["mask"], mask)
