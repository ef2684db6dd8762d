"""Mask → contour → completed face, over the fake networks of the painted world."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import pytest

from rtface.config import OcclusionConfig
from rtface.contours import grown, outlines, sketch
from rtface.errors import BackendError, InputError, ModelFileError
from rtface.inference import FakeEngine, TensorSpec
from rtface.stages.complete import Completer
from rtface.stages.crop import resized_mask
from rtface.stages.deocclude import Deoccluder, completed
from rtface.stages.structure import Structurer, hole
from rtface.types import Completion, FaceCrops, Structure
from tests import blobs
from tests.stages.test_occlude import LANDMARKS, crops

WHITE = (slice(70, 110), slice(20, 110))


def pair() -> FaceCrops:
    """A clean face and a half hidden one."""
    clean, covered = crops(), crops(WHITE)
    return FaceCrops(np.concatenate([clean.pixels, covered.pixels]),
                     np.concatenate([clean.crop_from_frame, covered.crop_from_frame]), np.array([7, 3], np.int32))


def contour(regress_share: float = 0.5) -> Deoccluder:
    return Deoccluder(blobs.engines(), OcclusionConfig(recipe="contour", regress_share=regress_share))


def test_outlines_are_the_pixels_around_a_region() -> None:
    parsing = np.zeros((9, 9), np.uint8)
    parsing[3:6, 3:6] = 1
    parsing[4, 4] = 4  # an eye in the skin
    got = outlines(parsing)
    want = np.zeros((9, 9), bool)
    want[2:7, 2:7] = True
    want[4, 4] = False  # its own ring lies on the skin
    assert np.array_equal(got, want)


def test_a_sketch_stands_for_the_contours_of_a_face() -> None:
    drawn = sketch(LANDMARKS, 128)[0]
    near = grown(drawn[None], 1)[0]
    rows = [*range(17), *range(31, 36), *range(36, 68)]  # brows have an outline around them, the bridge has none
    column, row = np.floor(LANDMARKS[0, rows]).astype(int).T
    assert near[row, column].all() and 0.02 < drawn.mean() < 0.12
    brow = np.floor(LANDMARKS[0, 19]).astype(int)
    assert not drawn[brow[1], brow[0]] and near[brow[1] - 2, brow[0]]
    assert not sketch(LANDMARKS + np.float32(500), 128).any()  # beyond the picture


def test_grown_masks_are_squares() -> None:
    mask = np.zeros((1, 7, 7), bool)
    mask[0, 3, 0] = True
    assert np.array_equal(np.argwhere(grown(mask, 2)[0]).tolist(),
                          [[y, x] for y in range(1, 6) for x in range(3)])
    assert grown(mask, 0).sum() == 1


def test_only_hidden_faces_are_completed_and_visible_pixels_stay_bit_for_bit() -> None:
    faces = pair()
    stages: list[str] = []

    def timed(name: str) -> AbstractContextManager[None]:
        stages.append(name)
        return nullcontext()

    occlusion, done = contour().apply(faces, np.repeat(LANDMARKS, 2, axis=0), timed)
    assert occlusion is not None and done is not None and len(done) == 1 and stages == ["occlude", "structure",
                                                                                       "complete"]
    assert done.after.track_ids.tolist() == [3]
    keep = done.mask[:, 0] < 0.5
    assert np.array_equal(done.after.pixels.transpose(0, 2, 3, 1)[keep], faces.pixels[1:].transpose(0, 2, 3, 1)[keep])
    inside = done.after.pixels[0][:, 80, 60]
    assert inside[0] in (np.float32(0.95), np.float32(0.9)) and not inside[1:].any()  # red, darker by its contour
    after = completed(faces, done)
    assert np.array_equal(after.pixels[0], faces.pixels[0]) and np.array_equal(after.pixels[1], done.after.pixels[0])
    assert after.track_ids.tolist() == [7, 3]


def test_crops_of_another_size_get_what_was_drawn_into_their_holes() -> None:
    small, side = pair(), 224
    _, done = contour().apply(small, np.repeat(LANDMARKS, 2, axis=0))
    assert done is not None
    noise = np.random.default_rng(0).random((2, 3, side, side), np.float32)
    faces = FaceCrops(noise, small.crop_from_frame, small.track_ids)
    after = completed(faces, done)
    assert np.array_equal(after.pixels[0], noise[0]) and after.track_ids.tolist() == [7, 3]
    inside = resized_mask(done.mask, side)[0, 0] > 0.5
    assert inside.mean() == pytest.approx(done.mask.mean(), abs=0.01) and inside[round(80.5 * side / 128), 105]
    assert np.array_equal(after.pixels[1][:, ~inside], noise[1][:, ~inside])
    drawn = after.pixels[1][:, round(80.5 * side / 128), round(60.5 * side / 128)]
    assert drawn[0] == pytest.approx(done.after.pixels[0][0, 80, 60], abs=0.06) and not drawn[1:].any()


def test_faces_that_are_little_hidden_are_regressed_from_what_is_seen() -> None:
    faces = pair()
    for size in (128, 224):
        given = faces if size == 128 else FaceCrops(np.zeros((2, 3, size, size), np.float32), faces.crop_from_frame,
                                                    faces.track_ids)
        for share, filled in ((0.0, True), (0.99, False)):
            stage = contour(regress_share=share)
            occlusion, done = stage.apply(faces, np.repeat(LANDMARKS, 2, axis=0))
            assert occlusion is not None and 0.01 < occlusion.visible_fraction[1] < 1
            got = stage.regressed(given, occlusion, done)
            assert np.array_equal(got.pixels, (completed(given, done) if filled else given).pixels)
            assert np.array_equal(got.pixels[0], given.pixels[0]) and got.track_ids.tolist() == [7, 3]
    assert stage.regressed(given, occlusion, None) is given and stage.regressed(given, None, None) is given


def test_the_hole_is_larger_than_the_mask() -> None:
    occlusion, done = contour().apply(crops(WHITE), LANDMARKS)
    assert occlusion is not None and done is not None
    rim = (done.mask > 0) & (occlusion.mask == 0)
    assert rim[0, 0, 67, 60] and not rim[0, 0, 66, 60] and not (occlusion.mask > done.mask).any()


def test_visible_contours_pass_and_hidden_ones_are_drawn() -> None:
    covered = crops(WHITE)
    mask = hole(covered.pixels[:, :1] * covered.pixels[:, 1:2] > 0.8, 3)
    structure = Structurer(blobs.engines()["parse"], blobs.engines()["contour"]).draw(covered, mask, LANDMARKS)
    drawn = structure.contour[0, 0][mask[0, 0] > 0]
    assert set(np.unique(drawn)) == {0.5, 1.0}  # the network's half lines, and what the landmarks tell
    assert np.array_equal(drawn == 1.0, sketch(LANDMARKS, 128)[0][mask[0, 0] > 0])
    assert structure.contour[0, 0, 29, 40:90].all() and not structure.contour[0, 0, 40:60, 40:90].any()


def test_clean_faces_skip_what_comes_after_the_mask() -> None:
    occlusion, done = contour().apply(crops(), LANDMARKS)
    assert occlusion is not None and done is None
    faces = crops()
    assert completed(faces, None) is faces


@pytest.mark.parametrize(("recipe", "looks"), [("off", False), ("mask", True)])
def test_lighter_recipes_do_not_need_the_other_networks(recipe: str, looks: bool) -> None:
    engines = {"segment": blobs.engines()["segment"]} if looks else {}
    stage = Deoccluder(engines, OcclusionConfig(recipe=recipe))  # type: ignore[arg-type]
    occlusion, done = stage.apply(crops(WHITE), LANDMARKS)
    assert (occlusion is not None) == looks and done is None and (stage.size is None) != looks


def test_no_faces_at_all() -> None:
    none = FaceCrops(np.zeros((0, 3, 128, 128), np.float32), np.zeros((0, 2, 3), np.float32), np.zeros(0, np.int32))
    nobody = np.zeros((0, 68, 2), np.float32)
    occlusion, done = contour().apply(none, nobody)
    assert occlusion is not None and len(occlusion) == 0 and done is None
    empty = np.zeros((0, 1, 128, 128), np.float32)
    engines = blobs.engines()
    assert len(Structurer(engines["parse"], engines["contour"]).draw(none, empty, nobody).contour) == 0
    assert len(Completer(engines["complete"]).fill(none, empty, Structure(empty))) == 0


@pytest.mark.parametrize(("name", "output"), [("contour", "contour_goal"), ("complete", "pixels")])
def test_networks_that_give_nan_are_named(name: str, output: str) -> None:
    def broken(crops: np.ndarray, mask: np.ndarray, contour: np.ndarray) -> dict[str, np.ndarray]:
        shape = crops.shape if output == "pixels" else mask.shape
        return {output: np.full(shape, np.nan, np.float32)}

    engines = {**blobs.engines(), name: FakeEngine(blobs.SPECS[name], broken)}
    with pytest.raises(BackendError, match=f"{name}: got .* that are not finite"):
        Deoccluder(engines, OcclusionConfig(recipe="contour")).apply(crops(WHITE), LANDMARKS)


def test_networks_of_different_sizes_are_refused() -> None:
    spec = replace(blobs.SPECS["complete"], inputs=(TensorSpec("crops", ("N", 3, 256, 256)),))
    engines = {**blobs.engines(), "complete": FakeEngine(spec, blobs.complete)}
    with pytest.raises(ModelFileError, match="crops of \\[128, 256\\] px, expected one size"):
        Deoccluder(engines, OcclusionConfig(recipe="contour"))


def test_records_check_their_shapes() -> None:
    faces = crops(WHITE)
    mask = np.zeros((1, 1, 128, 128), np.float32)
    with pytest.raises(InputError, match="Completion.mask"):
        Completion(faces, mask[:, :, :64], Structure(mask), faces)
    with pytest.raises(InputError, match="Completion.structure.contour"):
        Completion(faces, mask, Structure(mask[:, :, :64, :64]), faces)
