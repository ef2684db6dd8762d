"""Protocol ``landmarks``: the 68 points on labelled photographs.

Error of a face: mean distance of the points to the label over the distance of the outer eye corners (300-W: Sagonas et
al., ICCV-W 2013), and over √(width · height) of the label's box (Bulat & Tzimiropoulos, ICCV 2017; the norm of
AFLW2000-3D, Zhu et al., CVPR 2016). Failure: inter-ocular error above 8 % or 10 %. AUC: area under the cumulative curve
up to 8 %. Points are scored as they come, with no adjustment between conventions. "inner" leaves the jaw (0–16) out.

Seen and hidden points apart, where a set says which are hidden: by a flag per point (COFW: Burgos-Artizzu et al., ICCV
2013; COFW68: Ghiasi & Fowlkes, 2015) or by a mask that was drawn by hand. Both are means over points, so that a face
with one hidden point does not weigh as much as one with forty.

Every system starts from the whole picture: its own detector's box that overlaps the labelled face most (≥ 0.3). Where
there is none the face is not found: its error is infinite, it counts as a failure, and it is left out of means.

Systems:

- ``network``: rtface's detector, then two passes of the landmark network, as the tracker starts a face. Faces that the
  tracker would refuse (presence) are scored all the same and counted as ``refused``.
- ``network (label box)``: the same from the labelled box, to tell the detector's share of the error.
- ``mesh``: the regressor on the crop that the pipeline gives it; the mesh's points, jaw on the visible outline.
- ``mesh (fixed jaw)``: the same with the jaw of the frontal face turned along, which is what AFLW2000-3D labels.
- ``peer``: PFLD on YuNet's box, see :mod:`rtface.evaluate.peers`.
- others by the names of their files, see :mod:`rtface.evaluate.predictions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.errors import RtfaceError
from rtface.evaluate import metrics
from rtface.evaluate.curves import cumulative
from rtface.evaluate.dataset import Pack, Problem, Sample, SampleSet
from rtface.evaluate.masks import hidden_points
from rtface.evaluate.networks import LandmarkNetwork, MeshNetwork
from rtface.evaluate.openings import openings, openings_table
from rtface.evaluate.peers import Peers
from rtface.evaluate.predictions import Predictions
from rtface.evaluate.report import Cell, Report, Table, percent, percent_range
from rtface.evaluate.schemes import HIDDEN, SEEN, UNKNOWN
from rtface.figures.plot import Curve, Plot
from rtface.geometry import FloatArray, box_iou, boxes_from_landmarks
from rtface.stages.detect import Detects
from rtface.types import LANDMARKS, Frame

SETS: Final = ("lfpw_test", "helen_test", "aflw2000_3d", "handdrawn")
NETWORK, LABEL_BOX, MESH, MESH_FIXED, PEER = ("network", "network (label box)", "mesh", "mesh (fixed jaw)", "peer")
SYSTEMS: Final = (NETWORK, LABEL_BOX, MESH, MESH_FIXED, PEER)
SAME_FACE_IOU: Final = 0.3
FAILURES: Final = (0.08, 0.10)
AUC_LIMIT: Final = 0.08
SHOWN_ERROR: Final = 0.15
"""Up to here errors are drawn."""
UNTAGGED: Final = "none"
PARTS: Final[Mapping[str, slice]] = {
    "jaw": slice(0, 17), "brows": slice(17, 27), "nose": slice(27, 36), "eyes": slice(36, 48), "mouth": slice(48, 68)}


@dataclass(frozen=True, slots=True, eq=False)
class Systems:
    """What is compared; parts that are None are left out."""

    detector: Detects | None = None
    network: LandmarkNetwork | None = None
    mesh: MeshNetwork | None = None
    peers: Peers | None = None
    files: Sequence[Predictions] = ()

    def names(self) -> list[str]:
        """In the order of tables; those that are left out included."""
        return [*SYSTEMS, *(one.name for one in self.files)]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One labelled face and every system's points."""

    sample: Sample
    set_name: str
    points: Mapping[str, FloatArray]
    """(68, 2) px by system; +inf where the face was not found."""
    refused: frozenset[str] = field(default_factory=frozenset)
    """Systems whose presence was below the tracker's threshold."""


def run(pack: Pack, systems: Systems, *, sets: Sequence[str] = SETS, settings: Mapping[str, Any] | None = None,
        look: Callable[[Sequence[Scored]], None] | None = None) -> Report:
    """Score every system on every labelled picture; ``look`` gets the scored faces, for pictures of the worst."""
    read = [pack.landmarks(name) for name in sets]
    scored = [face for found in read for face in _score(found, systems)]
    if look is not None:
        look(scored)
    groups = [("set", name, [s for s in scored if s.set_name == name]) for name in sets]
    groups += [("tag", tag, faces) for tag, faces in by_tag(scored).items()]
    results = [figures(system, kind, name, faces) for kind, name, faces in groups if faces
               for system in systems.names() if system in faces[0].points]
    per_set, per_tag = ([line for line in results if line["group"] == kind] for kind in ("set", "tag"))
    notes = ["means are over found faces; faces not found count as failures. Tags were set by eye and are not "
             "exhaustive; a face that several sets show counts once per tag",
             *(note for one in systems.files for note in one.notes())]
    tables = [_table(per_set), _hidden_table(per_set), _parts_table(per_set), openings_table(per_set),
              _tag_table(per_tag)]
    return Report("landmarks", tables, results, read,
                  {**(settings or {}), "same_face_iou": SAME_FACE_IOU, "auc_limit": AUC_LIMIT,
                   "peer_files": {one.name: one.describe() for one in systems.files}}, notes,
                  [_distribution(name, faces, systems.names()) for kind, name, faces in groups
                   if kind == "set" and faces])


def _distribution(name: str, faces: Sequence[Scored], systems: Sequence[str]) -> Plot:
    """Share of faces by error, every system a curve."""
    truth = np.stack([face.sample.points for face in faces if face.sample.points is not None])
    errors = {system: metrics.nme_interocular(np.stack([face.points[system] for face in faces]), truth)
              for system in systems if system in faces[0].points}
    return Plot(f"{name}: faces by error", "error, of the eye corners' distance", "faces", [
        Curve(system, *cumulative(values, SHOWN_ERROR)) for system, values in errors.items()],
        (0, SHOWN_ERROR), (0, 1), percent="xy")


def _score(found: SampleSet, systems: Systems) -> Iterator[Scored]:
    for number, (sample, pixels) in enumerate(found.pictures()):
        if sample.hidden is None:
            try:
                sample = replace(sample, hidden=hidden_points(found.name, sample, pixels))
            except RtfaceError as exc:
                found.problems[sample.path] = Problem(sample.path, str(exc))
                continue
        assert sample.points is not None
        frame, points, refused = Frame(pixels, number, 0.0), dict[str, FloatArray](), set[str]()
        label = boxes_from_landmarks(sample.points[None])[0]
        if systems.detector is not None and systems.network is not None:
            _ours(frame, label, systems, points, refused)
        if systems.peers is not None:
            box = same_face(systems.peers.detector.detect(frame).boxes_xyxy, label)
            points[PEER] = _nowhere() if box is None else systems.peers.landmarks.locate(frame, box)
        for one in systems.files:
            given = one.of(sample.path)
            points[one.name] = _nowhere() if given is None else given.astype(np.float32)
        yield Scored(sample, found.name, points, frozenset(refused))


def _ours(frame: Frame, label: FloatArray, systems: Systems, points: dict[str, FloatArray],
          refused: set[str]) -> None:
    assert systems.detector is not None and systems.network is not None
    box = same_face(systems.detector.detect(frame).boxes_xyxy, label)
    for name, start in ((NETWORK, box), (LABEL_BOX, label)):
        found = None if start is None else systems.network.locate(frame, start)
        points[name] = _nowhere() if found is None else found.points
        low = found is not None and found.presence < systems.network.min_presence
        if low:
            refused.add(name)
        if name == NETWORK and systems.mesh is not None:
            points[MESH], points[MESH_FIXED] = (_nowhere(), _nowhere()) if found is None else (
                kind[0] for kind in systems.mesh.locate(frame, found))
            refused |= {MESH, MESH_FIXED} if low else set()


def by_tag(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """Faces by tag, :data:`UNTAGGED` last; a face that several sets show counts once, with the tags of all of them."""
    tags: dict[str, set[str]] = {}
    first: dict[str, Scored] = {}
    for face in scored:
        first.setdefault(face.sample.origin, face)
        tags.setdefault(face.sample.origin, set()).update(face.sample.tags)
    out: dict[str, list[Scored]] = {tag: [] for tag in sorted(set().union(*tags.values()))}
    for origin, face in first.items():
        for tag in tags[origin] or {UNTAGGED}:
            out.setdefault(tag, []).append(face)
    return out


def same_face(boxes_xyxy: FloatArray, label: FloatArray) -> FloatArray | None:
    """Of (M, 4) boxes the one that overlaps the labelled box (4,) most, if by :data:`SAME_FACE_IOU`."""
    if not len(boxes_xyxy):
        return None
    overlap = box_iou(boxes_xyxy, label[None])[:, 0]
    best: FloatArray = boxes_xyxy[int(overlap.argmax())]
    return best if overlap.max() >= SAME_FACE_IOU else None


def _nowhere() -> FloatArray:
    return np.full((LANDMARKS, 2), np.inf, np.float32)


def figures(system: str, kind: str, name: str, faces: Sequence[Scored]) -> dict[str, Any]:
    """All figures of a system on some faces; errors as shares."""
    predicted = np.stack([face.points[system] for face in faces])
    truth = np.stack([face.sample.points for face in faces if face.sample.points is not None])
    nme = metrics.nme_interocular(predicted, truth)
    inner = metrics.nme_interocular(predicted, truth, metrics.INNER_POINTS)
    box = metrics.nme_box(predicted, truth)
    found = np.isfinite(nme)
    by_part = {part: metrics.nme_interocular(predicted, truth, rows) for part, rows in PARTS.items()}
    return {"group": kind, "name": name, "system": system, "faces": len(faces), "not_found": int((~found).sum()),
            "refused": sum(system in face.refused for face in faces),
            "nme": metrics.mean_of_found(nme), "nme_95": metrics.bootstrap_interval(nme, metrics.mean_of_found),
            "nme_median": float(np.median(nme)), "nme_inner": metrics.mean_of_found(inner),
            "nme_inner_95": metrics.bootstrap_interval(inner, metrics.mean_of_found),
            "nme_box": metrics.mean_of_found(box), "nme_box_95": metrics.bootstrap_interval(box, metrics.mean_of_found),
            "nme_box_inner": metrics.mean_of_found(
                metrics.nme_box(predicted, truth, metrics.INNER_POINTS)),
            **{f"failure_{100 * limit:.0f}": metrics.failure_rate(nme, limit) for limit in FAILURES},
            **{f"failure_{100 * limit:.0f}_95": metrics.bootstrap_interval(
                nme, partial(metrics.failure_rate, threshold=limit)) for limit in FAILURES},
            **{f"failure_{100 * limit:.0f}_inner": metrics.failure_rate(inner, limit) for limit in FAILURES},
            "auc_8": metrics.area_under_curve(nme, AUC_LIMIT),
            "auc_8_95": metrics.bootstrap_interval(nme, lambda rows: metrics.area_under_curve(rows, AUC_LIMIT)),
            "auc_8_inner": metrics.area_under_curve(inner, AUC_LIMIT),
            "parts": {part: metrics.mean_of_found(errors) for part, errors in by_part.items()},
            "parts_95": {part: metrics.bootstrap_interval(errors, metrics.mean_of_found)
                         for part, errors in by_part.items()},
            "openings": openings(predicted[found], truth[found]),
            "offset": _offsets(predicted[found], truth[found]), **_by_visibility(predicted, truth, faces)}


def _by_visibility(predicted: FloatArray, truth: FloatArray, faces: Sequence[Scored]) -> dict[str, Any]:
    """Errors of seen and of hidden points, over faces whose points have flags."""
    flags = np.stack([np.full(LANDMARKS, UNKNOWN) if face.sample.hidden is None else face.sample.hidden
                      for face in faces])
    flagged = (flags != UNKNOWN).any(axis=1)
    if not flagged.any():
        return {"flagged_faces": 0}
    errors, out = metrics.point_errors(predicted[flagged], truth[flagged]), dict[str, Any](
        flagged_faces=int(flagged.sum()))
    for name, value in (("seen", SEEN), ("hidden", HIDDEN)):
        rows = metrics.sums_of_chosen(errors, flags[flagged] == value)
        out |= {f"{name}_points": int((flags == value).sum()), f"nme_{name}": metrics.mean_of_sums(rows),
                f"nme_{name}_95": metrics.bootstrap_interval(rows, metrics.mean_of_sums)}
    return out


def _offsets(predicted: FloatArray, truth: FloatArray) -> dict[str, list[float]]:
    """Mean of (predicted − label) over faces, in inter-ocular distances, x right and y down, along the eye line.

    What stays when random errors have averaged out: a difference between conventions.
    """
    if not len(truth):
        return {}
    axis = truth[:, 45] - truth[:, 36]
    length = np.linalg.norm(axis, axis=1)[:, None]
    cos, sin = (axis / length).T[..., None]
    delta = (predicted - truth) / length[..., None]
    upright = np.stack([cos * delta[..., 0] + sin * delta[..., 1], cos * delta[..., 1] - sin * delta[..., 0]], axis=-1)
    mean: NDArray[np.float64] = upright.mean(axis=0)
    return {part: mean[rows].mean(axis=0).tolist() for part, rows in PARTS.items()}


def _table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["faces"], line["not_found"], line["refused"], percent(line["nme"]),
         percent_range(line["nme_95"], 2), percent(line["nme_inner"]), percent(line["nme_box"]),
         percent(line["failure_8"], 1), percent_range(line["failure_8_95"]), percent(line["failure_10"], 1),
         percent_range(line["failure_10_95"]), percent(line["auc_8"], 1), percent_range(line["auc_8_95"])]
        for line in lines]
    return Table("Landmark errors (per cent of the distance of the outer eye corners unless said otherwise)",
                 ("set", "system", "faces", "not found", "refused", "NME", "95 %", "NME inner", "NME box", "fail 8 %",
                  "95 %", "fail 10 %", "95 %", "AUC 8 %", "95 %"), rows)


def _hidden_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["flagged_faces"], line["not_found"], line["seen_points"],
         percent(line["nme_seen"]), percent_range(line["nme_seen_95"], 2), line["hidden_points"],
         percent(line["nme_hidden"]), percent_range(line["nme_hidden_95"], 2)]
        for line in lines if line["flagged_faces"] and line["hidden_points"]]
    return Table("Seen and hidden points apart, where labels say which are hidden (per cent, means over points)",
                 ("set", "system", "faces", "not found", "seen", "NME seen", "95 %", "hidden", "NME hidden",
                  "95 %"), rows)


def _parts_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], *(_part(line, part) for part in PARTS)] for line in lines]
    return Table("By part of the face: NME, its 95 % interval, in brackets the mean offset x right, y down",
                 ("set", "system", *PARTS), rows)


def _part(line: Mapping[str, Any], part: str) -> str:
    x, y = (100 * v for v in line["offset"].get(part, (np.nan, np.nan)))
    known = f"{percent(line['parts'][part])} {percent_range(line['parts_95'][part])} ({x:+.1f}, {y:+.1f})"
    return known if np.isfinite(x) else "-"


def _tag_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [line["name"], line["system"], line["faces"], line["not_found"], percent(line["nme"]),
         percent_range(line["nme_95"], 2), percent(line["nme_inner"]), percent(line["nme_box"]),
         percent(line["failure_8"], 1), percent_range(line["failure_8_95"]), percent(line["failure_10"], 1),
         percent_range(line["failure_10_95"])] for line in lines]
    return Table("By tag, all sets together (per cent)",
                 ("tag", "system", "faces", "not found", "NME", "95 %", "NME inner", "NME box", "fail 8 %",
                  "95 %", "fail 10 %", "95 %"), rows)
