"""Core types check shapes once and say what was wrong."""

import numpy as np
import pytest

from rtface import Coefficients, FaceCrops, FaceTracks, Frame, InputError
from rtface.types import VECTOR_SIZE


def test_vector_has_239_numbers_in_the_papers_order():
    vector = np.arange(2 * VECTOR_SIZE, dtype=np.float32).reshape(2, VECTOR_SIZE)
    parts = Coefficients.from_vector(vector, "b")
    assert VECTOR_SIZE == 239
    assert parts.identity[0, 0] == 0 and parts.expression[0, 0] == 80 and parts.albedo[0, 0] == 144
    assert parts.illumination[0, 0] == 224 and parts.rotation[0, 0] == 233
    assert parts.scale[0] == 236 and parts.translation[0].tolist() == [237, 238]
    np.testing.assert_array_equal(parts.to_vector(), vector)


def test_no_face_is_an_empty_batch():
    assert len(FaceTracks.empty()) == 0
    assert len(Coefficients.from_vector(np.zeros((0, 239), np.float32), "b")) == 0


def test_wrong_shape_names_field_and_both_shapes():
    with pytest.raises(InputError, match=r"Frame.pixels: got shape \(4, 5\), expected \(H, W, 3\)"):
        Frame(np.zeros((4, 5), np.uint8), 0, 0.0)


def test_wrong_dtype_says_how_to_mend():
    with pytest.raises(InputError, match="got dtype float64, expected float32"):
        FaceCrops(np.zeros((1, 3, 8, 8)), np.zeros((1, 2, 3), np.float32), np.zeros(1, np.int32))


def test_face_counts_must_agree_between_fields():
    with pytest.raises(InputError, match="with N = 2"):
        FaceTracks(np.zeros(2, np.int32), np.zeros((3, 4), np.float32), np.zeros(2, np.float32),
                   np.zeros((2, 68, 2), np.float32), np.zeros(2, np.int32))


def test_repr_shows_shapes_not_values():
    text = repr(Frame(np.zeros((4, 5, 3), np.uint8), 3, 0.1))
    assert "uint8(4, 5, 3)" in text and "index=3" in text and "[" not in text
