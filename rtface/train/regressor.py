"""Train the coefficient regressor on labelled synthetic faces.

    python -m rtface.train.regressor --data DATA --run RUN [--profile compact] [--steps 10000] [--encoder LANDMARKS.pt]
                                     [--deoccluded 0.5] [--resume] [--export rtface/weights]

DATA holds `faces` shards from `rtface synth write`. ``--encoder`` starts the convolutions from a landmark checkpoint
(same trunk), which saves most of the time. Half of the crops are mirrored. With ``--deoccluded`` that share of the
crops goes through the shipped chain of occlusion removal first, as at run time. Loss: CoefficientLoss.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from rtface.errors import ModelFileError
from rtface.losses.coefficients import CoefficientLoss, CoefficientLossConfig
from rtface.mirror import Mirror
from rtface.morphable import MorphableModel
from rtface.nets.regressor import Regressor, RegressorConfig
from rtface.nets.resnet import ResNetConfig
from rtface.train import common
from rtface.train.data import CropStream, as_input, batches, find_shards
from rtface.train.deocclusion import TorchDeoccluder, guessed_landmarks


def load_encoder(net: Regressor, path: Path) -> None:
    """Fill the encoder's convolutions (not its fully connected layer) from a landmark network's checkpoint."""
    state = common.load_checkpoint(path)["ema"]
    own = net.encoder.state_dict()
    wanted = {name for name in own if not name.startswith("hidden.")}
    if missing := sorted(name for name in wanted if name not in state or state[name].shape != own[name].shape):
        raise ModelFileError(f"--encoder: got {path} without {missing[0]} of the right shape, expected a checkpoint of "
                             f"rtface.train.landmarks with the same trunk")
    net.encoder.load_state_dict({**own, **{name: state[name] for name in wanted}})


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=10000, batch=48, lr=1e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--encoder", type=Path, help="landmark checkpoint whose convolutions to start from")
    parser.add_argument("--deoccluded", type=float, default=0.0,
                        help="share of crops from which occluders are removed by the shipped networks")
    options = parser.parse_args(arguments)
    device = common.setup(options)
    config = RegressorConfig.profile(options.profile)
    net = Regressor(config).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = MorphableModel.load()
    criterion = CoefficientLoss(model, CoefficientLossConfig()).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.lr, weight_decay=0.02)
    ema, step = common.Ema(net), 0
    checkpoint = options.run / "last.pt"
    if options.init:
        common.initialise(net, options.init)
        ema = common.Ema(net)
    if options.encoder:
        load_encoder(net, options.encoder)
        ema = common.Ema(net)
    if options.resume:
        step = common.restore(checkpoint, net, optimizer, ema)
    stream = CropStream(find_shards(options.data, "faces"), options.seed + step, config.size, negatives=0.0,
                        mirror=Mirror(model))
    log, sums, counted = common.Log(options.run), dict[str, float](), 0
    meta = {"options": vars(options), "config": common.plain(config), "phases": common.earlier_phases(options.init),
            "basis": model.basis_id}
    # depthwise layers lose time in bfloat16 on CPUs
    bf16 = options.bf16 and (device.type == "cuda" or isinstance(config.trunk, ResNetConfig))
    chain = TorchDeoccluder(device) if options.deoccluded else None
    net.train()
    for rate, batch in common.scheduled(batches(stream, options.batch, options.workers), optimizer, options, step):
        target, crops = batch.coefficients.to(device), as_input(batch.crop, device)
        if chain is not None:
            count = round(options.deoccluded * len(crops))
            points = guessed_landmarks(batch.landmarks[:count].to(device), batch.visibility[:count].to(device))
            crops = torch.cat([chain(crops[:count], points), crops[count:]])
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            predicted = net(crops)
        loss, terms = criterion(predicted, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        ema.update(net, step)
        step, counted = step + 1, counted + 1
        for name, value in {"loss": loss, **terms._asdict()}.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if step % 50 == 0 or step == options.steps:
            log.write(step, {**{k: v / counted for k, v in sums.items()}, "lr": rate})
            sums, counted = {}, 0
        if step % options.save_every == 0 or step == options.steps:
            common.save_checkpoint(checkpoint, step=step, module=net, optimizer=optimizer, ema=ema,
                                   meta={**meta, "phase": common.phase(options, step)})
    if options.export:
        from build_engines.onnx_export import export_regressor
        export_regressor(config, ema.state, options.export, profile=options.profile, basis=model.basis_id,
                         training=common.recipe("regressor", options, step))


if __name__ == "__main__":
    main()
