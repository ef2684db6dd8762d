"""Train the parsing network, the first half of the contour paper's mask U-Net Ω_m.

    python -m rtface.train.parse --data DATA --run RUN [--steps 10000] [--encoder SEGMENT/last.pt] [--resume]
                                 [--export rtface/weights]

DATA holds dense `faces` shards (`rtface synth write DATA --clean --dense`). Loss: cross-entropy per pixel over
CelebAMask-HQ's 19 classes as they are seen, rare ones weighted up a little by their share to the power −:data:`RARE`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from build_engines.onnx_export import export_segment
from rtface.contours import PARSING
from rtface.nets.segment import SegmentNetConfig, segment_net
from rtface.synth.shards import decode
from rtface.train import common
from rtface.train.adversarial import partial_init
from rtface.train.data import as_input, find_shards, load_shard
from rtface.train.dense import DenseStream
from rtface.train.session import Session

RARE = 0.25
"""0: every pixel counts alike; 0.5: eyes, lips and brows were drawn too large."""


def class_weights(path: Path, samples: int = 100) -> torch.Tensor:
    """(19,) the classes' shares in a shard to the power −:data:`RARE`, mean 1 over pixels, at most 5."""
    shard, counts = load_shard(path), torch.zeros(len(PARSING))
    for index in range(min(samples, len(shard))):
        counts += torch.bincount(torch.from_numpy(decode(shard.blob("parsing", index))).flatten(),
                                 minlength=len(PARSING))
    share = counts / counts.sum()
    weights = share.clamp(min=1e-4) ** -RARE
    return (weights / (weights * share).sum()).clamp(max=5.0)


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=10000, batch=64, lr=1.5e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--encoder", type=Path, help="checkpoint of a segmentation network to start from")
    options = parser.parse_args(arguments)
    device = common.setup(options)
    net = segment_net(replace(SegmentNetConfig.profile(options.profile), classes=len(PARSING)))
    if options.encoder:
        partial_init(net, options.encoder)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    session = Session(options, net, partial(torch.optim.AdamW, lr=options.lr, weight_decay=0.01), device=device,
                      config=net.config, clip=10.0)
    shards = find_shards(options.data, "faces")
    weights = class_weights(shards[0]).to(device)
    stream = DenseStream(shards, session.seed, net.config.size, fixed_holes=True)
    for batch in session.batches(stream):
        truth = batch.parsing.to(device).long()
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16 and device.type == "cuda"):
            logits = net(as_input(batch.crop, device))
        loss = F.cross_entropy(logits, truth, weight=weights)
        session.update(loss, {"accuracy": (logits.detach().argmax(dim=1) == truth).float().mean()})
    session.export("parse", export_segment, net.config, name="parse")


if __name__ == "__main__":
    main()
