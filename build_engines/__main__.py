"""Compile networks for NVIDIA GPUs, and compare every way of running them.

    python -m build_engines --all --flavour rtx               every shipped network, for TensorRT for RTX
    python -m build_engines landmarks --flavour tensorrt      one network, for the GPU in this machine
    python -m build_engines --list                            what is there and whether it fits
    python -m build_engines --all --verify                    all runtimes against float32, in units of the task
    python -m build_engines --clean                           delete engines

Engines land in `engines/` of a checkout, else in the user's cache folder; `--out` or RTFACE_ENGINES choose another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rtface.config import Profile
from rtface.errors import InputError, RtfaceError
from rtface.inference.manifest import DEFAULT_BATCH, Manifest, manifests
from rtface.inference.nvidia import MODULES
from rtface.inference.spec import read_spec, shipped_specs


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m build_engines", description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("names", nargs="*", metavar="NAME", help="networks: detector, landmarks, …")
    made.add_argument("--all", action="store_true", help="every network of the weights folder that has this profile")
    made.add_argument("--flavour", choices=tuple(MODULES), default="rtx", help="default: rtx")
    made.add_argument("--precision", choices=("fp16", "fp32"), default="fp16")
    made.add_argument("--batch", default=DEFAULT_BATCH, metavar="LEAST:BEST:MOST", help=f"default: {DEFAULT_BATCH}")
    made.add_argument("--via", choices=("onnx", "torch-tensorrt"), default="onnx")
    made.add_argument("--sm", metavar="86,89", help="compute capabilities to build for (rtx); default: all from 8.0 on")
    made.add_argument("--profile", choices=get_args(Profile), default="compact")
    made.add_argument("--weights", type=Path, metavar="DIR", help="folder of weight files; default: the shipped ones")
    made.add_argument("--out", type=Path, metavar="DIR", help="folder of the engines")
    made.add_argument("--rebuild", action="store_true", help="also build what is there already")
    made.add_argument("--untrained", action="store_true",
                      help="write freshly initialised weights of the networks into --weights first, to try a profile "
                           "that has none")
    action = made.add_mutually_exclusive_group()
    action.add_argument("--list", action="store_true", help="show engines and whether they fit the weights")
    action.add_argument("--verify", action="store_true", help="compare runtimes; fails when a limit is broken")
    action.add_argument("--clean", action="store_true", help="delete engines")
    made.add_argument("--json", type=Path, metavar="FILE", help="where --verify also writes its figures")
    made.add_argument("--seed", type=int, default=20, help="of --verify's faces; 20 are those that precision was "
                                                           "decided on")
    return made


def parse_sm(text: str | None) -> tuple[int, ...]:
    """``86,8.9`` → (86, 89)."""
    try:
        numbers = [int(part.strip().replace(".", "")) for part in text.split(",")] if text else []
    except ValueError as exc:
        raise InputError(f"--sm: got {text!r}, expected compute capabilities such as 86,89") from exc
    return tuple(sorted(set(numbers)))


def chosen(options: argparse.Namespace) -> list[str]:
    """The networks that are meant; InputError when there are none."""
    from build_engines.networks import NETWORKS
    if bool(options.names) == options.all:
        raise InputError("networks: got " + ("names and --all" if options.all else "none") + ", expected names or "
                         f"--all; there are {', '.join(NETWORKS)}")
    if not options.all:
        return list(dict.fromkeys(options.names))
    found = [s.name for s in shipped_specs(options.weights) if s.profile == options.profile and s.name in NETWORKS]
    if options.untrained:
        return list(NETWORKS)
    if not found:
        raise InputError(f"--all: got no weights of profile {options.profile} in "
                         f"{options.weights or 'the shipped folder'}, expected some; give a folder with --weights")
    return sorted(found, key=list(NETWORKS).index)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and act; the exit code."""
    made = parser()
    options = made.parse_args(arguments)
    try:
        return act(options)
    except RtfaceError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1


def act(options: argparse.Namespace) -> int:
    """What the options ask for."""
    from build_engines.build import Order, build, clean
    from build_engines.networks import network, write_untrained
    from build_engines.plan import parse_batch
    order = Order(flavour=options.flavour, precision=options.precision, profile=options.profile,
                  batch=parse_batch(options.batch), sm=parse_sm(options.sm), weights=options.weights,
                  out=options.out, via=options.via)
    for name in options.names:
        network(name)
    if options.list:
        return show(order.folder, options.weights)
    if options.clean:
        gone = clean(order.folder, options.names)
        print("\n".join(f"deleted {path}" for path in gone) or f"nothing to delete in {order.folder}")
        return 0
    names = chosen(options)
    if options.untrained:
        if options.weights is None:
            raise InputError("--untrained: got no --weights, expected a folder that the untrained weights go to")
        for name in names:
            write_untrained(name, options.profile, options.weights)
    if options.verify:
        from build_engines.verify import report
        return report(names, order, options.json, options.seed)
    for name in names:
        manifest, new = build(name, order, rebuild=options.rebuild)
        print(f"{'built' if new else 'kept '}  {manifest.engine}  {manifest.engine.stat().st_size / 1e6:.1f} MB",
              flush=True)
    return 0


def show(folder: Path, weights: Path | None) -> int:
    """One line per engine."""
    found = manifests(folder)
    for manifest in found:
        print(f"{manifest.engine.name}  {state(manifest, weights)}")
    if not found:
        print(f"no engines in {folder}; build them with: python -m build_engines --all --flavour rtx")
    return 0


def state(manifest: Manifest, weights: Path | None) -> str:
    """Whether an engine may be used, as far as can be told without a GPU."""
    from rtface.inference.manifest import verify_engine
    try:
        verify_engine(manifest)
        spec = read_spec(manifest.name, manifest.profile, folder=weights)
    except RtfaceError as exc:
        return f"not usable: {exc}"
    return "ready" if spec.sha256 == manifest.weights_sha256 else "built from other weights: build it again"


if __name__ == "__main__":
    sys.exit(main())
