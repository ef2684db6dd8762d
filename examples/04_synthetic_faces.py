"""Draw labelled, partly hidden faces: python examples/04_synthetic_faces.py OUT.png"""

import sys

import cv2
import numpy as np

from rtface.synth.config import SynthConfig
from rtface.synth.generator import FaceFactory


def main(path: str) -> None:
    factory, config = FaceFactory(), SynthConfig(size=192, occluder_rate=1.0)
    rows = []
    for seed in range(4):
        sample = factory.generate(np.random.default_rng(seed), config)
        assert sample.clean is not None
        mask = np.repeat(sample.mask[..., None] * np.uint8(127), 3, axis=2)
        rows.append(np.concatenate([sample.pixels, sample.clean, mask], axis=1))
        print(f"{', '.join(sample.kinds)}: {sample.visible_fraction:.0%} of the face is visible")
    cv2.imwrite(path, np.concatenate(rows)[..., ::-1])


if __name__ == "__main__":
    main(sys.argv[1])
