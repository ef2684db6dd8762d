"""Train the contour generator N_cont.

    python -m rtface.train.contour --data DATA --run RUN [--profile compact] [--steps 15000] [--resume]
                                   [--draw 4] [--export rtface/weights]

DATA holds dense `faces` shards (`rtface synth write DATA --clean --dense`); with ``--draw`` faces like them are drawn
meanwhile. Visible contours come from the parsing
labels by the function that the run time uses; the truth is the whole face's contours. Loss (contour paper, §3.2):
1 adversarial + 11.5 feature matching, and cross-entropy per pixel (--bce), with which a small network learns before
the game begins.
"""

from __future__ import annotations

import argparse
import contextlib
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from build_engines.onnx_export import export_contour
from rtface.losses import inpainting
from rtface.nets.contour import ContourNet, ContourNetConfig, luminance
from rtface.synth.device.dense import outlines
from rtface.train import common
from rtface.train.adversarial import Game, add_options, partial_init
from rtface.train.data import as_input
from rtface.train.dense import unit
from rtface.train.drawn import add_option, dense_batches
from rtface.train.session import Session

ADVERSARIAL, MATCHING = 1.0, 11.5
"""λ1, λ2 of the contour paper."""
HOLE = 5.0
"""Weight of hidden pixels in the cross-entropy; the visible ones are thrown away at run time."""


def visible_contours(parsing: Tensor) -> Tensor:
    """(N, S, S) classes → (N, 1, S, S) float32 0 or 1, as :mod:`rtface.stages.structure` draws them."""
    return outlines(parsing)[:, None].float()


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=15000, batch=32, lr=1e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--bce", type=float, default=10.0, help="weight of the cross-entropy per pixel")
    parser.add_argument("--encoder", type=Path, help="checkpoint of a segmentation network to start from")
    parser.add_argument("--from-clean", action="store_true", help="cut holes into the clean twins")
    add_options(parser, start=5000)
    add_option(parser)
    options = parser.parse_args(arguments)
    device = common.setup(options)
    net = ContourNet(ContourNetConfig.profile(options.profile))
    if options.encoder:
        partial_init(net, options.encoder)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    game = Game(2, options, device)
    session = Session(options, net, partial(torch.optim.Adam, lr=options.lr, betas=(0.5, 0.99)), device=device,
                      config=net.config, clip=5.0, partners=[game],
                      names=("loss", "bce", "matching", "generator", "discriminator"))
    opened = contextlib.ExitStack()
    samples = opened.enter_context(dense_batches(session, net.config.size, from_clean=options.from_clean))
    for batch in session.scheduled(samples):
        gray, clean = luminance(as_input(batch.crop, device)), luminance(as_input(batch.clean, device))
        mask, truth = batch.mask.to(device).float(), unit(batch.contour.to(device))
        seen = visible_contours(batch.parsing.to(device))
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16 and device.type == "cuda"):
            logits = net(gray, mask, seen)
        weight = 1 + (HOLE - 1) * mask
        values = {"bce": (F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * weight).mean()}
        loss = options.bce * values["bce"]
        if game.on(session.step):
            drawn = torch.sigmoid(logits)
            values["discriminator"] = game.learn(torch.cat([truth, clean], dim=1), torch.cat([drawn, clean], dim=1),
                                                 session.rate)
            verdict, fake = game.net(torch.cat([drawn, clean], dim=1))
            real = game.net(torch.cat([truth, clean], dim=1))[1]
            values["generator"] = inpainting.adversarial_generator(verdict)
            values["matching"] = inpainting.feature_matching(real, fake)
            loss = loss + ADVERSARIAL * values["generator"] + MATCHING * values["matching"]
        session.update(loss, values)
    opened.close()
    session.export("contour", export_contour, net.config)


if __name__ == "__main__":
    main()
