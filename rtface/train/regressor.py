"""Train the coefficient regressor on labelled synthetic faces.

    python -m rtface.train.regressor --data DATA --run RUN [--profile compact] [--steps 10000] [--size 224]
                                     [--resume] [--export rtface/weights]

DATA holds `faces` shards from `rtface synth write`. ``--size`` may be smaller than the network's own 224 px for the
first part of the training (three times faster at 128); labels stay in 224-px units. Loss: CoefficientLoss.
"""

from __future__ import annotations

import argparse

import torch

from rtface.losses.coefficients import CoefficientLoss, CoefficientLossConfig
from rtface.morphable import MorphableModel
from rtface.nets.regressor import Regressor, RegressorConfig
from rtface.train import common
from rtface.train.data import CropStream, as_input, batches, find_shards


def main(arguments: list[str] | None = None) -> None:
    """Parse, build, loop, export."""
    parser = common.base_parser(__doc__ or "", steps=10000, batch=48, lr=1e-3)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--size", type=int, default=224, help="px of the crops fed during this run")
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
        net.load_state_dict(common.load_checkpoint(options.init)["ema"])
        ema = common.Ema(net)
    if options.resume:
        step = common.restore(checkpoint, net, optimizer, ema)
    stream = CropStream(find_shards(options.data, "faces"), options.seed + step, options.size, negatives=0.0)
    log, sums, counted = common.Log(options.run), dict[str, float](), 0
    meta = {"options": vars(options), "config": common.plain(config), "commit": common.commit(),
            "basis": model.basis_id}
    units = torch.ones(239)
    units[-3:] = config.size / options.size  # scale and translation of the labels, in px of the network's own crop
    units = units.to(device)
    net.train()
    for batch in batches(stream, options.batch, options.workers):
        if step >= options.steps:
            break
        rate = common.learning_rate(step, total=options.steps, peak=options.lr, warmup=min(200, options.steps // 4 + 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        target = batch.coefficients.to(device) * units
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            predicted = net(as_input(batch.crop, device))
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
            common.save_checkpoint(checkpoint, step=step, module=net, optimizer=optimizer, ema=ema, meta=meta)
    if options.export:
        from build_engines.onnx_export import export_regressor
        export_regressor(config, ema.state, options.export, profile=options.profile, basis=model.basis_id,
                         training=common.recipe(options, step))


if __name__ == "__main__":
    main()
