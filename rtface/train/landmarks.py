"""Train the landmark network.

    python -m rtface.train.landmarks --data DATA --run RUN [--profile compact] [--steps 8000] [--draw 4]
                                     [--resume] [--scenes SCENES] [--export rtface/weights]

DATA holds `faces` shards from `rtface synth write` (with ``--draw`` faces like them are drawn meanwhile), SCENES
`scenes` shards (hands, prints and walls that are no face). Half of the crops are mirrored. Loss: smooth L1 on the 68
points and both irises in crop px (points that something covers count half), cross-entropy on their heat maps, on
presence and on visibility.
"""

from __future__ import annotations

import argparse
import contextlib
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from build_engines.onnx_export import export_landmarks
from rtface.irises import Irises
from rtface.losses.geometry import point_loss
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.nets.landmarks import LandmarkNet, LandmarkNetConfig
from rtface.nets.point_maps import map_loss
from rtface.train import common
from rtface.train.data import CropStream, as_input, batches, find_shards
from rtface.train.drawn import Drawn, add_option, open_supply
from rtface.train.session import Session
from rtface.types import LANDMARKS

MAPS = 0.5
"""What the heat maps weigh against a pixel."""
IRISES = 8.0
"""What an iris weighs against a landmark: there are two of them, and gaze is read off a few pixels."""
NEGATIVES = 0.15
"""Share of crops that show no face where tracking would have one."""


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=8000, batch=64, lr=1.5e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--scenes", type=Path, help="folder of `scenes` shards: frames without faces and decoys")
    add_option(parser)
    options = parser.parse_args(arguments)
    device = common.setup(options)
    config = LandmarkNetConfig.profile(options.profile)
    net = LandmarkNet(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    session = Session(options, net, partial(torch.optim.AdamW, lr=options.lr, weight_decay=0.01), device=device,
                      config=config, clip=20.0)
    model = MorphableModel.load(level=0)
    mirror, eyes = Mirror(model), Irises(model) if config.irises else None
    scenes = find_shards(options.scenes, "scenes") if options.scenes else []
    opened = contextlib.ExitStack()
    if options.draw:
        drawn = Drawn(opened.enter_context(open_supply(session, clean=False)), session.seed, config.size, mirror,
                      close=True, eyes=eyes, negatives=NEGATIVES, scenes=scenes).crops()
    else:
        drawn = batches(CropStream(find_shards(options.data, "faces"), session.seed, config.size, negatives=NEGATIVES,
                                   mirror=mirror, scenes=scenes, close=True, eyes=eyes), options.batch, options.workers)
    for batch in session.scheduled(drawn):
        sample = type(batch)(*(t.to(device) for t in batch))
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16 and device.type == "cuda"):
            out = net(as_input(sample.crop, device))
        wanted, shown = sample.landmarks, sample.visibility
        if config.irises:
            wanted = torch.cat([wanted, sample.irises], dim=1)
            shown = torch.cat([shown, sample.iris_visibility], dim=1)
        weights = sample.presence[:, None] * (0.5 + 0.5 * shown)
        weights[:, LANDMARKS:] *= IRISES
        points = point_loss(out.landmarks, wanted, weights, beta=1.0)
        presence = F.binary_cross_entropy_with_logits(out.presence, sample.presence)
        visibility = F.binary_cross_entropy_with_logits(out.visibility, shown,
                                                        weight=sample.presence[:, None])
        maps = map_loss(out.maps, wanted, weights, config.size)
        loss = points + MAPS * maps + 2.0 * presence + 1.0 * visibility
        with torch.no_grad():
            distance = torch.linalg.norm(out.landmarks - wanted, dim=-1)
            faces = sample.presence.sum().clamp(min=1)
            px = (distance[:, :LANDMARKS].mean(dim=1) * sample.presence).sum() / faces
            irises = (distance * shown)[:, LANDMARKS:].sum() / shown[:, LANDMARKS:].sum().clamp(min=1)
        session.update(loss, {"px": px, "iris_px": irises, "maps": maps, "presence": presence,
                              "visibility": visibility})
    opened.close()
    session.export("landmarks", export_landmarks, config)


if __name__ == "__main__":
    main()
