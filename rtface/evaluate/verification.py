"""Protocol ``verification``: do the coefficients of two pictures say whether they show the same person?

As in the papers (Tran et al., CVPR 2017, followed by the landmark and the detail paper): every picture is reduced to
its identity coefficients, a pair's score is their cosine, and the score is judged by 100 % − EER, by the accuracy over
ten folds (threshold from the other nine) with its standard deviation, and by the area under the ROC curve (nAUC).
Coefficients are in standard deviations of the basis, so the cosine is that of whitened vectors.

Systems: ``shape`` (80 identity coefficients) and ``shape + albedo`` (160). A picture without a face gives its pairs the
lowest score; how many there are is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.dataset import Pack, Problem, SampleSet
from rtface.evaluate.metrics import bootstrap_interval
from rtface.evaluate.networks import FaceReader
from rtface.evaluate.pairs import Pair
from rtface.evaluate.report import Report, Table, percent, percent_range
from rtface.types import Coefficients, Frame

SETS: Final = ("lfw",)
SYSTEMS: Final = ("shape", "shape + albedo")
NOT_FOUND: Final = -2.0
"""Score of a pair without two faces: below every cosine."""
Doubles = NDArray[np.float64]


def equal_error_rate(scores: Doubles, same: NDArray[np.bool_]) -> float:
    """Where as many strangers are accepted as friends are refused, between the two nearest thresholds: 0..1.

    NaN unless there are pairs of both kinds.
    """
    if not same.any() or same.all():
        return float("nan")
    thresholds = np.append(np.unique(scores), np.inf)
    accepted = np.array([np.mean(scores[~same] >= t) for t in thresholds])  # falls
    refused = np.array([np.mean(scores[same] < t) for t in thresholds])  # rises
    after = int(np.argmax(refused >= accepted))
    if after == 0:
        return float((accepted[0] + refused[0]) / 2)
    gap_before = accepted[after - 1] - refused[after - 1]
    gap_after = accepted[after] - refused[after]
    share = gap_before / (gap_before - gap_after) if gap_before != gap_after else 0.0
    return float(refused[after - 1] + share * (refused[after] - refused[after - 1]))


def area_under_roc(scores: Doubles, same: NDArray[np.bool_]) -> float:
    """Chance that a pair of one person scores higher than a pair of two, ties counted half (Mann-Whitney): 0..1."""
    if not same.any() or same.all():
        return float("nan")
    apart = scores[same][:, None] - scores[~same][None]
    return float((apart > 0).mean() + 0.5 * (apart == 0).mean())


def best_threshold(scores: Doubles, same: NDArray[np.bool_]) -> float:
    """The threshold with the most right answers ("same" from it on); of equally good ones the lowest."""
    values = np.unique(scores)
    middles = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    right = [np.mean((scores >= t) == same) for t in middles]
    return float(middles[int(np.argmax(right))])


def fold_accuracies(scores: Doubles, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> Doubles:
    """(K,) accuracy on every fold with the threshold of the others; InputError with fewer than two folds."""
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise InputError(f"folds: got {len(numbers)}, expected at least 2")
    out = []
    for fold in numbers:
        held = folds == fold
        out.append(np.mean((scores[held] >= best_threshold(scores[~held], same[~held])) == same[held]))
    return np.array(out)


def code(reader: FaceReader, frame: Frame) -> Coefficients | None:
    """Coefficients (N = 1) of the face nearest to the picture's middle, None without a face."""
    boxes = reader.detector.detect(frame).boxes_xyxy
    if not len(boxes):
        return None
    middle = np.array([frame.width, frame.height]) / 2
    nearest = int(np.argmin(np.linalg.norm((boxes[:, :2] + boxes[:, 2:]) / 2 - middle, axis=1)))
    found = reader.measure(frame, boxes[nearest])
    return None if found is None else found.coefficients


def vectors(coefficients: Coefficients) -> dict[str, Doubles]:
    """Unit vectors by system."""
    shape = coefficients.identity[0].astype(np.float64)
    parts = {"shape": shape, "shape + albedo": np.concatenate([shape, coefficients.albedo[0]])}
    return {name: value / max(float(np.linalg.norm(value)), 1e-12) for name, value in parts.items()}


def run(pack: Pack, reader: FaceReader, *, sets: Sequence[str] = SETS,
        settings: Mapping[str, Any] | None = None) -> Report:
    """Code every picture once and judge all pairs."""
    read, results = [], []
    for name in sets:
        found = pack.pictures(name)
        pairs = pack.pairs(name)
        codes = {sample.path: code(reader, Frame(pixels, number, 0.0))
                 for number, (sample, pixels) in enumerate(found.pictures())}
        kept = [pair for pair in pairs if pair.first in codes and pair.second in codes]
        for pair in pairs:
            for path in (pair.first, pair.second):
                if path not in codes and path not in found.problems:
                    found.problems[path] = Problem(path, "named by a pair, but no picture of the set")
        read.append(found)
        known = {path: vectors(code) for path, code in codes.items() if code is not None}
        results += [figures(name, system, kept, known) for system in SYSTEMS if kept]
        _count_missing(found, codes)
    return Report("verification", [_table(results)], results, read, settings or {},
                  ["pairs whose pictures cannot be read are left out; a pair without both faces counts as two people"])


def _count_missing(found: SampleSet, codes: Mapping[str, Coefficients | None]) -> None:
    for path, code in codes.items():
        if code is None:
            found.problems[path] = Problem(path, "no face found")


def figures(name: str, system: str, pairs: Sequence[Pair],
            known: Mapping[str, Mapping[str, Doubles]]) -> dict[str, Any]:
    """All figures of a system on some pairs."""
    scores = np.array([float(known[p.first][system] @ known[p.second][system])
                       if p.first in known and p.second in known else NOT_FOUND for p in pairs])
    same, folds = np.array([p.same for p in pairs]), np.array([p.fold for p in pairs])
    rows = np.stack([scores, same], axis=1)
    accuracy = fold_accuracies(scores, same, folds)

    def resampled(statistic: Any) -> tuple[float, float]:
        return bootstrap_interval(rows, lambda r: statistic(r[:, 0], r[:, 1] > 0.5), resamples=200)

    return {"set": name, "system": system, "pairs": len(pairs), "not_found": int((scores == NOT_FOUND).sum()),
            "one_minus_eer": 1 - equal_error_rate(scores, same),
            "one_minus_eer_95": resampled(lambda s, t: 1 - equal_error_rate(s, t)),
            "accuracy": float(accuracy.mean()), "accuracy_sd": float(accuracy.std(ddof=1)),
            "nauc": area_under_roc(scores, same), "nauc_95": resampled(area_under_roc)}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    return Table("Same person or not, from coefficients (per cent)",
                 ("set", "system", "pairs", "not found", "100 - EER", "95 %", "accuracy", "sd", "nAUC", "95 %"),
                 [[line["set"], line["system"], line["pairs"], line["not_found"], percent(line["one_minus_eer"]),
                   percent_range(line["one_minus_eer_95"]), percent(line["accuracy"]), percent(line["accuracy_sd"]),
                   percent(line["nauc"]), percent_range(line["nauc_95"])] for line in lines])
