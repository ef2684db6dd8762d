"""Train the segmentation network.

    python -m rtface.train.segment --data DATA --run RUN [--profile compact] [--loss ce] [--steps 6000] [--draw 4]
                                   [--resume] [--export rtface/weights]

DATA holds `faces` shards from `rtface synth write`; with ``--draw`` faces like them are drawn meanwhile. Crops as
tracking would place them, half of them mirrored.
Classes: background, visible face, what hides it. Loss: cross-entropy per pixel (ce), the same averaged over the blobs
of a picture (blob, eq. 5 of the consensus paper), or the paper's consensus loss (consensus, eqs 6 to 8).
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from build_engines.onnx_export import export_segment
from rtface.geometry import opencv_affine
from rtface.losses.consensus import ALPHA, BETA, blob_cross_entropy, consensus_loss
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.nets.segment import CLASSES, SegmentNetConfig, segment_net
from rtface.synth.shards import decode
from rtface.train import common
from rtface.train.data import ByteArray, Shard, ShardStream, as_input, batches, degrade, find_shards, random_crop
from rtface.train.drawn import Drawn, add_option, open_supply
from rtface.train.session import Session


class MaskSample(NamedTuple):
    """One training crop."""

    crop: ByteArray
    """(3, S, S)."""
    mask: ByteArray
    """(S, S) classes."""
    blobs: np.ndarray[tuple[int, ...], np.dtype[np.int32]]
    """(S, S) number of each pixel's connected component."""


LEAST_BLOB = 0.004
"""Share of the crop. Strands of hair leave dozens of crumbs, each of which would weigh as much as the whole face; the
paper's masks have none, since erosion and dilation clean them."""


def number_blobs(mask: ByteArray, least: float = LEAST_BLOB) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """Classes (H, W) → the connected component (8 neighbours) of each pixel, numbered from 0 over all classes.

    Components smaller than ``least`` of the picture belong to the largest one of their class.
    """
    out, first = np.zeros(mask.shape, np.int32), 0
    for k in range(CLASSES):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask == k, np.uint8), connectivity=8)
        if count < 2:
            continue
        areas = stats[1:, cv2.CC_STAT_AREA]
        own = np.where(areas >= least * mask.size, np.arange(count - 1), areas.argmax())
        numbers = np.unique(own, return_inverse=True)[1]
        out += np.where(labels > 0, numbers[labels - 1] + first, 0).astype(np.int32)
        first += int(numbers.max()) + 1
    return out


class MaskStream(ShardStream):
    """Crops with their class masks."""

    def __init__(self, paths: list[Path], seed: int, size: int) -> None:
        super().__init__(paths, seed)
        self.size = size

    def sample(self, rng: np.random.Generator, shard: Shard, index: int) -> MaskSample:
        crop, crop_from_picture = random_crop(rng, decode(shard.blob("pixels", index)),
                                              shard.arrays["landmarks"][index], self.size)
        matrix = opencv_affine(crop_from_picture)
        mask = cv2.warpAffine(decode(shard.blob("mask", index)), matrix, (self.size, self.size),
                              flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        crop = degrade(rng, crop, patches=False)  # no mask knows of those
        if rng.random() < 0.5:
            crop, mask = crop[:, ::-1], mask[:, ::-1]
        mask = np.ascontiguousarray(mask)
        return MaskSample(np.ascontiguousarray(crop.transpose(2, 0, 1)), mask, number_blobs(mask))


def drawn_masks(drawn: Drawn, blobs: bool) -> Iterator[Any]:
    """Batches as :class:`MaskSample` has them; blobs are numbered, on the CPU, where they are wanted."""
    for crops, masks in drawn.masks():
        numbers = np.stack([number_blobs(m) for m in masks.cpu().numpy()]) if blobs else np.zeros(0, np.int32)
        yield MaskSample(crops, masks, torch.from_numpy(numbers))  # type: ignore[arg-type]


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop."""
    parser = common.base_parser(__doc__ or "", steps=6000, batch=64, lr=2e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--loss", default="ce", choices=("ce", "blob", "consensus"))
    parser.add_argument("--alpha", type=float, default=ALPHA, help="consensus: weight of the blobs' own error")
    parser.add_argument("--beta", type=float, default=BETA, help="consensus: weight of the pixels' disagreement")
    add_option(parser)
    options = parser.parse_args(arguments)
    device = common.setup(options)
    net = segment_net(SegmentNetConfig.profile(options.profile))
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    session = Session(options, net, partial(torch.optim.AdamW, lr=options.lr, weight_decay=0.01), device=device,
                      config=net.config, clip=10.0)
    opened = contextlib.ExitStack()
    if options.draw:
        drawn = drawn_masks(Drawn(opened.enter_context(open_supply(session, clean=False)), session.seed,
                                  net.config.size, Mirror(MorphableModel.load(level=0))), options.loss != "ce")
    else:
        stream = MaskStream(find_shards(options.data, "faces"), session.seed, net.config.size)
        drawn = batches(stream, options.batch, options.workers)
    for batch in session.scheduled(drawn):
        truth = batch.mask.to(device).long()
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16 and device.type == "cuda"):
            logits = net(as_input(batch.crop, device))
        if options.loss == "ce":
            loss = F.cross_entropy(logits, truth)
        elif options.loss == "blob":
            loss = blob_cross_entropy(logits, truth, batch.blobs.to(device).long())
        else:
            loss = consensus_loss(logits, truth, batch.blobs.to(device).long(), alpha=options.alpha,
                                  beta=options.beta)
        with torch.no_grad():
            predicted = logits.argmax(dim=1)
            values = {"accuracy": (predicted == truth).float().mean()}
            for name, k in (("iou_face", 1), ("iou_hidden", CLASSES - 1)):
                both, either = ((predicted == k) & (truth == k)).sum(), ((predicted == k) | (truth == k)).sum()
                values[name] = both / either.clamp(min=1)
        session.update(loss, values)
    opened.close()
    session.export("segment", export_segment, net.config)


if __name__ == "__main__":
    main()
