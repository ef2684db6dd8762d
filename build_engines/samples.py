"""The fixed inputs that precision is decided on and engines are compared with: drawn faces, and extremes.

Faces come from the synthetic factory by seed, cut out as the pipeline cuts them out; no picture is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from rtface import ops
from rtface.errors import InputError
from rtface.geometry import FloatArray, crops_from_landmarks, invert_affine, opencv_affine
from rtface.inference.spec import EngineSpec
from rtface.stages.detect import letterbox
from rtface.stages.occlude import OCCLUDER
from rtface.stages.structure import hole
from rtface.synth.config import SynthConfig
from rtface.synth.generator import FaceFactory, Sample
from rtface.synth.scene import SceneFactory
from rtface.types import Array

SEED: Final = 20
COUNT: Final = 8
"""Faces; half of them have something before them."""
SCENES: Final = ((360, 640, 832), (720, 540, 832), (270, 480, 256), (320, 240, 256))
"""Frames for the detector: height, width, and the side that the longer one is brought to; two close-ups join them."""
GROW_PX: Final = 3
"""Holes are this much larger than masks, as at run time at 128 px."""
EXTREMES: Final = ("black", "white", "noise", "checkerboard", "halves")
Feed = dict[str, Array]


def realistic(spec: EngineSpec, count: int = COUNT, seed: int = SEED) -> list[Feed]:
    """Inputs by name for a network: one batch of ``count`` faces, or a few frames. New float32 arrays 0..1."""
    if [tensor.name for tensor in spec.inputs] == ["image"]:
        return [{"image": image.copy()} for image in _frames(seed)]
    size = spec.inputs[0].shape[-1]
    if not isinstance(size, int) or len(spec.inputs[0].shape) != 4:
        raise InputError(f"{spec.name}: got the input {spec.inputs[0]}, expected crops (N, 3, S, S) or an image")
    made = _crops(size, count, seed, spec.name == "landmarks")
    missing = [str(tensor) for tensor in spec.inputs if tensor.name not in made]
    if missing:
        raise InputError(f"{spec.name}: got the inputs {', '.join(missing)}, expected some of {', '.join(made)}; "
                         f"say in build_engines/samples.py what they look like")
    return [{tensor.name: made[tensor.name].copy() for tensor in spec.inputs}]


def extreme(spec: EngineSpec, seed: int = SEED) -> Iterator[tuple[str, Feed]]:
    """Name and inputs, batch 1, that no camera gives but that must not break a network: NaN or ±inf are faults."""
    rng = np.random.default_rng(seed)
    for name in EXTREMES:
        feed = {}
        for tensor in spec.inputs:
            shape = [{"N": 1, "H": 192, "W": 256}.get(s, 1) if isinstance(s, str) else s for s in tensor.shape]
            feed[tensor.name] = np.array(np.broadcast_to(_extreme(name, shape, rng), shape), np.float32, order="C")
        yield name, feed


def _extreme(name: str, shape: list[int], rng: np.random.Generator) -> Array:
    rows, columns = np.indices(shape[-2:], np.float32)
    return {"black": np.zeros(shape), "white": np.ones(shape), "noise": rng.integers(0, 2, shape),
            "checkerboard": (rows + columns) % 2, "halves": columns >= shape[-1] // 2}[name]


@lru_cache(maxsize=4)
def _frames(seed: int) -> tuple[FloatArray, ...]:
    scenes = SceneFactory(FaceFactory(), SynthConfig())
    rng = np.random.default_rng([seed, 1])
    frames = [(scenes.generate(rng, height, width).pixels, side) for height, width, side in SCENES]
    frames += [(face.pixels, side) for face, side in zip(_faces(2, seed), (256, 832), strict=True)]
    return tuple(letterbox(pixels, side)[0] for pixels, side in frames)


@lru_cache(maxsize=4)
def _faces(count: int, seed: int) -> tuple[Sample, ...]:
    factory = FaceFactory()
    return tuple(factory.generate(np.random.default_rng([seed, k]),
                                  SynthConfig(dense=True, clean_twin=False, occluder_rate=float(k % 2)))
                 for k in range(count))


@lru_cache(maxsize=4)
def _crops(size: int, count: int, seed: int, close: bool) -> Mapping[str, Array]:
    """crops (N, 3, S, S), mask (N, 1, S, S) of what is before the face, contour (N, 1, S, S) of what is seen."""
    crops, masks, contours = [], [], []
    for sample in _faces(count, seed):
        crop_from_picture = crops_from_landmarks(sample.landmarks[None].astype(np.float32), size, close=close)
        crops.append(ops.sample_crops(sample.pixels, invert_affine(crop_from_picture), size)[0])
        assert sample.dense is not None
        matrix = opencv_affine(crop_from_picture[0])
        cut = [cv2.warpAffine(label, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
               for label, flags in ((sample.mask, cv2.INTER_NEAREST), (sample.dense.contour, cv2.INTER_LINEAR))]
        mask = cut[0] == OCCLUDER
        if not mask.any():
            mask[size // 3:size // 2, size // 3:2 * size // 3] = True
        masks.append(mask[None])
        contours.append(cut[1][None].astype(np.float32) / 255)
    mask = hole(np.stack(masks), GROW_PX)
    return {"crops": np.stack(crops), "mask": mask, "contour": np.stack(contours) * (1 - mask)}
