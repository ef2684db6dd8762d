"""Train the coefficient regressor on labelled synthetic faces.

    python -m rtface.train.regressor --data DATA --run RUN [--profile compact] [--steps 10000] [--encoder LANDMARKS]
                                     [--frozen 60000] [--deoccluded 0.4] [--pairs 2] [--draw 4] [--resume]
                                     [--export WEIGHTS]

DATA holds `faces` shards from `rtface synth write`; with ``--draw`` faces like them are drawn meanwhile. ``--encoder``
takes trunk and heat maps from a landmark network (its checkpoint or its weight file); with ``--frozen`` they stay as
they are, and the layers behind them learn within minutes on a CPU. Half of the crops are mirrored. The shipped
segmentation network tells the regressor what is hidden, as at run time; the share ``--deoccluded`` is completed by the
shipped networks, too, and a tenth of the crops comes without a mask. Loss: CoefficientLoss. With ``--pairs WEIGHT``
(shards with clean twins) every face is seen twice, hidden and clean, and both answers shall be one mesh: WEIGHT weighs
AgreementTerms.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from build_engines.onnx_export import export_regressor, stored_state
from rtface.errors import ModelFileError
from rtface.losses.coefficients import CoefficientLoss, CoefficientLossConfig
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.nets.regressor import Regressor, RegressorConfig
from rtface.nets.resnet import ResNetConfig
from rtface.train import common
from rtface.train.data import CropStream, ShardStream, as_input, batches, find_shards
from rtface.train.deocclusion import TorchDeoccluder, guessed_landmarks
from rtface.train.drawn import Drawn, add_option, open_supply
from rtface.train.pairs import PairSample, PairStream
from rtface.train.session import Session

IDENTITY_AGREES = 0.25
"""What identity's agreement weighs against expression's: with 1, identities moved half as far under an occluder, but
came nearer to the mean face."""
MM_PER_RAD = 10.0
"""What an angle between both heads weighs against a distance of their vertices."""
IGNORANT = 0.1
"""Share of the crops that come without a mask: nobody looked."""


def load_encoder(net: Regressor, path: Path) -> None:
    """Fill the encoder (trunk and heat maps) from a landmark network: its checkpoint or its exported file."""
    own = net.encoder.state_dict()
    state = stored_state(path, net.encoder, "net.") if path.name.endswith(".onnx.gz") else (
        common.load_checkpoint(path)["ema"])
    if missing := sorted(name for name in own if name not in state or state[name].numel() != own[name].numel()):
        raise ModelFileError(f"--encoder: got {path} without {missing[0]} of the right shape, expected a landmark "
                             f"network with the same trunk and points")
    net.encoder.load_state_dict({name: state[name].reshape(value.shape) for name, value in own.items()})


def views(batch: Any, chain: TorchDeoccluder | None, share: float,
          device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """A batch → crops (N, 3, S, S), what hides them (N, 1, S, S), coefficients (N, 239); pairs: hidden ones first.

    ``share`` of the hidden crops are completed; nobody looked at the last tenth.
    """
    pairs = isinstance(batch, PairSample)
    crops = as_input(batch.hidden if pairs else batch.crop, device)
    target = (batch.hidden_coefficients if pairs else batch.coefficients).to(device)
    mask = torch.zeros_like(crops[:, :1])
    if chain is not None:
        count, looked = round(share * len(crops)), len(crops) - round(IGNORANT * len(crops))
        mask[:looked] = chain.find(crops[:looked])
        points = guessed_landmarks(batch.landmarks[:count].to(device), batch.visibility[:count].to(device),
                                   crops.shape[-1])
        crops = torch.cat([chain.complete(crops[:count], mask[:count], points), crops[count:]])
    if not pairs:
        return crops, mask, target
    clean = as_input(batch.clean, device)
    return (torch.cat([crops, clean]), torch.cat([mask, torch.zeros_like(mask)]),
            torch.cat([target, batch.clean_coefficients.to(device)]))


class Kept(NamedTuple):
    """What an encoder saw in many crops, and the truth."""

    features: Tensor
    """(N, K, F) float16; K crops of one face: 1, or 2 for pairs, the hidden one first."""
    targets: Tensor
    """(N, K, 239)."""

    @classmethod
    def of(cls, seen: Iterator[tuple[Tensor, Tensor]], net: Regressor, count: int, *, crops: int) -> Kept:
        """Features and coefficients of the first ``count`` faces; the network looks as at run time meanwhile.

        crops: of each face; batches hold all first ones, then all second ones.
        """
        features: list[Tensor] = []
        targets: list[Tensor] = []
        net.eval()
        with torch.no_grad():
            while sum(map(len, targets)) < count:
                some, target = next(seen)
                features.append(torch.stack(some.half().chunk(crops), dim=1))
                targets.append(torch.stack(target.chunk(crops), dim=1))
        net.train()
        return cls(torch.cat(features), torch.cat(targets))

    def batches(self, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless batches of ``batch`` faces in ever new order, as those that were kept."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            for rows in torch.randperm(len(self.targets), generator=generator).split(batch):
                if len(rows) == batch or batch > len(self.targets):
                    features, targets = (kept[rows].transpose(0, 1).flatten(0, 1) for kept in self)
                    yield features.float(), targets


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=10000, batch=48, lr=1e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--encoder", type=Path, help="landmark checkpoint whose convolutions to start from")
    parser.add_argument("--deoccluded", type=float, default=0.4,
                        help="share of crops from which occluders are removed by the shipped networks")
    parser.add_argument("--frozen", type=int, default=0, metavar="FACES",
                        help="leave the encoder as it is: what it sees of so many faces is kept, and the layers "
                             "behind it learn from that; 0: everything learns, from ever new crops")
    parser.add_argument("--pairs", type=float, default=0.0,
                        help="weight of the agreement between hidden and clean crops; 0: no pairs")
    add_option(parser)
    options = parser.parse_args(arguments)
    device = common.setup(options)
    config = RegressorConfig.profile(options.profile)
    net = Regressor(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = MorphableModel.load()
    criterion = CoefficientLoss(model, CoefficientLossConfig.of_crops(config.size)).to(device)
    if options.encoder:
        load_encoder(net, options.encoder)
    session = Session(options, net, partial(torch.optim.AdamW, lr=options.lr, weight_decay=0.05), device=device,
                      config=config, clip=10.0, init_prefix="", meta={"basis": model.basis_id})
    mirror = Mirror(model)
    opened = contextlib.ExitStack()
    if options.draw:
        drawer = Drawn(opened.enter_context(open_supply(session, clean=bool(options.pairs))), session.seed, config.size,
                       mirror)
        given: Iterator[Any] = drawer.pairs() if options.pairs else drawer.crops()
    else:
        paths = find_shards(options.data, "faces")
        stream: ShardStream = (PairStream(paths, session.seed, config.size, mirror) if options.pairs
                               else CropStream(paths, session.seed, config.size, negatives=0.0, mirror=mirror))
        given = batches(stream, options.batch, options.workers)
    # depthwise layers lose time in bfloat16 on CPUs
    bf16 = options.bf16 and (device.type == "cuda" or isinstance(config.trunk, ResNetConfig))
    chain = TorchDeoccluder(device) if config.mask or options.deoccluded else None

    def seen(batch: Any) -> tuple[Tensor, Tensor]:
        """A batch of crops → the encoder's features and coefficients."""
        crops, mask, target = views(batch, chain, options.deoccluded, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            return net.describe(crops, mask), target

    if options.frozen:
        kept = Kept.of(map(seen, given), net, options.frozen, crops=1 + bool(options.pairs))
        drawn = kept.batches(options.batch, session.seed)
    else:
        drawn = map(seen, given)
    for features, target in session.scheduled(drawn):
        predicted = net.answer(features)
        loss, terms = criterion(predicted, target)
        values = terms._asdict()
        if options.pairs:
            hidden, clean = predicted.chunk(2)
            apart = criterion.agreement(hidden, clean.detach())
            loss = loss + options.pairs * (IDENTITY_AGREES * apart.identity_mm + apart.expression_mm
                                           + MM_PER_RAD * apart.turn_rad)
            values |= {f"apart_{name}": term for name, term in apart._asdict().items()}
        session.update(loss, values)
    opened.close()
    session.export("regressor", export_regressor, config, basis=model.basis_id)


if __name__ == "__main__":
    main()
