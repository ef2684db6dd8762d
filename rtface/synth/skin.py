"""Procedural skin: random people's albedo as a texture, in linear RGB. NumPy and OpenCV only.

Skin is A0 · exp(−melanin · a_m − haemoglobin · a_h) (two pigments that absorb more at short wavelengths); maps from
:mod:`rtface.synth.skin_maps` change the pigments locally (lips, blush, nose, under-eye, ears, freckles) and brows,
lashes, beard and make-up are painted over it. Nothing here is measured from photographs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.morphable import MorphableModel
from rtface.synth.skin_maps import TILE, SkinMaps, noise_tiles, skin_maps, smoothstep

FloatArray = NDArray[np.float32]
Color = tuple[float, float, float]

BASE: Final = np.array([0.88, 0.70, 0.61], np.float32)
MELANIN: Final = np.array([0.55, 0.85, 1.12], np.float32)
HAEMOGLOBIN: Final = np.array([0.09, 0.44, 0.38], np.float32)
LUMA: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)
BROW_CONTRAST: Final = 0.5
"""Brows are at most this bright compared with the skin, so that they can be seen on everybody."""
HAIR_COLORS: Final = ((0.008, 0.006, 0.005), (0.018, 0.011, 0.008), (0.045, 0.024, 0.014), (0.10, 0.055, 0.03),
                      (0.16, 0.055, 0.02), (0.26, 0.17, 0.08), (0.27, 0.26, 0.25))
LIPSTICKS: Final = ((0.36, 0.03, 0.03), (0.26, 0.03, 0.05), (0.46, 0.16, 0.15), (0.34, 0.10, 0.12), (0.20, 0.05, 0.05),
                    (0.44, 0.20, 0.16), (0.40, 0.10, 0.15))
SHADOWS: Final = ((0.12, 0.06, 0.04), (0.05, 0.05, 0.06), (0.20, 0.10, 0.12), (0.10, 0.12, 0.22), (0.30, 0.20, 0.12),
                  (0.06, 0.12, 0.10))


class SkinParams(NamedTuple):
    """One person's skin; strengths are about 0..1 unless said otherwise."""

    melanin: float
    """0.1 pale .. 3.2 very dark."""
    haemoglobin: float
    lips: float
    lip_melanin: float
    blush: float
    nose: float
    under_eye: float
    ears: float
    freckles: float
    blotches: float
    grain: float
    occlusion: float
    brow_color: Color
    brow_density: float
    brow_thickness: float
    """Factor, 1 = 6–7 mm."""
    brow_shift_mm: float
    """Towards the forehead."""
    brow_tail: float
    """Share of the brow's length that is drawn, 1 = to landmark 17/26."""
    lashes: float
    beard_color: Color
    stubble: float
    moustache: float
    goatee: float
    beard: float
    beard_line_mm: float
    """Raises (+) or lowers the beard's upper outline on the cheeks."""
    scalp: float
    """Coverage of short hair above the hairline; 0 = none, where hair is modelled otherwise."""
    hairline_mm: float
    """Moves the hairline up (+) or down."""
    hair_color: Color
    lipstick: float
    lipstick_color: Color
    eyeliner: float
    eyeshadow: float
    eyeshadow_color: Color
    rouge: float
    shift: tuple[int, int]
    """Where the noise tiles start, texels."""


def sample_skin(rng: np.random.Generator, *, hair_color: Color | None = None,
                femininity: float | None = None) -> SkinParams:
    """A random person's skin; hair colour and femininity (0..1) can be given to match the rest of the person."""
    def one(p: float) -> bool:
        return bool(rng.random() < p)

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    feminine = one(0.5) if femininity is None else one(femininity)
    melanin = 0.08 + 3.2 * float(rng.beta(1.15, 1.9))
    dark = float(np.clip((melanin - 0.5) / 0.9, 0, 1))
    odds = np.array([0.22, 0.24, 0.2, 0.14, 0.04, 0.1, 0.06])
    odds = odds * np.where(np.array([0, 0, 0, 1, 1, 1, 0]) == 1, 1 - 0.97 * dark, 1)
    chosen = HAIR_COLORS[rng.choice(len(HAIR_COLORS), p=odds / odds.sum())]
    hair = np.array(hair_color if hair_color is not None else chosen) * np.exp(rng.normal(0, 0.15))
    brow = np.minimum(hair * between(0.45, 1.0), 0.14 if hair.mean() < 0.2 else 0.25)
    blood = between(0.05, 0.65)
    skin = BASE * np.exp(-(melanin * MELANIN + blood * HAEMOGLOBIN))
    brow = brow * min(1.0, BROW_CONTRAST * float(skin @ LUMA) / float(brow @ LUMA))
    makeup = feminine and one(0.55)
    style = rng.choice(5, p=[0.42, 0.26, 0.08, 0.08, 0.16]) if not feminine else 0
    stubble = between(0.08, 0.55) if style == 1 else between(0.0, 0.12) if not feminine else 0.0
    cover = between(0.5, 0.95)

    def color(values: FloatArray) -> Color:
        r, g, b = (float(v) for v in np.clip(values, 0.004, 0.9))
        return r, g, b

    def pick(palette: tuple[Color, ...]) -> Color:
        return color(np.array(palette[rng.integers(len(palette))]) * np.exp(rng.normal(0, 0.08, 3)))

    return SkinParams(
        melanin=melanin, haemoglobin=blood, lips=between(0.35, 1.25) * (1.15 if feminine else 0.85),
        lip_melanin=between(0.0, 0.35) * (0.4 + dark), blush=between(0, 0.9), nose=between(0, 0.7),
        under_eye=between(0, 0.8), ears=between(0.1, 0.7),
        freckles=between(0.3, 1) if melanin < 0.9 and one(0.15) else 0.0, blotches=between(0.3, 1.2),
        grain=between(0.3, 1.0), occlusion=between(0.3, 0.9), brow_color=color(brow),
        brow_density=between(0.6, 1.0), brow_thickness=between(0.65, 1.1) if feminine else between(0.85, 1.4),
        brow_shift_mm=float(rng.normal(0, 0.6)), brow_tail=between(0.88, 1.04),
        lashes=between(0.4, 1.0) if feminine else between(0.2, 0.7),
        beard_color=color(hair * between(0.6, 1.1)), stubble=stubble,
        moustache=cover if style in (2, 3, 4) else 0.0, goatee=cover if style in (3, 4) else 0.0,
        beard=cover if style == 4 else 0.0, beard_line_mm=float(rng.normal(0, 5)), scalp=0.0,
        hairline_mm=float(rng.normal(0, 6)), hair_color=color(hair), lipstick=between(0.2, 0.75) if makeup else 0.0,
        lipstick_color=pick(LIPSTICKS), eyeliner=between(0.3, 1.0) if makeup and one(0.7) else 0.0,
        eyeshadow=between(0.15, 0.6) if makeup and one(0.5) else 0.0, eyeshadow_color=pick(SHADOWS),
        rouge=between(0.2, 0.8) if makeup and one(0.5) else 0.0,
        shift=(int(rng.integers(TILE)), int(rng.integers(TILE))))


def paint_texture(params: SkinParams, size: int = 256, *, maps: SkinMaps | None = None) -> FloatArray:
    """(size, size, 3) float32 linear RGB in the basis' UV map, texel centres at (column + 0.5) / size.

    maps: fields of another basis than the shipped one, of the same size.
    """
    maps = skin_maps(size) if maps is None else maps
    soft, fine, streaks = (_window(tile, params.shift, size) for tile in noise_tiles())
    melanin = params.melanin * (1 + 0.045 * params.blotches * soft + 0.02 * params.grain * fine)
    melanin += 0.22 * params.under_eye * maps.under_eye + params.lip_melanin * maps.lip
    if params.freckles:
        spots = smoothstep(fine, 1.25, 2.0) * np.clip(maps.cheeks + maps.nose + 0.25 + 0.3 * soft, 0, 1)
        melanin += 0.55 * params.freckles * spots * (1 - maps.lip)
    blood = params.haemoglobin * (1 + 0.16 * params.blotches * _window(noise_tiles()[0], params.shift[::-1], size))
    blood += (params.blush * 0.8 + params.rouge) * maps.cheeks + params.nose * maps.nose + params.ears * maps.ears
    blood += 0.3 * params.under_eye * maps.under_eye + 0.25 * params.nose * maps.chin
    blood += params.lips * smoothstep(maps.lip_distance, 0.6, -2.4)
    blood += 1.6 * maps.inner_rim + 1.5 * maps.mouth_inside
    shade = 1 - 0.45 * params.occlusion * maps.occlusion
    out = np.empty((3, size, size), np.float32)  # planes: NumPy is many times slower along an axis of three
    for plane, base, dark, red in zip(out, BASE, MELANIN, HAEMOGLOBIN, strict=True):
        np.exp(melanin * -dark - blood * red, out=plane)
        plane *= shade * base
    _make_up(out, params, maps)
    _beard(out, params, maps, soft, fine, streaks)
    _scalp(out, params, maps, soft, streaks)
    _lashes(out, params, maps)
    _brows(out, params, maps)
    np.clip(out, 0.003, 1.0, out=out)
    return np.asarray(cv2.merge(list(out)), np.float32)


def _window(tile: FloatArray, shift: tuple[int, int], size: int) -> FloatArray:
    """(size, size) piece of a periodic tile; larger textures sample it more finely."""
    rows = (shift[0] + (np.arange(size) * 256) // size) % TILE
    columns = (shift[1] + (np.arange(size) * 256) // size) % TILE
    return np.ascontiguousarray(tile[rows[:, None], columns[None]])


def _blend(out: FloatArray, cover: NDArray[np.float32], color: Color) -> None:
    """Paint over the planes (3, S, S), in place."""
    for plane, value in zip(out, color, strict=True):
        plane += cover * (np.float32(value) - plane)


def _make_up(out: FloatArray, params: SkinParams, maps: SkinMaps) -> None:
    if params.lipstick:
        _blend(out, params.lipstick * maps.lip * (1 - 0.4 * maps.mouth_inside), params.lipstick_color)
    if params.eyeshadow:
        cover = smoothstep(maps.lid_distance, 10, 2) * maps.upper_lid * (1 - maps.inner_rim)
        _blend(out, (params.eyeshadow * cover).astype(np.float32), params.eyeshadow_color)
    if params.eyeliner:
        width = 1.0 + 1.2 * maps.outer_corner
        cover = smoothstep(maps.lid_distance / width, 1.3, 0.5) * (0.35 + 0.65 * maps.upper_lid) * (1 - maps.inner_rim)
        _blend(out, (params.eyeliner * 0.9 * cover).astype(np.float32), (0.012, 0.01, 0.01))


def _lashes(out: FloatArray, params: SkinParams, maps: SkinMaps) -> None:
    cover = smoothstep(maps.lid_distance, 1.5, 0.4) * (0.35 + 0.65 * maps.upper_lid)
    _blend(out, (params.lashes * 0.85 * cover).astype(np.float32), (0.02, 0.013, 0.01))


def _beard(out: FloatArray, params: SkinParams, maps: SkinMaps, soft: FloatArray, fine: FloatArray,
           streaks: FloatArray) -> None:
    edge = maps.beard + 3.0 * soft + params.beard_line_mm * (maps.lip_distance > 12)
    area = np.maximum(np.maximum(smoothstep(edge, -3, 6), maps.moustache * 0.95), maps.goatee * 0.95)
    if params.stubble:
        cover = params.stubble * area * np.clip(0.7 + 0.22 * fine + 0.1 * soft, 0, 1)
        _blend(out, cover.astype(np.float32), params.beard_color)
    if params.moustache or params.goatee or params.beard:
        strands = np.clip(0.88 + 0.13 * streaks + 0.06 * fine, 0, 1)
        part = np.maximum(params.moustache * maps.moustache, params.goatee * maps.goatee)
        part = np.maximum(part, params.beard * smoothstep(edge + 1.5 * streaks, -2, 6))
        _blend(out, (part * strands).astype(np.float32), params.beard_color)


def _scalp(out: FloatArray, params: SkinParams, maps: SkinMaps, soft: FloatArray, streaks: FloatArray) -> None:
    if params.scalp:
        cover = smoothstep(maps.hairline - params.hairline_mm + 3.0 * soft + 1.5 * streaks, -2, 5)
        _blend(out, (params.scalp * cover * np.clip(0.9 + 0.2 * streaks, 0, 1)).astype(np.float32), params.hair_color)


PROFILE: Final = (np.array([-0.06, 0.02, 0.12, 0.35, 0.65, 0.9, 1.0, 1.05]),
                  np.array([0.6, 2.3, 3.2, 3.5, 2.8, 1.6, 1.0, 0.2]))
"""Half thickness (mm) of a brow of thickness 1 along its length."""


def brow_cover(params: SkinParams, size: int, *, maps: SkinMaps | None = None
               ) -> tuple[tuple[NDArray[Any], FloatArray], tuple[NDArray[Any], FloatArray]]:
    """Texels (flat numbers) and how much of each the right and the left brow cover, 0..1."""
    streaks = noise_tiles()[2]
    out = []
    for frame in (skin_maps(size) if maps is None else maps).brows:
        half = np.interp(frame.along / params.brow_tail, *PROFILE).astype(np.float32) * params.brow_thickness
        strand = streaks[(frame.streak[:, 0] + params.shift[0]) % TILE, (frame.streak[:, 1] + params.shift[1]) % TILE]
        inside = half - np.abs(frame.above - params.brow_shift_mm) + 0.22 * strand
        cover = smoothstep(inside, -0.45, 0.55) * np.clip(0.88 + 0.13 * strand, 0.3, 1) * params.brow_density
        out.append((frame.texels, cover.astype(np.float32)))
    return out[0], out[1]


def _brows(out: FloatArray, params: SkinParams, maps: SkinMaps) -> None:
    for texels, cover in brow_cover(params, maps.size, maps=maps):
        for plane, value in zip(out.reshape(3, -1), params.brow_color, strict=True):
            plane[texels] += cover * (np.float32(value) - plane[texels])


def vertex_albedo(texture: FloatArray, uv: FloatArray) -> FloatArray:
    """Texture (T, T, 3) at texture coordinates (V, 2), slightly blurred to the mesh's resolution → (V, 3)."""
    blurred = cv2.GaussianBlur(texture, (0, 0), 0.9 * texture.shape[0] / 256)
    position = (uv * texture.shape[0] - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(blurred, position[:, None, 0], position[:, None, 1], cv2.INTER_LINEAR,
                                borderMode=cv2.BORDER_REPLICATE)[:, 0], np.float32)


def mean_color(texture: FloatArray) -> FloatArray:
    """(3,) mean of a texture (T, T, 3)."""
    return np.array(cv2.mean(texture)[:3], np.float32)


def albedo_coefficients(texture: FloatArray, model: MorphableModel) -> FloatArray:
    """(80,) albedo coefficients that come nearest to a texture (T, T, 3) linear RGB (least squares at vertices)."""
    basis = model.albedo_basis.reshape(-1, model.albedo_basis.shape[2])
    rest = (vertex_albedo(texture, model.uv) - model.albedo_mean).ravel()
    if model.level == 1:  # the modes are orthogonal there
        return np.asarray(rest @ basis / _squared_lengths(model), np.float32)
    return np.asarray(np.linalg.lstsq(basis, rest, rcond=None)[0], np.float32)


@lru_cache(maxsize=2)
def _squared_lengths(model: MorphableModel) -> FloatArray:
    """(80,) of the albedo's modes."""
    basis = model.albedo_basis.reshape(-1, model.albedo_basis.shape[2])
    return np.maximum((basis ** 2).sum(axis=0), 1e-12)
