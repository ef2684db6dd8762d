"""Train the coefficient regressor on labelled synthetic faces.

    python -m rtface.train.regressor --data DATA --run RUN [--profile compact] [--steps 10000] [--encoder LANDMARKS.pt]
                                     [--landmarks LANDMARKS.pt] [--told-only] [--deoccluded 0.4] [--pairs 2] [--resume]
                                     [--export rtface/weights]

DATA holds `faces` shards from `rtface synth write`. ``--encoder`` starts the convolutions from a landmark checkpoint
(same trunk), which saves most of the time. Half of the crops are mirrored. As at run time, the landmark network tells
the regressor where it sees the 68 points (``--landmarks``: another one than the shipped one), and the shipped
segmentation network what is hidden; the share ``--deoccluded`` is completed by the shipped networks, too, and a tenth
of the crops comes without a mask. Loss: CoefficientLoss. With ``--pairs WEIGHT`` (shards with clean twins) every face
is seen twice, hidden and clean, and both answers shall be one mesh: WEIGHT weighs AgreementTerms.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from build_engines.onnx_export import export_regressor
from rtface.errors import InputError, ModelFileError
from rtface.geometry import CLOSE_SIDE_PER_FACE, CROP_SHIFT_UP, CROP_SIDE_PER_FACE
from rtface.losses.coefficients import CoefficientLoss, CoefficientLossConfig
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.nets.landmarks import LandmarkNet, LandmarkNetConfig
from rtface.nets.regressor import Regressor, RegressorConfig
from rtface.nets.resnet import ResNetConfig
from rtface.paths import WEIGHTS
from rtface.train import common
from rtface.train.data import CropStream, ShardStream, as_input, find_shards
from rtface.train.deocclusion import TorchDeoccluder, guessed_landmarks
from rtface.train.pairs import PairSample, PairStream
from rtface.train.session import Session

IDENTITY_AGREES = 0.25
"""What identity's agreement weighs against expression's: with 1, identities moved half as far under an occluder, but
came nearer to the mean face."""
MM_PER_RAD = 10.0
"""What an angle between both heads weighs against a distance of their vertices."""
POINT_NOISE_PX = 0.5
"""Of the told points: they were measured in another crop."""
IGNORANT = 0.1
"""Share of the crops that come without a mask: nobody looked."""


def load_encoder(net: Regressor, path: Path) -> None:
    """Fill the encoder's convolutions (not its fully connected layer) from a landmark network's checkpoint."""
    own = net.encoder.state_dict()
    state = common.widened_state(common.load_checkpoint(path)["ema"], own)
    wanted = {name for name in own if not name.startswith("hidden.")}
    if missing := sorted(name for name in wanted if name not in state or state[name].shape != own[name].shape):
        raise ModelFileError(f"--encoder: got {path} without {missing[0]} of the right shape, expected a checkpoint of "
                             f"rtface.train.landmarks with the same trunk")
    net.encoder.load_state_dict({**own, **{name: state[name] for name in wanted}})


def hold_still(net: Regressor) -> None:
    """Keep everything but ``net.told`` from learning, statistics of batches included."""
    if net.told is None:
        raise InputError("--told-only: got a network that is not told the points, expected one that is")
    net.requires_grad_(False)
    net.told.requires_grad_(True)
    net.encoder.eval()


class Pointer:
    """The landmark network, as the regressor's input ``points`` comes from it at run time; nothing is learned here."""

    def __init__(self, path: Path, profile: str, device: torch.device) -> None:
        """path: checkpoint or exported file of :mod:`rtface.train.landmarks`."""
        self._config = LandmarkNetConfig.profile(profile)
        net = LandmarkNet(self._config)
        common.initialise(net, path, prefix="net." if path.name.endswith(".onnx.gz") else "")
        self._net = net.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._net.requires_grad_(False)

    @torch.no_grad()
    def __call__(self, crops: Tensor) -> Tensor:
        """crops (N, 3, S, S) → (N, 68, 3): x, y px, visibility; a little off, as the frame before would have it."""
        size, own = crops.shape[-1], self._config.size
        part = CLOSE_SIDE_PER_FACE / CROP_SIDE_PER_FACE  # of the crop's side that the landmark network sees
        down = CROP_SHIFT_UP / CROP_SIDE_PER_FACE
        theta = torch.tensor([[part, 0.0, 0.0], [0.0, part, 2 * down]], device=crops.device).expand(len(crops), 2, 3)
        grid = F.affine_grid(theta, [len(crops), 3, own, own], align_corners=False)
        seen = self._net(F.grid_sample(crops, grid, padding_mode="border", align_corners=False))
        corner = torch.tensor([(1 - part) / 2, (1 - part) / 2 + down], device=crops.device) * size
        noisy = seen.landmarks + POINT_NOISE_PX * torch.randn_like(seen.landmarks)
        places = noisy * (part * size / own) + corner
        return torch.cat([places, torch.sigmoid(seen.visibility)[..., None]], dim=2)


def views(batch: Any, chain: TorchDeoccluder | None, share: float,
          device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch → crops (N, 3, S, S), what hides them (N, 1, S, S), the same crops before completion, coefficients
    (N, 239); pairs: hidden ones first.

    ``share`` of the hidden crops are completed; nobody looked at the last tenth.
    """
    pairs = isinstance(batch, PairSample)
    crops = as_input(batch.hidden if pairs else batch.crop, device)
    seen = crops
    target = (batch.hidden_coefficients if pairs else batch.coefficients).to(device)
    mask = torch.zeros_like(crops[:, :1])
    if chain is not None:
        count, looked = round(share * len(crops)), len(crops) - round(IGNORANT * len(crops))
        mask[:looked] = chain.find(crops[:looked])
        points = guessed_landmarks(batch.landmarks[:count].to(device), batch.visibility[:count].to(device))
        crops = torch.cat([chain.complete(crops[:count], mask[:count], points), crops[count:]])
    if not pairs:
        return crops, mask, seen, target
    clean = as_input(batch.clean, device)
    return (torch.cat([crops, clean]), torch.cat([mask, torch.zeros_like(mask)]), torch.cat([seen, clean]),
            torch.cat([target, batch.clean_coefficients.to(device)]))


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=10000, batch=48, lr=1e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--encoder", type=Path, help="landmark checkpoint whose convolutions to start from")
    parser.add_argument("--deoccluded", type=float, default=0.4,
                        help="share of crops from which occluders are removed by the shipped networks")
    parser.add_argument("--pairs", type=float, default=0.0,
                        help="weight of the agreement between hidden and clean crops; 0: no pairs")
    parser.add_argument("--told-only", action="store_true",
                        help="train only the layers that are told the points; the others stay as they are")
    parser.add_argument("--landmarks", type=Path, help="landmark network (checkpoint or .onnx.gz) that tells the "
                        "regressor the 68 points; default: the shipped one of the profile")
    options = parser.parse_args(arguments)
    options.landmarks = options.landmarks or WEIGHTS / f"landmarks.{options.profile}.onnx.gz"
    device = common.setup(options)
    config = RegressorConfig.profile(options.profile)
    net = Regressor(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = MorphableModel.load()
    criterion = CoefficientLoss(model, CoefficientLossConfig()).to(device)
    if options.encoder:
        load_encoder(net, options.encoder)
    session = Session(options, net, partial(torch.optim.AdamW, lr=options.lr, weight_decay=0.02), device=device,
                      config=config, clip=10.0, init_prefix="", widen=True, meta={"basis": model.basis_id})
    if options.told_only:
        hold_still(net)
    paths, mirror = find_shards(options.data, "faces"), Mirror(model)
    stream: ShardStream = (PairStream(paths, session.seed, config.size, mirror) if options.pairs
                           else CropStream(paths, session.seed, config.size, negatives=0.0, mirror=mirror))
    # depthwise layers lose time in bfloat16 on CPUs
    bf16 = options.bf16 and (device.type == "cuda" or isinstance(config.trunk, ResNetConfig))
    chain = TorchDeoccluder(device) if config.mask or options.deoccluded else None
    pointer = Pointer(options.landmarks, options.profile, device) if config.points else None
    for batch in session.batches(stream):
        crops, mask, seen, target = views(batch, chain, options.deoccluded, device)
        points = None if pointer is None else pointer(seen)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            predicted = net(crops, mask, points)
        loss, terms = criterion(predicted, target)
        values = terms._asdict()
        if options.pairs:
            hidden, clean = predicted.chunk(2)
            apart = criterion.agreement(hidden, clean.detach())
            loss = loss + options.pairs * (IDENTITY_AGREES * apart.identity_mm + apart.expression_mm
                                           + MM_PER_RAD * apart.turn_rad)
            values |= {f"apart_{name}": term for name, term in apart._asdict().items()}
        session.update(loss, values)
    session.export("regressor", export_regressor, config, basis=model.basis_id)


if __name__ == "__main__":
    main()
