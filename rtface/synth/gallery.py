"""Contact sheets of the factory: many faces, one row per occluder, or faces with all their labels side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.contours import PARSING
from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
from rtface.synth.generator import FaceFactory, Sample

Pixels = NDArray[np.uint8]
CAPTION_PX: Final = 18
MASK_COLORS: Final = np.array([[0, 0, 0], [80, 170, 230], [240, 110, 60]], np.uint8)
PARTS: Final = ("picture", "without occluders", "three classes", "parsing", "parsing, clean", "contours", "depth",
                "normals", "bump map")
_hues: Final = np.stack([np.arange(len(PARSING)) * 180 // len(PARSING), np.full(len(PARSING), 170),
                         np.full(len(PARSING), 235)], axis=1).astype(np.uint8)
PARSING_COLORS: Final = np.asarray(cv2.cvtColor(_hues[None], cv2.COLOR_HSV2RGB)[0], np.uint8)
PARSING_COLORS[0] = 0


def many(factory: FaceFactory, config: SynthConfig, count: int, seed: int, *, labels: bool = False) -> Pixels:
    """``count`` faces, eight in a row; labels: with landmarks (green seen, red covered) and box."""
    columns, size = min(8, count), config.size
    sheet = np.zeros((-(-count // columns) * size, columns * size, 3), np.uint8)
    for i in range(count):
        sample = factory.generate(np.random.default_rng([seed, i]), config)
        row, column = divmod(i, columns)
        sheet[row * size:(row + 1) * size, column * size:(column + 1) * size] = (
            _marked(sample) if labels else sample.pixels)
    return sheet


def by_kind(factory: FaceFactory, config: SynthConfig, columns: int, seed: int) -> Pixels:
    """One captioned row per occluder kind of the configuration."""
    rows = []
    for kind in config.occluder_kinds:
        chosen = replace(config, occluder_kinds=(kind,), occluder_rate=1.0)
        faces = [factory.generate(np.random.default_rng([seed, OCCLUDER_KINDS.index(kind), i]), chosen).pixels
                 for i in range(columns)]
        rows += [_caption([kind], columns * config.size), np.concatenate(faces, axis=1)]
    return np.concatenate(rows)


def with_labels(factory: FaceFactory, config: SynthConfig, count: int, seed: int) -> Pixels:
    """``count`` rows: a face and everything that is known about it."""
    config = replace(config, dense=True, clean_twin=True)
    rows = [_caption(list(PARTS), len(PARTS) * config.size)]
    for i in range(count):
        sample = factory.generate(np.random.default_rng([seed, i]), config)
        dense, size = sample.dense, config.size
        assert dense is not None and sample.clean is not None
        bump = cv2.resize(dense.bump_mm, (size, size))
        tiles = [_marked(sample), sample.clean, MASK_COLORS[sample.mask], PARSING_COLORS[dense.parsing],
                 PARSING_COLORS[dense.clean_parsing], _gray(dense.contour), _gray(_stretch(-dense.depth_mm)),
                 ((dense.normals.astype(np.int16) + 127) // 2 * (dense.normals != 0).any(axis=-1, keepdims=True) * 2
                  ).clip(0, 255).astype(np.uint8), _gray(_stretch(np.asarray(bump, np.float32)))]
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def _marked(sample: Sample) -> Pixels:
    picture = sample.pixels.copy()
    left, top, right, bottom = (int(v) for v in sample.box_xyxy)
    cv2.rectangle(picture, (left, top), (right, bottom), (60, 120, 255), 1)
    for (x, y), seen in zip(sample.landmarks, sample.visibility, strict=True):
        cv2.circle(picture, (int(x), int(y)), 1, (0, 255, 0) if seen else (255, 0, 0), -1)
    return picture


def _caption(words: list[str], width: int) -> Pixels:
    strip = np.full((CAPTION_PX, width, 3), 24, np.uint8)
    for k, word in enumerate(words):
        cv2.putText(strip, word, (4 + k * width // len(words), CAPTION_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42,
                    (230, 230, 230), 1, cv2.LINE_AA)
    return strip


def _gray(values: Pixels) -> Pixels:
    return np.repeat(values[..., None], 3, axis=-1)


def _stretch(values: NDArray[np.float32]) -> Pixels:
    """Float (H, W) → uint8 over its whole range; NaN is black."""
    known = np.isfinite(values)
    low, high = (float(f(values[known])) for f in (np.min, np.max)) if known.any() else (0.0, 1.0)
    return np.where(known, 20 + 235 * (values - low) / max(high - low, 1e-9), 0).astype(np.uint8)
