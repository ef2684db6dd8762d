"""The only crop, rotation and projection maths: training, synthesis and run time all use these functions.

Rotations turn head space (x right, y down, z away) into camera axes by R = Rz(roll) · Ry(yaw) · Rx(pitch), right-hand
rule about each axis. Read on a face that looks at the camera: positive pitch moves the nose down, positive yaw moves
the nose to the picture's left, positive roll turns the face clockwise in the picture.

Projection is scaled orthographic (papers: V_2d = f · P_r · R · S + t_2d).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.types import Coefficients

FloatArray = NDArray[np.float32]

CROP_SIDE_PER_FACE: Final = 1.75
CLOSE_SIDE_PER_FACE: Final = 1.35
"""Side of a face crop over the longer side of the box around the 68 landmarks."""
CROP_SHIFT_UP: Final = 0.10
"""The crop's centre lies this share of the landmark box's longer side above the box's centre (forehead)."""


def rotation_matrices(rotation: FloatArray) -> FloatArray:
    """(N, 3) rad pitch, yaw, roll → (N, 3, 3) rotation matrices camera_from_head, same dtype."""
    rotation = np.asarray(rotation)
    if rotation.ndim != 2 or rotation.shape[1] != 3:
        raise InputError(f"rotation: got shape {rotation.shape}, expected (N, 3) pitch, yaw, roll in rad")
    cx, cy, cz = np.cos(rotation).T
    sx, sy, sz = np.sin(rotation).T
    rows = [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
            sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
            -sy, cy * sx, cy * cx]
    return np.stack(rows, axis=-1).reshape(-1, 3, 3)


def wrapped_angles(angles: NDArray[Any]) -> NDArray[Any]:
    """Radians, any shape, brought to -π..π."""
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi)


def rotation_about(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rotation matrix (3, 3) about a vector (3,) by its length in rad (Rodrigues' formula), float64."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-15:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation: NDArray[np.float64] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return rotation


def angles_from_matrices(matrices: FloatArray) -> FloatArray:
    """(N, 3, 3) rotation matrices → (N, 3) rad pitch, yaw, roll; undoes :func:`rotation_matrices` for |yaw| < 90°."""
    m = np.asarray(matrices)
    yaw = np.arcsin(np.clip(-m[:, 2, 0], -1.0, 1.0))
    pitch = np.arctan2(m[:, 2, 1], m[:, 2, 2])
    roll = np.arctan2(m[:, 1, 0], m[:, 0, 0])
    return np.stack([pitch, yaw, roll], axis=-1)


def pose_vertices(vertices: FloatArray, rotation: FloatArray, scale: FloatArray,
                  translation: FloatArray) -> FloatArray:
    """Place head-space vertices in a picture by scaled orthography.

    vertices (N, V, 3) mm, rotation (N, 3) rad, scale (N,) px/mm, translation (N, 2) px → (N, V, 3): x px, y px,
    depth in px (mm · scale; smaller is nearer), the layout that :func:`rtface.ops.rasterize` takes.
    """
    matrices = rotation_matrices(rotation) * np.asarray(scale)[:, None, None]
    posed: FloatArray = np.matmul(vertices, np.swapaxes(matrices, 1, 2))
    posed[..., :2] += np.asarray(translation)[:, None, :]
    return posed


def apply_affine(target_from_source: FloatArray, points: FloatArray) -> FloatArray:
    """Map points (N, P, 2) by (N, 2, 3) transforms → (N, P, 2)."""
    linear, offset = target_from_source[..., :2], target_from_source[..., 2]
    moved: FloatArray = np.matmul(points, np.swapaxes(linear, -1, -2)) + offset[..., None, :]
    return moved


def invert_affine(target_from_source: FloatArray) -> FloatArray:
    """(N, 2, 3) → (N, 2, 3) source_from_target, computed in float64, returned in the input's dtype."""
    m = np.asarray(target_from_source, np.float64)
    det = m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0]
    if np.any(np.abs(det) < 1e-12):
        raise InputError("invert_affine: got a transform that is not invertible (determinant 0), expected scale > 0")
    out = np.empty_like(m)
    out[..., 0, 0], out[..., 0, 1] = m[..., 1, 1] / det, -m[..., 0, 1] / det
    out[..., 1, 0], out[..., 1, 1] = -m[..., 1, 0] / det, m[..., 0, 0] / det
    out[..., 2] = -np.einsum("...ij,...j->...i", out[..., :2], m[..., 2])
    return out.astype(np.asarray(target_from_source).dtype)


def compose_affine(c_from_b: FloatArray, b_from_a: FloatArray) -> FloatArray:
    """(N, 2, 3) ∘ (N, 2, 3) → (N, 2, 3) c_from_a."""
    linear = np.matmul(c_from_b[..., :2], b_from_a[..., :2])
    offset = np.einsum("...ij,...j->...i", c_from_b[..., :2], b_from_a[..., 2]) + c_from_b[..., 2]
    return np.concatenate([linear, offset[..., None]], axis=-1)


def crop_transforms(centers: NDArray[Any], sides: NDArray[Any], rolls: NDArray[Any], size: int) -> FloatArray:
    """Similarity crop_from_frame (N, 2, 3) float32 for square regions.

    centers (N, 2) px, sides (N,) px of the region in the frame, rolls (N,) rad (the region is turned clockwise by
    it, so that a face with this roll stands upright in the crop), size: crop side in px.
    """
    sides = np.maximum(np.asarray(sides, np.float64), 1e-3)
    scale = size / sides
    cos, sin = np.cos(rolls) * scale, np.sin(rolls) * scale
    out = np.empty((len(sides), 2, 3))
    out[:, 0, 0], out[:, 0, 1] = cos, sin
    out[:, 1, 0], out[:, 1, 1] = -sin, cos
    out[:, :, 2] = size / 2 - np.einsum("nij,nj->ni", out[:, :, :2], np.asarray(centers, np.float64))
    return out.astype(np.float32)


def eye_roll(landmarks: FloatArray) -> FloatArray:
    """(N, 68, 2) px → (N,) rad roll of the line through the two eyes (landmarks 36–41 and 42–47)."""
    eyes = landmarks[:, 42:48].mean(axis=1) - landmarks[:, 36:42].mean(axis=1)
    roll: FloatArray = np.arctan2(eyes[:, 1], eyes[:, 0])
    return roll


def crops_from_landmarks(landmarks: FloatArray, size: int, *, close: bool = False) -> FloatArray:
    """crop_from_frame (N, 2, 3) for landmarks (N, 68, 2) px: upright in the eye line, forehead included.

    close: only what the landmarks span, and a rim; what the landmark network sees.
    """
    rolls = eye_roll(landmarks)
    cos, sin = np.cos(rolls), np.sin(rolls)
    upright = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], axis=1)  # (N, 2, 2) upright_from_frame
    turned = np.matmul(landmarks, np.swapaxes(upright, 1, 2))
    low, high = turned.min(axis=1), turned.max(axis=1)
    longer = (high - low).max(axis=1)
    center = (low + high) / 2
    center[:, 1] -= 0 if close else CROP_SHIFT_UP * longer
    side = (CLOSE_SIDE_PER_FACE if close else CROP_SIDE_PER_FACE) * longer
    return crop_transforms(np.einsum("nji,nj->ni", upright, center), side, rolls, size)


def crops_from_boxes(boxes_xyxy: FloatArray, size: int, *, close: bool = False) -> FloatArray:
    """crop_from_frame (N, 2, 3) for detector boxes (N, 4) px (forehead to chin, ear to ear), not turned.

    Boxes already hold the forehead, so the crop is centred a little below the box's centre compared with
    :func:`crops_from_landmarks`; the factors make both crops agree for a frontal neutral face.
    """
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    longer = (high - low).max(axis=1)
    center = (low + high) / 2
    side, down = BOX_CROP_SIDE, BOX_CROP_SHIFT_DOWN
    if close:
        side, down = side * CLOSE_SIDE_PER_FACE / CROP_SIDE_PER_FACE, down + side * CROP_SHIFT_UP / CROP_SIDE_PER_FACE
    center = center + np.stack([np.zeros_like(longer), down * longer], axis=1)
    return crop_transforms(center, side * longer, np.zeros_like(longer), size)


BOX_CROP_SIDE: Final = 1.48
BOX_CROP_SHIFT_DOWN: Final = 0.045


def boxes_from_landmarks(landmarks: FloatArray) -> FloatArray:
    """Boxes (N, 4) xyxy px, forehead to chin, for landmarks (N, 68, 2) px.

    The box around the landmarks ends at the brows; the forehead adds about two fifths of the brow-to-chin height
    (exactly: the inverse of what makes :func:`crops_from_boxes` and :func:`crops_from_landmarks` agree).
    """
    low, high = landmarks.min(axis=1), landmarks.max(axis=1)
    brow_to_chin = landmarks[:, 8] - landmarks[:, 17:27].mean(axis=1)
    top = landmarks[:, 17:27].mean(axis=1) - FOREHEAD_PER_FACE * brow_to_chin
    low, high = np.minimum(low, top), np.maximum(high, top)
    return np.concatenate([low, high], axis=1).astype(np.float32)


FOREHEAD_PER_FACE: Final = 0.42


def transform_coefficients(coefficients: Coefficients, target_from_source: FloatArray) -> Coefficients:
    """Express coefficients in another picture's pixels; target_from_source (N, 2, 3) must be similarities.

    Roll gains the transform's turn, scale and translation go through it, and the light turns with the picture;
    shape, expression and albedo stay.
    """
    linear = np.asarray(target_from_source, np.float64)[:, :, :2]
    factor = np.sqrt(np.abs(np.linalg.det(linear)))
    turn = np.arctan2(linear[:, 1, 0], linear[:, 0, 0])
    rotation = coefficients.rotation.copy()
    rotation[:, 2] = (rotation[:, 2] + turn + np.pi) % (2 * np.pi) - np.pi
    translation = apply_affine(np.asarray(target_from_source), coefficients.translation[:, None])[:, 0]
    return Coefficients(coefficients.identity, coefficients.expression, coefficients.albedo,
                        turn_illumination(coefficients.illumination, turn), rotation,
                        (coefficients.scale * factor).astype(np.float32), translation.astype(np.float32),
                        coefficients.basis)


def coefficients_in_frame(crop: Coefficients, crop_from_frame: FloatArray) -> Coefficients:
    """Move coefficients from crop pixels to frame pixels; crop_from_frame (N, 2, 3)."""
    return transform_coefficients(crop, invert_affine(crop_from_frame))


def turn_illumination(illumination: FloatArray, angles: FloatArray) -> FloatArray:
    """Turn SH light (N, 9) by angles (N,) rad about the viewing axis, clockwise in the picture.

    Order 1 and the xz, yz pair turn as vectors, (x²−y², xy) by twice the angle, 1 and 3z²−1 stay.
    """
    out = np.array(illumination, np.float64)
    cos, sin, cos2, sin2 = np.cos(angles), np.sin(angles), np.cos(2 * angles), np.sin(2 * angles)
    for ix, iy in ((3, 1), (7, 5)):
        x, y = out[:, ix].copy(), out[:, iy].copy()
        out[:, ix], out[:, iy] = cos * x - sin * y, sin * x + cos * y
    difference, product = out[:, 8].copy(), out[:, 4].copy()
    out[:, 8] = cos2 * difference - sin2 * product / 2
    out[:, 4] = cos2 * product + 2 * sin2 * difference
    return out.astype(np.float32)


def box_iou(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Intersection over union of every pair: (A, 4) and (B, 4) px → (A, B) float32; empty boxes give 0."""
    low = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    high = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    intersection = np.prod(np.maximum(high - low, 0), axis=-1)
    area_a, area_b = (np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), axis=-1) for x in (a_xyxy, b_xyxy))
    union = area_a[:, None] + area_b[None] - intersection
    iou: FloatArray = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return iou


def spherical_harmonics(normals: Any) -> FloatArray:
    """Nine real spherical-harmonic functions of order 0–2 at unit normals (..., 3) → (..., 9).

    Polynomials without the usual constants, in the order 1, y, z, x, xy, yz, 3z²−1, xz, x²−y²; the constants of
    Ramamoorthi & Hanrahan (2001) are folded into the coefficients: irradiance = basis · γ, so γ = (1, 0, …, 0) is
    a uniform light of strength 1.
    """
    x, y, z = np.moveaxis(np.asarray(normals), -1, 0)
    return np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], axis=-1)


def opencv_affine(transform: FloatArray) -> FloatArray:
    """A transform (2, 3) between pictures for cv2.warpAffine, whose pixel centres are at whole numbers, not at +0.5."""
    matrix = transform.copy()
    matrix[:, 2] += 0.5 * (matrix[:, 0] + matrix[:, 1]) - 0.5
    return matrix
