"""Does what is learned from drawn faces hold on real ones?

    python -m rtface.evaluate.transfer --data PACK NAME=CHECKPOINT [NAME=CHECKPOINT …]

CHECKPOINTs come from ``python -m rtface.train.segment``, trained for the same number of steps on different factories.
Every network sees the same crops, placed by the shipped landmark network from the label's box. Hand-drawn masks are
scored within the face area (visible or hidden), CelebAMask-HQ over the whole picture without spectacles (face or not).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate import segmentation as seg
from rtface.evaluate.dataset import Pack
from rtface.evaluate.masks import CLASSES, READERS, MaskedFace, faces
from rtface.evaluate.metrics import bootstrap_interval
from rtface.evaluate.networks import LandmarkNetwork, NetworkOptions, Networks
from rtface.evaluate.report import Table
from rtface.geometry import FloatArray, crops_from_boxes, crops_from_landmarks, invert_affine, opencv_affine
from rtface.nets.segment import SegmentNet, SegmentNetConfig
from rtface.ops import sample_crops
from rtface.train.common import load_checkpoint
from rtface.types import Frame

SURE = 0.5
"""Below this presence the label's box places the crop."""


def place_crop(face: MaskedFace, landmarks: LandmarkNetwork, size: int) -> FloatArray:
    """crop_from_picture (2, 3)."""
    found = landmarks.locate(Frame(face.pixels, 0, 0.0), face.box_xyxy)
    if found is not None and found.presence >= SURE:
        return np.asarray(crops_from_landmarks(found.points[None], size)[0], np.float32)
    return np.asarray(crops_from_boxes(face.box_xyxy[None], size)[0], np.float32)


def segment(net: SegmentNet, face: MaskedFace, crop_from_picture: FloatArray) -> NDArray[np.uint8]:
    """(H, W) classes of the whole picture; background beyond the crop."""
    size = net.config.size
    crop = sample_crops(face.pixels, invert_affine(crop_from_picture[None]), size)
    with torch.inference_mode():
        logits = net(torch.from_numpy(crop))[0].permute(1, 2, 0).numpy()
    matrix = opencv_affine(crop_from_picture)
    height, width = face.truth.shape
    beyond = (20.0, -20.0, -20.0, 0.0)
    large = cv2.warpAffine(logits, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_CONSTANT, borderValue=beyond)
    return np.asarray(large.argmax(axis=-1), np.uint8)


def scored(name: str, predicted: NDArray[np.uint8], face: MaskedFace) -> tuple[NDArray[np.int64], int]:
    """Confusion (3, 3) and sparsity of one picture by the rules of its set."""
    if name == "handdrawn":  # inside the face area everything is either seen or hidden
        predicted = np.where(predicted == 1, 1, 2).astype(np.uint8)
        predicted[face.truth == 0] = 0
    else:
        predicted = (predicted == 1).astype(np.uint8)
    return (seg.confusion(predicted, face.truth, face.valid, CLASSES),
            seg.sparsity(predicted, face.truth, face.valid, CLASSES))


def load(path: Path) -> tuple[SegmentNet, int]:
    """A network and how many samples it has seen."""
    state = load_checkpoint(path)
    net = SegmentNet(SegmentNetConfig())
    net.load_state_dict(state["ema"])
    return net.eval(), int(json.loads(state["meta"])["phase"]["samples_seen"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", metavar="NAME=CHECKPOINT")
    parser.add_argument("--data", type=Path, required=True, help="evaluation pack")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    pairs = [text.partition("=") for text in options.networks]
    if bad := [text for text, (name, _, path) in zip(options.networks, pairs, strict=True) if not (name and path)]:
        raise InputError(f"networks: got {bad}, expected NAME=CHECKPOINT")
    nets = {name: load(Path(path)) for name, _, path in pairs}
    pack, rows, records = Pack(options.data), [], []
    with Networks(NetworkOptions(threads=options.threads), "landmarks") as shipped:
        landmarks = LandmarkNetwork(shipped.engines["landmarks"])
        for set_name in READERS:
            found, drawn = faces(pack, set_name)
            counts, islands = defaultdict(list), defaultdict(list)
            for face in drawn:
                crop = place_crop(face, landmarks, SegmentNetConfig().size)
                for name, (net, _) in nets.items():
                    one, scattered = scored(set_name, segment(net, face, crop), face)
                    counts[name].append(one)
                    islands[name].append(scattered)
            for name, (_, seen) in nets.items():
                stacked = np.stack(counts[name])
                low, high = bootstrap_interval(stacked, partial(seg.iou, k=1))
                hidden = seg.iou(stacked, 2) if set_name == "handdrawn" else float("nan")
                record = {"set": set_name, "network": name, "samples_seen": seen, "faces": len(stacked),
                          "iou_face": seg.iou(stacked, 1), "iou_face_95": [low, high], "iou_occluder": hidden,
                          "accuracy": seg.accuracy(stacked), "sparsity": float(np.mean(islands[name]))}
                records.append({k: None if v != v else v for k, v in record.items()})
                rows.append((set_name, name, seen, len(stacked), f"{100 * seg.iou(stacked, 1):.1f}",
                             f"{100 * low:.1f}..{100 * high:.1f}", f"{100 * hidden:.1f}" if hidden == hidden else None,
                             f"{100 * seg.accuracy(stacked):.1f}", f"{np.mean(islands[name]):.1f}"))
            for problem in found.problems.values():
                print(f"left out: {problem}")
    print(Table("Networks trained on drawn faces, on real ones (per cent)",
                ("set", "network", "samples seen", "faces", "IoU face", "95 %", "IoU occluder", "accuracy",
                 "sparsity"), rows))
    print(json.dumps({"benchmark": "transfer", "results": records}))


if __name__ == "__main__":
    main()
