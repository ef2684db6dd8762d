"""Train the face detector on synthetic scenes.

    python -m rtface.train.detector --data DATA --run RUN [--profile compact] [--steps 6000] [--resume]
                                    [--export rtface/weights]

DATA holds `scenes` shards from `rtface synth write --kind scenes`. Every cell whose centre lies in the middle of a
face of its level's size range is positive (centre sampling, FCOS §3.2); focal loss on scores, GIoU on boxes. Faces of
which less than a fifth is visible, and faces under 10 px, are ignored.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from torch import Tensor

from build_engines.onnx_export import export_detector
from rtface.losses.geometry import focal_loss, giou_loss
from rtface.nets.detector import STRIDES, Detector, DetectorNetConfig
from rtface.train import common
from rtface.train.data import SceneStream, as_input, find_shards
from rtface.train.session import Session

RANGES = ((0.0, 36.0), (28.0, 80.0), (64.0, 170.0), (136.0, 1e6))
"""Longer side of the faces (px) that each level answers for; they overlap, so that no size falls between two."""
LEAST_VISIBLE = 0.2
LEAST_SIDE = 10.0


def cells(size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Centres (P, 2) px, strides (P,) and levels (P,) in the order of :class:`rtface.nets.detector.DetectorOutput`."""
    centers, strides, levels = [], [], []
    for level, stride in enumerate(STRIDES):
        count = size // stride
        axis = (torch.arange(count, device=device) + 0.5) * stride
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).reshape(-1, 2)
        centers.append(grid)
        strides.append(torch.full((len(grid),), float(stride), device=device))
        levels.append(torch.full((len(grid),), level, device=device))
    return torch.cat(centers), torch.cat(strides), torch.cat(levels)


def assign(boxes: Tensor, visible: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Targets of every cell: labels (N, P) 0/1, boxes (N, P, 4), weights (N, P) with 0 = ignored.

    boxes (N, M, 4) px with NaN rows for no face, visible (N, M).
    """
    centers, strides, levels = cells(size, boxes.device)
    real = torch.isfinite(boxes[..., 0])
    whole = torch.nan_to_num(boxes)
    middle, sides = (whole[..., :2] + whole[..., 2:]) / 2, whole[..., 2:] - whole[..., :2]
    longer = sides.amax(dim=-1)
    offset = (centers[None, None] - middle[:, :, None]).abs()  # (N, M, P, 2)
    reach = torch.maximum(0.22 * sides[:, :, None], 0.5 * strides[None, None, :, None])
    central = (offset <= reach).all(dim=-1)
    inside = (offset <= 0.5 * sides[:, :, None]).all(dim=-1)
    ranges = torch.tensor(RANGES, device=boxes.device)[levels]  # (P, 2)
    fits = (longer[..., None] >= ranges[:, 0]) & (longer[..., None] <= ranges[:, 1])
    wanted = real & (visible >= LEAST_VISIBLE) & (longer >= LEAST_SIDE)
    positive = central & fits & wanted[..., None]
    cost = torch.where(positive, offset.square().sum(dim=-1), torch.inf)
    nearest = cost.argmin(dim=1)  # (N, P) the face a cell answers for
    labels = positive.any(dim=1).float()
    targets = torch.gather(whole, 1, nearest[..., None].expand(-1, -1, 4))
    unsure = (inside & real[..., None] & ~positive & (central | ~wanted[..., None])).any(dim=1)
    weights = torch.where(unsure & (labels == 0), 0.0, 1.0)
    return labels, targets, weights


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=6000, batch=32, lr=2e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", type=int, default=256, help="px of the training pictures, a multiple of 64")
    options = parser.parse_args(arguments)
    device = common.setup(options)
    config = DetectorNetConfig.profile(options.profile)
    net = Detector(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    session = Session(options, net, partial(torch.optim.AdamW, lr=options.lr, weight_decay=0.01), device=device,
                      config=config, clip=10.0)
    stream = SceneStream(find_shards(options.data, "scenes"), session.seed, options.size)
    for batch in session.batches(stream):
        labels, targets, weights = assign(batch.boxes.to(device), batch.visible.to(device), options.size)
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            out = net(as_input(batch.image, device))
        positives = labels.sum().clamp(min=1)
        score = (focal_loss(out.scores, labels, alpha=0.4) * weights).sum() / positives
        chosen = labels > 0
        box = giou_loss(out.boxes[chosen], targets[chosen]).sum() / positives
        session.update(score + box, {"score": score, "box": box})
    session.export("detector", export_detector, config)


if __name__ == "__main__":
    main()
