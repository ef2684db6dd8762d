"""Train the parsing network, the first half of the contour paper's mask U-Net Ω_m.

    python -m rtface.train.parse --data DATA --run RUN [--steps 10000] [--encoder SEGMENT/last.pt] [--resume]
                                 [--draw 4] [--export rtface/weights]

DATA holds dense `faces` shards (`rtface synth write DATA --clean --dense`); with ``--draw`` faces like them are drawn
meanwhile. Loss: cross-entropy per pixel over
CelebAMask-HQ's 19 classes as they are seen, rare ones weighted up a little by their share to the power −:data:`RARE`.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from build_engines.onnx_export import export_segment
from rtface.contours import PARSING
from rtface.nets.segment import SegmentNetConfig, segment_net
from rtface.synth.shards import decode
from rtface.train import common
from rtface.train.adversarial import partial_init
from rtface.train.data import as_input, find_shards, load_shard
from rtface.train.drawn import add_option, dense_batches
from rtface.train.session import Session

WEIGHED = 4
"""Batches whose classes are counted for the weights where faces are drawn."""
RARE = 0.25
"""0: every pixel counts alike; 0.5: eyes, lips and brows were drawn too large."""


def class_weights(parsing: Tensor) -> Tensor:
    """(19,) the classes' shares in maps (N, S, S) to the power −:data:`RARE`, mean 1 over pixels, at most 5."""
    counts = torch.bincount(parsing.flatten().long(), minlength=len(PARSING))
    share = counts / counts.sum()
    weights = share.clamp(min=1e-4) ** -RARE
    return (weights / (weights * share).sum()).clamp(max=5.0)


def stored_maps(path: Path, samples: int = 100) -> Tensor:
    """(N, S, S) the first parsing maps of a shard: the same ones whenever a run is resumed."""
    shard = load_shard(path)
    return torch.from_numpy(np.stack([decode(shard.blob("parsing", k)) for k in range(min(samples, len(shard)))]))


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=10000, batch=64, lr=1.5e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--encoder", type=Path, help="checkpoint of a segmentation network to start from")
    add_option(parser)
    options = parser.parse_args(arguments)
    device = common.setup(options)
    net = segment_net(replace(SegmentNetConfig.profile(options.profile), classes=len(PARSING)))
    if options.encoder:
        partial_init(net, options.encoder)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    session = Session(options, net, partial(torch.optim.AdamW, lr=options.lr, weight_decay=0.01), device=device,
                      config=net.config, clip=10.0)
    opened = contextlib.ExitStack()
    samples = opened.enter_context(dense_batches(session, net.config.size, fixed_holes=True))
    first = list(itertools.islice(samples, WEIGHED if options.draw else 0))
    counted = torch.cat([b.parsing for b in first]) if first else stored_maps(find_shards(options.data, "faces")[0])
    weights = class_weights(counted.to(device))
    for batch in session.scheduled(itertools.chain(first, samples)):
        truth = batch.parsing.to(device).long()
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16 and device.type == "cuda"):
            logits = net(as_input(batch.crop, device))
        loss = F.cross_entropy(logits, truth, weight=weights)
        session.update(loss, {"accuracy": (logits.detach().argmax(dim=1) == truth).float().mean()})
    opened.close()
    session.export("parse", export_segment, net.config, name="parse")


if __name__ == "__main__":
    main()
