"""``rtface weights``: which networks are there, whether their files are whole, how they were trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rtface.cli_options import Debug, told_errors
from rtface.inference import EngineSpec

app = typer.Typer(no_args_is_help=True, help="The networks that rtface ships.")

Folder = Annotated[Path | None, typer.Option(help="Folder of networks. Default: the shipped ones.")]


@app.command("list")
def list_weights(folder: Folder = None, debug: Debug = False) -> None:
    """List networks: profile, size, whether the file is whole, training samples, measured quality."""
    with told_errors(debug):
        from rtface.errors import ModelFileError
        from rtface.inference import read_spec, verify_weights

        for name, profile in _names(folder):
            begin = f"{name:<11}{profile:<9}"
            try:
                spec = read_spec(name, profile, folder=folder)
                size = spec.path.stat().st_size / 1e6 if spec.path is not None else 0.0
            except (ModelFileError, OSError) as exc:
                print(f"{begin}{' '.join(str(exc).split())}")
                continue
            try:
                verify_weights(spec)
                state = "whole"
            except ModelFileError:
                state = "damaged"
            samples = samples_seen(spec)
            seen = "?" if samples is None else f"{samples / 1e6:.2f} M"
            metrics = ", ".join(f"{key} {value}" for key, value in spec.metrics.items()
                                if isinstance(value, int | float))
            print(f"{begin}{size:5.1f} MB  {state:<8}{seen:>7} samples  {spec.licence}  {metrics}".rstrip())


@app.command("verify")
def verify(folder: Folder = None, debug: Debug = False) -> None:
    """Check every network's file against its description, and load it; exit code 1 when one of them is not good."""
    with told_errors(debug):
        from rtface.errors import RtfaceError
        from rtface.inference import open_engine
        from rtface.morphable import MorphableModel

        failed = 0
        for name, profile in _names(folder):
            try:
                with open_engine(name, profile, backend="onnx", threads=1, folder=folder) as engine:
                    print(f"{name}.{profile}: good, {engine.backend}")
            except RtfaceError as exc:
                failed += 1
                print(f"{name}.{profile}: {' '.join(str(exc).split())}")
        if folder is None:
            try:
                print(f"basis: good, {MorphableModel.load(level=0).basis_id}")
            except RtfaceError as exc:
                failed += 1
                print(f"basis: {' '.join(str(exc).split())}")
        if failed:
            raise typer.Exit(1)


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="Such as landmarks, or landmarks.compact.")], folder: Folder = None,
         debug: Debug = False) -> None:
    """Print a network's description as JSON: tensors, configuration, recipe of its training, metrics."""
    with told_errors(debug):
        from rtface.errors import InputError
        from rtface.inference import read_spec
        from rtface.paths import WEIGHTS

        names = _names(folder)
        found = [stem for stem in names if name in (stem[0], ".".join(stem))]
        if len(found) != 1:
            known = ", ".join(".".join(stem) for stem in found or names)
            raise InputError(f"weights show: got {name!r}, expected one of {known}")
        read_spec(*found[0], folder=folder)  # tells what is wrong with it
        text = ((folder or WEIGHTS) / f"{'.'.join(found[0])}.json").read_text(encoding="utf-8")
        print(json.dumps(json.loads(text), indent=1, ensure_ascii=False))


def samples_seen(spec: EngineSpec) -> int | None:
    """Samples over all phases of a network's training; None where its json does not say."""
    phases: Any = spec.training.get("phases")
    if not isinstance(phases, list):
        return None
    counts = [phase.get("samples_seen") for phase in phases if isinstance(phase, dict)]
    known = [count for count in counts if isinstance(count, int)]
    return sum(known) if known else None


def _names(folder: Path | None) -> tuple[tuple[str, str], ...]:
    """ModelFileError when there is none."""
    from rtface.errors import ModelFileError
    from rtface.inference import shipped_names

    names = shipped_names(folder)
    if not names:
        raise ModelFileError(f"weights: got none in {folder}, expected NAME.PROFILE.onnx.gz and .json"
                             if folder is not None else
                             "weights: got none, expected those that rtface ships; reinstall rtface")
    return names
