"""Why does (or does not) de-occlusion help? What moves the mesh when a face is hidden, cause by cause.

    python -m rtface.evaluate.causes --data PACK [--set cc0_people]

As in ``robustness`` an occluder is pasted on a clean face, here at 20 to 50 % coverage, and the mesh is measured

- from the hidden crop as it is (``hidden``);
- from the hidden crop by a regressor that is told its mask (``hidden, told``; recipe ``mask``);
- with de-occlusion as users get it (``own mask``), from the completed crop however little is hidden (``own mask,
  completed``), the same with the pasted area as mask (``true mask``), and with the clean picture's landmarks as well
  (``true mask and points``): what a perfect mask, and perfect points, would give;
- told the mask, from the crop that the clean picture's landmarks place, and fitted to those of them that are not
  pasted over (``true crop and seen points``): what a perfect place of all that is seen would give;
- from the clean picture, at the crop that the hidden face's landmarks place (``clean crop, moved``): what the crop's
  place alone costs.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from rtface.config import OcclusionConfig
from rtface.evaluate.dataset import Pack
from rtface.evaluate.displacement import Faces, compare, under
from rtface.evaluate.metrics import mean_interval
from rtface.evaluate.networks import Measured, NetworkOptions, Networks, face_reader
from rtface.evaluate.pasting import Paster
from rtface.evaluate.report import Cell, Report, Table
from rtface.evaluate.robustness import KINDS
from rtface.geometry import opencv_affine
from rtface.morphable import MorphableModel
from rtface.stages.complete import Completer
from rtface.stages.crop import crop_faces, same_faces
from rtface.stages.deocclude import NETWORKS, Deoccluder, completed
from rtface.stages.occlude import seen_points
from rtface.stages.structure import Structurer, hole
from rtface.types import Array, Completion, FaceCrops, Frame, Occlusion

COVERAGE: Final = (0.2, 0.5)
TRUE_SEEN: Final = "true crop and seen points"
NO_POINT: Final = np.zeros(68, np.bool_)


def measure(pack: Pack, set_name: str, networks: Networks, model: MorphableModel, seed: int = 0) -> Report:
    """Mean displacement by cause over all pasted pictures of a set."""
    engines, paster, config = networks.maps(), Paster(model), OcclusionConfig(recipe="contour")
    reader = face_reader(networks.engines, model, reflect=networks.reflect, fit=networks.fit)
    chain = Deoccluder(engines, config)
    structurer, completer = Structurer(engines["parse"], engines["contour"]), Completer(engines["complete"])
    faces = Faces(model)

    def complete(crops: FaceCrops, mask: Array, points: Array) -> Completion:
        structure = structurer.draw(crops, mask, points)
        return Completion(crops, mask, structure, completer.fill(crops, mask, structure))

    moved: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    found = pack.faces(set_name)
    for number, (_, pixels) in enumerate(found.pictures()):
        frame = Frame(pixels, number, 0.0)
        box = reader.largest(frame)
        clean = None if box is None else reader.measure(frame, box)
        if box is None or clean is None or clean.presence < reader.landmarks.min_presence:
            continue
        for k, kind in enumerate(KINDS):
            pasted = paster.paste(np.random.default_rng([seed, number, k]), pixels, clean.coefficients, kind)
            hidden = Frame(pasted.pixels, number, 0.0)
            face = reader.landmarks.locate(hidden, box)
            if face is None or not COVERAGE[0] <= pasted.coverage <= COVERAGE[1]:
                continue
            crops, points = crop_faces(hidden, face.tracks, reader.regressor.size), face.tracks.landmarks
            small = same_faces(hidden, face.tracks, crops, chain.size)
            cover = cv2.warpAffine(pasted.cover.astype(np.uint8), opencv_affine(small.crop_from_frame[0]),
                                   (small.size, small.size), flags=cv2.INTER_AREA) > 0
            mask = hole(cover[None, None].astype(np.float32), round(config.grow_share * small.size))
            true_points = clean.points[None].astype(np.float32)
            own, completion = chain.apply(small, points)
            assert own is not None
            truth = replace(own, mask=cover[None, None].astype(np.float32))
            placed = replace(face.tracks, landmarks=true_points)
            at_truth = crop_faces(hidden, placed, reader.regressor.size)
            there, _ = chain.apply(same_faces(hidden, placed, at_truth, chain.size), true_points)
            seen: dict[str, tuple[FaceCrops, Occlusion | None]] = {
                "hidden": (crops, None), "hidden, told": (crops, own),
                "own mask": (chain.regressed(crops, own, completion), own),
                "own mask, completed": (completed(crops, completion), own),
                "true mask": (completed(crops, complete(small, mask, points)), truth),
                "true mask and points": (completed(crops, complete(small, mask, true_points)), truth),
                TRUE_SEEN: (at_truth, there),
                "clean crop, moved": (crop_faces(frame, face.tracks, reader.regressor.size), None)}
            for name, (one, occlusion) in seen.items():
                told, shown = points, seen_points(face.visibility, points, occlusion)
                if name == "true mask and points":
                    told, shown = true_points, np.ones_like(shown)
                elif name == TRUE_SEEN:
                    told, shown = true_points, np.where(under(clean.points, pasted.cover), 0, np.ones_like(shown))
                after = Measured(face.points, face.presence,
                                 reader.fitter.fit(reader.regressor.regress(one, occlusion), told, shown))
                values = compare(faces.result(clean), faces.result(after), NO_POINT)
                moved[name].append((values["shape_mm"], values["identity_mm"], values["turn_deg"]))
    results: list[dict[str, Any]] = []
    lines: list[list[Cell]] = []
    for name, rows in moved.items():
        shape, identity, turn = np.array(rows).mean(axis=0).tolist()
        low, high = mean_interval(np.array(rows)[:, 0])
        results.append({"regressed from": name, "pasted": len(rows), "shape_mm": shape, "shape_mm_95": (low, high),
                        "identity_mm": identity, "turn_deg": turn})
        lines.append([name, len(rows), f"{shape:.2f}", f"{low:.2f}..{high:.2f}", f"{identity:.2f}", f"{turn:.1f}"])
    table = Table(f"What moves the mesh at {100 * COVERAGE[0]:.0f} to {100 * COVERAGE[1]:.0f} % coverage",
                  ("regressed from", "pasted", "shape mm", "95 %", "identity mm", "turn deg"), lines)
    return Report("causes", [table], results, [found], {"networks": networks.describe(), "seed": seed})


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="evaluation pack")
    parser.add_argument("--set", default="cc0_people", dest="set_name")
    parser.add_argument("--weights", type=Path, help="folder of other weights than the shipped ones")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    names = ("detector", "landmarks", "regressor", *NETWORKS["contour"])
    with Networks(NetworkOptions(weights=options.weights, threads=options.threads), *names) as networks:
        report = measure(Pack(options.data), options.set_name, networks, MorphableModel.load())
    print(f"{report.text()}\n{report.json_line()}")


if __name__ == "__main__":
    main()
