"""How alike two pictures are where it matters: pure functions on pictures and a mask.

PSNR and L1 as the completion papers use them, SSIM after Wang et al. (IEEE TIP 2004), GMSD after Xue et al. (IEEE TIP
2014), which needs no network; a distance of deep features is in :mod:`rtface.evaluate.features`.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.geometry import FloatArray

Mask = NDArray[np.bool_]
SSIM_SIGMA: Final = 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
GMSD_C: Final = 0.0026
"""The paper's 170 for pictures of 0..255, here for 0..1."""


def l1(a: FloatArray, b: FloatArray, mask: Mask) -> float:
    """Mean absolute difference over the mask; a, b (H, W, 3) 0..1, mask (H, W). NaN for an empty mask."""
    _check(a, b, mask)
    return float(np.abs(a - b)[mask].mean()) if mask.any() else float("nan")


def psnr(a: FloatArray, b: FloatArray, mask: Mask) -> float:
    """10 log₁₀ 1/MSE over the mask, in dB, at most 100; shapes as above. NaN for an empty mask."""
    _check(a, b, mask)
    if not mask.any():
        return float("nan")
    error = float(np.square((a - b)[mask], dtype=np.float64).mean())
    return min(100.0, -10 * float(np.log10(max(error, 1e-10))))


def ssim(a: FloatArray, b: FloatArray, mask: Mask) -> float:
    """Structural similarity of the luminances, mean of its map over the mask, −1..1; shapes as above."""
    _check(a, b, mask)
    if not mask.any():
        return float("nan")
    x, y = luminance(a), luminance(b)
    mx, my = _blurred(x), _blurred(y)
    vx, vy, vxy = _blurred(x * x) - mx * mx, _blurred(y * y) - my * my, _blurred(x * y) - mx * my
    values = ((2 * mx * my + SSIM_C1) * (2 * vxy + SSIM_C2)) / ((mx * mx + my * my + SSIM_C1) * (vx + vy + SSIM_C2))
    return float(values[mask].mean())


def gmsd(a: FloatArray, b: FloatArray, mask: Mask) -> float:
    """Gradient magnitude similarity deviation of the luminances over the mask: 0 is best; shapes as above.

    As in the paper pictures are first halved by a 2×2 mean, gradients are Prewitt's.
    """
    _check(a, b, mask)
    x, y = _halved(luminance(a)), _halved(luminance(b))
    inside = _halved(mask.astype(np.float32)) >= 0.5
    if not inside.any():
        return float("nan")
    mx, my = _gradient(x), _gradient(y)
    similarity = (2 * mx * my + GMSD_C) / (mx * mx + my * my + GMSD_C)
    return float(similarity[inside].std())


def line_agreement(drawn: Mask, truth: Mask, mask: Mask, tolerance_px: int = 2) -> tuple[float, float]:
    """Precision and recall of lines (H, W) within the mask: a pixel counts that has one of the others nearby.

    NaN where there is nothing to count.
    """
    near = np.ones((2 * tolerance_px + 1, 2 * tolerance_px + 1), np.uint8)

    def share(of: Mask, among: Mask) -> float:
        reach = cv2.dilate(among.astype(np.uint8), near) > 0
        return float((of & mask & reach).sum() / (of & mask).sum()) if (of & mask).any() else float("nan")

    return share(drawn, truth), share(truth, drawn)


def luminance(picture: FloatArray) -> FloatArray:
    """(H, W, 3) RGB → (H, W) by Rec. 601."""
    gray: FloatArray = picture @ np.array([0.299, 0.587, 0.114], picture.dtype)
    return gray


def _blurred(x: FloatArray) -> Any:
    return cv2.GaussianBlur(x, (11, 11), SSIM_SIGMA, borderType=cv2.BORDER_REFLECT)


def _halved(x: FloatArray) -> Any:
    return cv2.blur(x, (2, 2), anchor=(0, 0), borderType=cv2.BORDER_REFLECT)[::2, ::2]


def _gradient(x: FloatArray) -> Any:
    across = np.array([[1, 0, -1]] * 3, np.float32) / 3
    return np.hypot(cv2.filter2D(x, -1, across), cv2.filter2D(x, -1, np.ascontiguousarray(across.T)))


def _check(a: FloatArray, b: FloatArray, mask: Mask) -> None:
    if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3 or mask.shape != a.shape[:2]:
        raise InputError(f"pictures: got {a.shape}, {b.shape} and a mask {mask.shape}, expected (H, W, 3) twice and "
                         f"(H, W)")
