"""Protocol ``verification``: do the coefficients of two pictures say whether they show the same person?

As in the papers (Tran et al., CVPR 2017, followed by the landmark and the detail paper): every picture is reduced to
its identity coefficients, a pair's score is their cosine, and the score is judged by 100 % − EER, by the accuracy over
ten folds (threshold from the other nine) with its standard deviation, and by the area under the ROC curve (nAUC).
Coefficients are in standard deviations of the basis, so the cosine is that of whitened vectors.

Systems: ``shape`` (80 identity coefficients) and ``shape + albedo`` (160), and embeddings from files
(:mod:`rtface.evaluate.predictions`). A picture without a face gives its pairs the lowest score; how many there are is
told.

Glasses: the papers ask how well people are told apart who wear them. Drawn eyeglasses are pasted on the second picture
of every pair (``one``) or on both (``both``), where the fitted face says, and everything is measured again from the
picture on; a picture on which no face is found stays without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.evaluate.curves import receiver_operating
from rtface.evaluate.dataset import Pack, Pixels, Problem, Sample
from rtface.evaluate.metrics import bootstrap_interval
from rtface.evaluate.networks import FaceReader
from rtface.evaluate.pairs import Pair
from rtface.evaluate.pasting import Paster
from rtface.evaluate.predictions import Predictions
from rtface.evaluate.report import Report, Table, percent, percent_range
from rtface.figures.plot import Curve, Plot
from rtface.types import Coefficients, Frame

SETS: Final = ("lfw",)
SYSTEMS: Final = ("shape", "shape + albedo")
GLASSES: Final = ("none", "one", "both")
"""Which pictures of a pair get glasses."""
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
    return {name: unit(value) for name, value in parts.items()}


def unit(vector: Doubles) -> Doubles:
    """The vector at length 1; zeros stay zeros."""
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


class Judged(NamedTuple):
    """What a system says of the pairs of a set."""

    set_name: str
    system: str
    glasses: str
    pairs: Sequence[Pair]
    scores: Doubles
    """(P,) cosines, :data:`NOT_FOUND` where a face is missing."""

    @property
    def same(self) -> NDArray[np.bool_]:
        """(P,) the truth."""
        return np.array([pair.same for pair in self.pairs])


def run(pack: Pack, reader: FaceReader | None, *, paster: Paster | None = None, sets: Sequence[str] = SETS,
        files: Sequence[Predictions] = (), settings: Mapping[str, Any] | None = None, seed: int = 0,
        look: Callable[[Sequence[Judged], Mapping[str, Sample]], None] | None = None) -> Report:
    """Code every picture once, and once more with glasses where there is a paster; judge all pairs.

    reader None: files alone. ``look`` gets what was judged and the pictures by path, for sheets of the worst pairs.
    """
    read, judged, pictures = [], list[Judged](), dict[str, Sample]()
    for name in sets:
        found, pairs = pack.pictures(name), pack.pairs(name)
        readable, known = set[str](), dict[tuple[str, bool], dict[str, Doubles]]()
        for number, (sample, pixels) in enumerate(found.pictures()):
            readable.add(sample.path)
            for system, worn, vector in _code(sample, pixels, reader, paster, files, [seed, number]):
                known.setdefault((system, worn), {})[sample.path] = vector
            if reader is not None and sample.path not in known.get((SYSTEMS[0], False), {}):
                found.problems[sample.path] = Problem(sample.path, "no face found")
        kept = [pair for pair in pairs if pair.first in readable and pair.second in readable]
        for path in (path for pair in pairs for path in pair[:2]):
            if path not in readable and path not in found.problems:
                found.problems[path] = Problem(path, "named by a pair, but no picture of the set")
        read.append(found)
        pictures |= {sample.path: sample for sample in found.samples}
        conditions = GLASSES if paster is not None else GLASSES[:1]
        wanted = [(system, glasses) for glasses in conditions for system in SYSTEMS if reader is not None]
        wanted += [(one.name, GLASSES[0]) for one in files]
        judged += [judge(name, system, glasses, kept, known) for system, glasses in wanted if kept]
    if look is not None:
        look(judged, pictures)
    results = [figures(one) for one in judged]
    notes = ["pairs whose pictures cannot be read are left out; a pair without both faces counts as two people",
             *(note for one in files for note in one.notes())]
    return Report("verification", [_table(results)], results, read,
                  {**(settings or {}), "peer_files": {one.name: one.describe() for one in files}}, notes,
                  [_curves(name, judged) for name in dict.fromkeys(one.set_name for one in judged)])


def _code(sample: Sample, pixels: Pixels, reader: FaceReader | None, paster: Paster | None,
          files: Sequence[Predictions], seed: Sequence[int]) -> Iterator[tuple[str, bool, Doubles]]:
    """Unit vectors of a picture by system, without and with glasses; nothing where no face is found."""
    for one in files:
        if (given := one.of(sample.path)) is not None:
            yield one.name, False, unit(given)
    if reader is None or (clean := code(reader, Frame(pixels, 0, 0.0))) is None:
        return
    coded = {False: clean}
    if paster is not None:
        pasted = paster.paste(np.random.default_rng(seed), pixels, clean, "glasses").pixels
        if (with_glasses := code(reader, Frame(pasted, 0, 0.0))) is not None:
            coded[True] = with_glasses
    for worn, coefficients in coded.items():
        for system, vector in vectors(coefficients).items():
            yield system, worn, vector


def judge(name: str, system: str, glasses: str, pairs: Sequence[Pair],
          known: Mapping[tuple[str, bool], Mapping[str, Doubles]]) -> Judged:
    """Cosines of all pairs; known: unit vectors by system and whether glasses are on, then by picture."""
    first, second = (known.get((system, worn), {}) for worn in (glasses == "both", glasses != GLASSES[0]))
    return Judged(name, system, glasses, pairs, np.array([
        float(first[pair.first] @ second[pair.second]) if pair.first in first and pair.second in second else NOT_FOUND
        for pair in pairs]))


def figures(judged: Judged) -> dict[str, Any]:
    """All figures of a system on some pairs."""
    scores, same = judged.scores, judged.same
    rows = np.stack([scores, same], axis=1)
    accuracy = fold_accuracies(scores, same, np.array([pair.fold for pair in judged.pairs]))

    def resampled(statistic: Any) -> tuple[float, float]:
        return bootstrap_interval(rows, lambda r: statistic(r[:, 0], r[:, 1] > 0.5), resamples=200)

    return {"set": judged.set_name, "system": judged.system, "glasses": judged.glasses, "pairs": len(judged.pairs),
            "not_found": int((scores == NOT_FOUND).sum()), "one_minus_eer": 1 - equal_error_rate(scores, same),
            "one_minus_eer_95": resampled(lambda s, t: 1 - equal_error_rate(s, t)),
            "accuracy": float(accuracy.mean()), "accuracy_sd": float(accuracy.std(ddof=1)),
            "nauc": area_under_roc(scores, same), "nauc_95": resampled(area_under_roc)}


def _curves(name: str, judged: Sequence[Judged]) -> Plot:
    """ROC of every system with and without glasses; sets with pairs of one kind only have none."""
    return Plot(f"{name}: same person or not", "pairs of two people accepted", "pairs of one person accepted", [
        Curve(one.system + (f", glasses on {one.glasses}" if one.glasses != GLASSES[0] else ""),
              *receiver_operating(one.scores, one.same))
        for one in judged if one.set_name == name and 0 < one.same.sum() < len(one.pairs)], (0, 1), (0, 1), "xy")


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    return Table("Same person or not, by the cosine of vectors (per cent)",
                 ("set", "system", "glasses", "pairs", "not found", "100 - EER", "95 %", "accuracy", "sd", "nAUC",
                  "95 %"),
                 [[line["set"], line["system"], line["glasses"], line["pairs"], line["not_found"],
                   percent(line["one_minus_eer"]), percent_range(line["one_minus_eer_95"]), percent(line["accuracy"]),
                   percent(line["accuracy_sd"]), percent(line["nauc"]), percent_range(line["nauc_95"])]
                  for line in lines])
