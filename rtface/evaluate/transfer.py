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
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.dataset import Pack
from rtface.evaluate.masks import READERS, MaskedFace, mask_set
from rtface.evaluate.networks import LandmarkNetwork, NetworkOptions, Networks
from rtface.evaluate.occlusion import figures, score
from rtface.evaluate.placing import Placed, paste_back, place
from rtface.evaluate.report import Report, Table, percent, percent_range
from rtface.geometry import invert_affine
from rtface.nets.segment import SegmentNet, SegmentNetConfig
from rtface.ops import sample_crops
from rtface.train.common import load_checkpoint


def segment(net: SegmentNet, face: MaskedFace, placed: Placed) -> NDArray[np.uint8]:
    """(H, W) classes of the whole picture; background beyond the crop."""
    transform = placed.crop(net.config.size)
    crop = sample_crops(face.pixels, invert_affine(transform[None]), net.config.size)
    with torch.inference_mode():
        logits = net(torch.from_numpy(crop))[0].numpy()
    return paste_back(logits, transform, face.pixels.shape).classes


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
    pack, rows, records, read = Pack(options.data), [], [], []
    with Networks(NetworkOptions(threads=options.threads), "landmarks") as shipped:
        landmarks = LandmarkNetwork(shipped.engines["landmarks"])
        for set_name in READERS:
            masked = mask_set(pack, set_name)
            scored = defaultdict(list)
            for face in masked.faces():
                placed = place(face.pixels, face.label.box_xyxy, landmarks)
                assert placed is not None  # there is a box
                for name, (net, _) in nets.items():
                    scored[name].append(score(face, segment(net, face, placed)))
            for name, (_, seen) in nets.items():
                if not scored[name]:
                    continue
                line = figures(scored[name])
                records.append({"set": set_name, "network": name, "samples_seen": seen, **line})
                rows.append((set_name, name, seen, line["faces"], percent(line["iou_face"], 1),
                             percent_range(line["iou_face_95"]), percent(line["iou_occluder"], 1),
                             percent(line["accuracy"], 1), f"{line['sparsity']:.1f}"))
            read.append(masked.found)
    table = Table("Networks trained on drawn faces, on real ones (per cent)",
                  ("set", "network", "samples seen", "faces", "IoU face", "95 %", "IoU occluder", "accuracy",
                   "sparsity"), rows)
    report = Report("transfer", [table], records, read)
    print(f"{report.text()}\n{report.json_line()}")


if __name__ == "__main__":
    main()
