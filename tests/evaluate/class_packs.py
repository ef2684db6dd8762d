"""Tiny packs and data sets of class masks: an ellipse of one colour is the face, a white bar before it hides it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from rtface.inference import EngineSpec, FakeEngine, TensorSpec
from tests import blobs
from tests.evaluate.packs import HEIGHT, WIDTH, PackWriter

FACE = (80.0, 60.0, 60.0, 0)
"""Centre x, y, width and colour of :func:`tests.blobs.paint`; the height is 1.2 times the width."""
BAR = (slice(70, 90), slice(40, 121))
"""Rows and columns of what hides the face."""


def encoded(array: np.ndarray, ending: str = ".png") -> bytes:
    """A picture file: gray (H, W), RGB (H, W, 3) or RGBA (H, W, 4)."""
    order = {2: ..., 3: (..., [2, 1, 0]), 4: (..., [2, 1, 0, 3])}[array.ndim if array.ndim == 2 else array.shape[2]]
    done, data = cv2.imencode(ending, np.ascontiguousarray(array[order]))
    assert done
    return bytes(data)


def put(path: Path, data: bytes | str) -> Path:
    """Write a file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def hidden_face(bar: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture (H, W, 3), where its face is (H, W) bool, hidden parts included, and where it is hidden."""
    pixels = blobs.paint([FACE], HEIGHT, WIDTH)
    face, hidden = (pixels != 60).any(axis=2), np.zeros((HEIGHT, WIDTH), bool)
    if bar:
        hidden[BAR] = True
        pixels[hidden] = 255
    return pixels, face, hidden


def parsing_of(face: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """CelebAMask-HQ classes: skin, a nose, spectacles before it, hair around it."""
    classes = np.where(face, 1, 0).astype(np.uint8)
    classes[55:65, 75:85] = 2
    classes[hidden & face] = 3
    classes[:30][~face[:30]] = 13
    return classes


def class_pack(folder: Path) -> Path:
    """handdrawn: one face with a bar, one with a damaged mask, one without a mask; celebamask_hq; rmfd_masked."""
    writer = PackWriter(folder)
    writer.add_set("handdrawn", "drawn", task="occlusion_masks", files=3, labelled=False)
    writer.add_set("celebamask_hq", "celeb", task="parsing", files=2, labelled=False)
    writer.add_set("rmfd_masked", "masked", task="occlusion_masks", files=2)
    pixels, face, hidden = hidden_face()
    mask, region = np.where(hidden, 255, 0).astype(np.uint8), np.where(face, 255, 0).astype(np.uint8)
    mask[24:30] = 128
    left, right, top, low = BAR[1].start, BAR[1].stop - 1, BAR[0].start, BAR[0].stop - 1
    polygon = [[left, top], [right, top], [right, low], [left, low]]
    entries = [{"image": f"images/{name}.png", "mask": f"masks/{name}.png",
                "occluders": [{"kind": "bar", "polygon": polygon}]} for name in "ab"]
    put(folder / "drawn/annotations.json", json.dumps({"items": entries}))
    for name, content in (("a", mask), ("b", mask[:50])):
        put(folder / f"drawn/masks/{name}.png", encoded(content))
        put(folder / f"drawn/regions/{name}.png", encoded(region))
        writer.add_item("handdrawn", f"drawn/images/{name}.png", encoded(pixels), mask=f"drawn/masks/{name}.png")
    writer.add_item("handdrawn", "drawn/images/c.png", encoded(pixels))
    put(folder / "celeb/masks/d.png", encoded(parsing_of(face, hidden)))
    writer.add_item("celebamask_hq", "celeb/images/d.png", encoded(pixels), mask="celeb/masks/d.png")
    for name in "ef":
        writer.add_item("rmfd_masked", f"masked/{name}.png", encoded(pixels))
    writer.labels["rmfd_masked"] = [{"file": "e.png", "box_auto": [50, 20, 60, 80]}, {"file": "f.png"}]
    return writer.write()


def parse_engine(nose: bool = True) -> FakeEngine:
    """Colours are skin, white is spectacles; the middle of a crop is a nose."""
    spec = EngineSpec("parse", "compact", (TensorSpec("crops", ("N", 3, 128, 128)),),
                      (TensorSpec("logits", ("N", 19, 128, 128)),))

    def parse(crops: np.ndarray) -> dict[str, np.ndarray]:
        three = blobs.segment(crops)["probability"]
        logits = np.zeros((len(crops), 19, 128, 128), np.float32)
        logits[:, [0, 1, 3]] = three
        if nose:
            logits[:, 2, 60:68, 60:68] = 2
        return {"logits": logits}
    return FakeEngine(spec, parse)
