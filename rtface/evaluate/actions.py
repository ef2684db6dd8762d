"""How far every action of the face (ARKit's blend shapes) is followed, on drawn faces, where the truth is known.

    python -m rtface.evaluate.actions [--faces 400] [--seed 0] [--occluded 0] [--no-fit] [--no-reflect]

No photograph says how far `browDownLeft` or `eyeLookUpRight` acts. Faces that the networks never saw are drawn, found
by their true boxes and measured as the product measures a single picture; nothing is known of the frame before. Per
action and for groups of actions:

- ``spread``: standard deviation of the truth (1 = full action);
- ``slope``: of the measured action over the true one, by least squares: 1 follows all the way, 0 not at all;
- ``correlation`` of both;
- ``explained``: share of the truth's variance that the measurement predicts, 1 − Σ(measured − true)² / Σ(true − mean)²;
  below 0 a constant would have been nearer.

Actions that are hidden, weak or alike keep all of them below 1 for any system: a mouth that is pressed and one that is
rolled in differ by little.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.evaluate.metrics import bootstrap_interval
from rtface.evaluate.networks import NetworkOptions, Networks, face_reader
from rtface.evaluate.report import Cell, Report, Table
from rtface.io.avatar import curve_names
from rtface.morphable import MorphableModel
from rtface.synth.config import SynthConfig
from rtface.synth.generator import FaceFactory
from rtface.types import IDENTITY_SIZE, Frame

Doubles = NDArray[np.float64]
GROUPS: Final = {"gaze": ("eyeLook",), "eyelids": ("eyeBlink", "eyeSquint", "eyeWide"), "brows": ("brow",),
                 "cheeks and nose": ("cheek", "nose"), "jaw": ("jaw",), "smile": ("mouthSmile",),
                 "other of the mouth": ("mouth", "tongue"), "all": ("",)}
"""Beginnings of the names of each group's actions; an action counts in the first group that has it, and in ``all``."""
HEADER: Final = ("spread", "slope", "correlation", "explained %", "95 %")
LEAST_SPREAD: Final = 1e-3
"""Actions that hardly any drawn face shows are left out of the table."""


def measure(networks: Networks, model: MorphableModel, *, faces: int = 400, seed: int = 0,
            occluded: float = 0.0) -> Report:
    """Draw, measure and compare; faces beyond recognition count as measured at rest."""
    reader = face_reader(networks.engines, model, reflect=networks.reflect, fit=networks.fit)
    factory = FaceFactory(model)
    config = SynthConfig(size=288, occluder_rate=occluded, clean_twin=False)
    names = curve_names(model.expression_names)
    true, measured = np.zeros((2, faces, len(names)))
    lost = 0
    for number in range(faces):
        sample = factory.generate(np.random.default_rng([seed, number]), config)
        true[number] = sample.coefficients[IDENTITY_SIZE:IDENTITY_SIZE + len(names)]
        found = reader.measure(Frame(np.ascontiguousarray(sample.pixels), number, 0.0), sample.box_xyxy)
        lost += found is None
        if found is not None:
            measured[number] = found.coefficients.expression[0, :len(names)]
    results: list[dict[str, Any]] = []
    groups = [_line(group, true, measured, [k for k, action in enumerate(names) if group in (group_of(action), "all")],
                    results) for group in GROUPS]
    actions = [_line(action, true, measured, [k], results) for k, action in enumerate(names)
               if true[:, k].std() > LEAST_SPREAD]
    tables = [Table("Actions of drawn faces, by group", ("group", *HEADER), groups),
              Table("Action by action", ("action", *HEADER), actions)]
    settings = {"networks": networks.describe(), "faces": faces, "seed": seed, "occluded": occluded}
    notes = [f"{lost} of {faces} faces were not found"] if lost else []
    return Report("actions", tables, results, [], settings, notes)


def group_of(action: str) -> str:
    """The group that an action counts in, beside ``all``."""
    return next(name for name, starts in GROUPS.items() if action.startswith(starts))


def _line(name: str, true: Doubles, measured: Doubles, columns: list[int], results: list[dict[str, Any]]) -> list[Cell]:
    """Figures of some actions together; every action is centred by itself."""
    wanted, got = true[:, columns] - true[:, columns].mean(axis=0), measured[:, columns]
    centred = got - got.mean(axis=0)
    both, variance = float((wanted * centred).sum()), float((wanted ** 2).sum())
    rows = np.stack([((got - true[:, columns]) ** 2).sum(axis=1), (wanted ** 2).sum(axis=1)], axis=1)
    low, high = bootstrap_interval(rows, explained)
    norm = float(np.sqrt(variance * (centred ** 2).sum()))
    line = {"name": name, "spread": float(np.sqrt(variance / wanted.size)), "slope": both / variance,
            "correlation": both / norm if norm > 0 else 0.0, "explained": explained(rows), "explained_95": (low, high)}
    results.append(line)
    return [name, f"{line['spread']:.2f}", f"{line['slope']:.2f}", f"{line['correlation']:.2f}",
            f"{100 * explained(rows):.1f}", f"{100 * low:.1f}..{100 * high:.1f}"]


def explained(rows: NDArray[Any]) -> float:
    """Share of the variance that is predicted, from (faces, 2) squared errors and deviations; NaN without those."""
    wrong, variance = rows.sum(axis=0)
    return float(1 - wrong / variance) if variance > 0 else float("nan")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--occluded", type=float, default=0.0, help="share of faces that something hides")
    parser.add_argument("--fit", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--reflect", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--weights", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    settings = NetworkOptions(weights=options.weights, threads=options.threads, reflect=options.reflect,
                              fit=options.fit)
    with Networks(settings, "detector", "landmarks", "regressor") as networks:
        report = measure(networks, MorphableModel.load(), faces=options.faces, seed=options.seed,
                         occluded=options.occluded)
    print(f"{report.text()}\n{report.json_line()}")


if __name__ == "__main__":
    main()
