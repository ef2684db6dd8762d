"""What every trainer shares: seeds, device, checkpoints that survive a killed process, logs, learning rate, EMA."""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rtface.errors import InputError, ModelFileError
from rtface.paths import PACKAGE
from rtface.train import parallel


def base_parser(description: str, *, steps: int, batch: int, lr: float) -> argparse.ArgumentParser:
    """Options that every trainer takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder written by `rtface synth write`")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--profile", default="compact", choices=("compact", "paper"))
    parser.add_argument("--steps", type=int, default=steps, help="optimiser steps in all")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="CPU threads of torch")
    parser.add_argument("--workers", type=int, default=1, help="loader processes")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 autocast")
    parser.add_argument("--save-every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--init", type=Path,
                        help="start from the weights of this checkpoint or shipped .onnx.gz file (new optimiser)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --run")
    parser.add_argument("--export", type=Path, help="folder that receives NAME.PROFILE.onnx and .json at the end")
    return parser


def setup(options: argparse.Namespace) -> torch.device:
    """Seed every generator, bound the threads, make the run folder, join other processes (see ``parallel``)."""
    random.seed(options.seed)
    np.random.seed(options.seed)
    torch.manual_seed(options.seed)
    torch.set_num_threads(max(1, options.threads))
    options.run.mkdir(parents=True, exist_ok=True)
    return parallel.join(options.device)


def learning_rate(step: int, *, total: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def scheduled(drawn: Iterable[Any], optimizer: torch.optim.Optimizer, options: argparse.Namespace,
              first: int) -> Iterator[tuple[float, Any]]:
    """A batch for every step from ``first`` to ``options.steps``, with the learning rate that the optimiser now has."""
    warmup = min(200, options.steps // 4 + 1)
    for step, batch in zip(range(first, options.steps), drawn, strict=False):
        rate = learning_rate(step, total=options.steps, peak=options.lr, warmup=warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        yield rate, batch


class Ema:
    """Exponential moving average of a module's weights; buffers are copied."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    def update(self, module: nn.Module, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 10))
        for name, value in module.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value.detach(), 1 - decay)
            else:
                self.state[name].copy_(value)


class Log:
    """Scalars to ``log.csv`` (appended) and, where tensorboard is installed, to event files."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log.csv"
        self.started = time.perf_counter()
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.board = None
        else:
            self.board = SummaryWriter(str(folder / "tensorboard"))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        row = {"step": step, "seconds": round(time.perf_counter() - self.started, 1),
               **{k: float(f"{v:.6g}") for k, v in values.items()}}
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)
        print("  ".join(f"{k} {v:g}" for k, v in row.items()), flush=True)


def save_checkpoint(path: Path, *, step: int, module: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema,
                    meta: Mapping[str, Any]) -> None:
    """Write everything a run needs to go on; the old file stays until the new one is complete."""
    temporary = path.with_suffix(".tmp")
    torch.save({"step": step, "module": module.state_dict(), "optimizer": optimizer.state_dict(), "ema": ema.state,
                "torch_rng": torch.get_rng_state(), "meta": json.dumps(meta, default=str)}, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint (tensors and plain values only: no code is run)."""
    if not path.is_file():
        raise ModelFileError(f"checkpoint: got {path}, which does not exist; expected a file written by a trainer, "
                             f"start without --resume / --init")
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def initialise(module: nn.Module, path: Path, *, prefix: str = "") -> None:
    """Fill a module from a checkpoint's averaged weights or an exported .onnx.gz (``prefix`` of its names there).

    A module with a method ``adapted(state)`` may differ from the stored one in what that method can bridge.
    """
    from build_engines.onnx_export import load_weights, stored_state
    exported, adapt = path.name.endswith(".onnx.gz"), getattr(module, "adapted", None)
    if exported and adapt is None:
        load_weights(path, module, prefix=prefix)
        return
    state = stored_state(path, module, prefix) if exported else load_checkpoint(path)["ema"]
    module.load_state_dict(state if adapt is None else adapt(state))


def restore(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, ema: Ema) -> int:
    """Load module, optimiser, average and random state strictly; returns the next step."""
    state = load_checkpoint(path)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    for name, value in state["ema"].items():
        ema.state[name].copy_(value)
    torch.set_rng_state(state["torch_rng"])
    return int(state["step"])


def plain(config: Any) -> dict[str, Any]:
    """A (nested) dataclass as plain values for JSON."""
    if not is_dataclass(config) or isinstance(config, type):
        raise InputError(f"plain: got {type(config).__name__}, expected a dataclass instance")
    return asdict(config)


def commit() -> str:
    """Short commit of the source tree, with '+' when files differ from it; 'unknown' outside a checkout."""
    def git(*arguments: str) -> str:
        return subprocess.run(("git", "-C", str(PACKAGE), *arguments), capture_output=True, text=True,
                              check=True).stdout.strip()
    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def phase(options: argparse.Namespace, steps: int) -> dict[str, Any]:
    """What one run contributed to a network: part of a checkpoint's meta and of the weights' json."""
    described = options.data / "dataset.json"
    batch = options.batch * parallel.count()
    return {"steps": steps, "batch": batch, "samples_seen": steps * batch, "lr": options.lr,
            "seed": options.seed, "device": options.device, "torch": torch.__version__, "commit": commit(),
            "data": json.loads(described.read_text()) if described.exists() else options.data.name}


def earlier_phases(init: Path | None) -> list[dict[str, Any]]:
    """The runs that the weights behind ``--init`` went through, oldest first; [] for a fresh start."""
    if init is None:
        return []
    if init.name.endswith(".onnx.gz"):
        beside = init.with_name(init.name.removesuffix(".onnx.gz") + ".json")
        training = json.loads(beside.read_text())["training"] if beside.exists() else {}
        return list(training.get("phases", []))
    meta = json.loads(load_checkpoint(init)["meta"])
    return [*meta.get("phases", []), meta["phase"]] if "phase" in meta else [{"init": str(init)}]


def resumed_phases(checkpoint: Path) -> list[dict[str, Any]]:
    """Those before the run that a checkpoint belongs to: ``--resume`` needs no ``--init`` again."""
    return list(json.loads(load_checkpoint(checkpoint)["meta"]).get("phases", []))


def recipe(name: str, options: argparse.Namespace, steps: int, earlier: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the weights' json says about their training; ``name`` of the trainer, ``earlier`` phases oldest first."""
    phases = [*earlier, phase(options, steps)]
    return {"command": f"python -m rtface.train.{name}", "phases": phases,
            "samples_seen": sum(int(p.get("samples_seen", 0)) for p in phases)}
