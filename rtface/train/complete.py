"""Train the completion generator N_syn.

    python -m rtface.train.complete --data DATA --run RUN [--profile compact] [--steps 20000] [--resume]
                                    [--encoder SEGMENT/last.pt] [--draw 4] [--export rtface/weights]

DATA holds dense `faces` shards (`rtface synth write DATA --clean --dense`); with ``--draw`` faces like them are drawn
meanwhile: the clean twin is the truth, the occluder
(grown a little) or random strokes are the hole. Loss (contour paper, §3.3): adversarial + L1 over the hole + style,
and the features' difference as the landmark paper has it. The extractor is a segmentation network trained here, whose
features are larger than VGG-19's: hence another weight of style than the paper's 250, which --vgg19 takes.
"""

from __future__ import annotations

import argparse
import contextlib
from functools import partial
from pathlib import Path

import torch

from build_engines.onnx_export import export_complete
from rtface.losses import inpainting
from rtface.nets.complete import CompletionNet, CompletionNetConfig
from rtface.nets.features import TrunkFeatures, vgg19
from rtface.nets.segment import SegmentNet, SegmentNetConfig
from rtface.train import common
from rtface.train.adversarial import Game, add_options, partial_init
from rtface.train.data import as_input
from rtface.train.dense import unit
from rtface.train.deocclusion import TorchDeoccluder, guessed_landmarks
from rtface.train.drawn import add_option, dense_batches
from rtface.train.session import Session

PAPER_STYLE = 250.0
"""λ5 of the contour paper, for VGG-19's features; λ4, of the L1 term, is 1."""
SEEN = 0.1
"""Weight of the visible pixels, which are thrown away: they only keep the network's colours honest."""


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=20000, batch=32, lr=1e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--encoder", type=Path, help="checkpoint of a segmentation network to start the encoder from")
    parser.add_argument("--features", type=Path, help="checkpoint of the segmentation network behind style and "
                                                      "perceptual losses. Default: --encoder")
    parser.add_argument("--vgg19", type=Path, help="state file of VGG-19 to use instead (needs torchvision)")
    parser.add_argument("--adversarial", type=float, default=0.1, help="its weight, λ3")
    parser.add_argument("--style", type=float, help="its weight, λ5. Default: 250 with --vgg19, else 2")
    parser.add_argument("--perceptual", type=float, default=0.05, help="weight of the features' difference")
    parser.add_argument("--drawn", type=float, default=0.0,
                        help="share of crops whose contours the shipped networks draw, as at run time; at 1, shards "
                             "need not be dense")
    parser.add_argument("--from-clean", action="store_true", help="cut holes into the clean twins")
    parser.add_argument("--variation", type=float, default=0.0, help="weight of total variation (landmark paper: 0.1)")
    add_options(parser, start=4000)
    add_option(parser)
    options = parser.parse_args(arguments)
    if options.style is None:
        options.style = PAPER_STYLE if options.vgg19 else 2.0
    device = common.setup(options)
    net = CompletionNet(CompletionNetConfig.profile(options.profile))
    if options.encoder:
        partial_init(net, options.encoder)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    game = Game(4, options, device)
    session = Session(options, net, partial(torch.optim.Adam, lr=options.lr, betas=(0.5, 0.99)), device=device,
                      config=net.config, clip=5.0, partners=[game],
                      names=("loss", "l1", "style", "perceptual", "variation", "generator", "discriminator"))
    extract = None
    if options.vgg19:
        extract = vgg19(options.vgg19).to(device)
    elif options.features or options.encoder:
        judge = SegmentNet(SegmentNetConfig())
        judge.load_state_dict(common.load_checkpoint(options.features or options.encoder)["ema"])
        extract = TrunkFeatures(judge).to(device)
    opened = contextlib.ExitStack()
    samples = opened.enter_context(dense_batches(session, net.config.size, from_clean=options.from_clean,
                                                 lines=options.drawn < 1))
    chain = TorchDeoccluder(device) if options.drawn else None
    for batch in session.scheduled(samples):
        crop, clean = as_input(batch.crop, device), as_input(batch.clean, device)
        mask, contour = batch.mask.to(device).float(), unit(batch.contour.to(device))
        if chain is not None:
            count = round(options.drawn * len(crop))
            points = guessed_landmarks(batch.landmarks[:count].to(device), batch.visibility[:count].to(device))
            contour = torch.cat([chain.contours(crop[:count], mask[:count], points), contour[count:]])
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16 and device.type == "cuda"):
            drawn = net(crop, mask, contour)
        filled = clean * (1 - mask) + drawn * mask
        values = {"l1": inpainting.hole_l1(drawn, clean, mask)}
        loss = values["l1"] + SEEN * inpainting.hole_l1(drawn, clean, 1 - mask)
        if extract is not None:
            with torch.no_grad():
                truth = extract(clean)
            features = extract(filled)
            values["style"] = inpainting.style(features, truth)
            values["perceptual"] = inpainting.perceptual(features, truth)
            loss = loss + options.style * values["style"] + options.perceptual * values["perceptual"]
        if options.variation:
            values["variation"] = inpainting.total_variation(filled)
            loss = loss + options.variation * values["variation"]
        if game.on(session.step):
            values["discriminator"] = game.learn(torch.cat([clean, contour], dim=1),
                                                 torch.cat([filled, contour], dim=1), session.rate, mask)
            values["generator"] = inpainting.adversarial_generator(game.net(torch.cat([filled, contour], dim=1))[0],
                                                                   mask)
            loss = loss + options.adversarial * values["generator"]
        session.update(loss, values)
    opened.close()
    session.export("complete", export_complete, net.config)


if __name__ == "__main__":
    main()
