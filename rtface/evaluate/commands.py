"""Behind ``rtface evaluate``: options in, one protocol run, its report out. One entry of PROTOCOLS per protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rtface.config import DetectorConfig, TrackerConfig
from rtface.errors import InputError, RtfaceError
from rtface.evaluate import detector, html, landmarks, looks, robustness, sheets, verification, videos
from rtface.evaluate.dataset import Pack
from rtface.evaluate.layouts import PACK, open_layout
from rtface.evaluate.networks import LandmarkNetwork, MeshNetwork, NetworkOptions, Networks, detector_stage, face_reader
from rtface.evaluate.pasting import Paster
from rtface.evaluate.peers import PeerDetector, Peers
from rtface.evaluate.predictions import BOXES, EMBEDDING, POINTS, load_all
from rtface.evaluate.report import Report, count_problems
from rtface.inference import Engine
from rtface.io import write_atomic
from rtface.morphable import MorphableModel
from rtface.stages.detect import Detects


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What to measure, and on what; protocols name the options that they do not have."""

    data: Path
    """The evaluation pack's folder, or that of another layout."""
    layout: str = PACK
    """How the data lie there: ``pack``, or a name of :data:`rtface.evaluate.layouts.LAYOUTS`."""
    networks: NetworkOptions = NetworkOptions()
    peers: Path | None = None
    """Folder of third-party networks to compare with."""
    peer: tuple[str, ...] = ()
    """Files of other systems' predictions, NAME=FILE.npz, see :mod:`rtface.evaluate.predictions`."""
    peers_only: bool = False
    """Measure the peers alone; no weights are needed."""
    sets: tuple[str, ...] = ()
    """Sets of the pack; empty: the protocol's usual ones."""
    faces: int | None = None
    """videos: follow at most this many faces."""
    sheet: Path | None = None
    """videos: contact sheet of the free clips."""
    sheet_all: Path | None = None
    """Private folder, outside of git, for pictures to look at, whatever their rights."""
    json: Path | None = None
    """Also write the JSON document into this file."""


Progress = Callable[[str], None]


def evaluate(protocol: str, options: EvaluateOptions, *, engines: Mapping[str, Engine] | None = None,
             progress: Progress = lambda line: None) -> Report:
    """Run one protocol; engines: to use instead of weights, by network name.

    InputError on a wrong option or pack, ModelFileError when weights or peers are missing.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol: got {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    if options.peers_only and options.peers is None and not options.peer:
        raise InputError("got --peers-only without --peers and --peer, expected the folder of the peers' files, or "
                         "files of predictions")
    if options.sheet_all is not None:
        sheets.private_folder(options.sheet_all)
    if options.sheet is not None:
        sheets.sheet_path(options.sheet)
    data = Pack(options.data) if options.layout == PACK else open_layout(options.layout, protocol, options.data)
    report = PROTOCOLS[protocol](data, options, engines or {}, progress)
    if not report.results:
        names = ", ".join(found.name for found in report.sets)
        problems = [str(problem) for found in report.sets for problem in found.problems.values()]
        first = f", first: {problems[0]}" if problems else ""
        raise InputError(f"{options.data}: got nothing to score in {names} ({count_problems(len(problems))}{first}), "
                         f"expected pictures or clips, and labels or a peer to compare with; check the pack")
    if options.json is not None:
        write_atomic(options.json, (report.json_line() + "\n").encode())
    return report


def _detector(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "detector", "faces", "sheet")
    names = () if options.peers_only else ("detector",)
    with Networks(options.networks, *names, engines=engines) as networks:
        detectors: dict[str, Detects] = {}
        if names:
            detectors["rtface"] = detector_stage(networks.engines["detector"], detector.LOWEST_SCORE)
        if options.peers is not None:
            detectors["peer"] = PeerDetector(options.peers)
        folder, min_score = options.sheet_all, DetectorConfig().min_score
        files = load_all(options.peer, BOXES, ("labels", "peer", "rtface"))
        return detector.run(pack, detectors, files=files, min_score=min_score, sets=_sets(pack, options, detector.SETS),
                            settings={"networks": networks.describe()}, look=None if folder is None else
                            lambda seen: looks.doubtful_detections(seen, min_score, folder))


def _landmarks(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "landmarks", "faces", "sheet")
    names = () if options.peers_only else ("detector", "landmarks", "regressor")
    with Networks(options.networks, *names, engines=engines) as networks:
        systems = landmarks.Systems(peers=None if options.peers is None else Peers.load(options.peers),
                                    files=load_all(options.peer, POINTS, landmarks.SYSTEMS))
        if names:
            ours = networks.engines
            systems = landmarks.Systems(
                detector_stage(ours["detector"], DetectorConfig().min_score), LandmarkNetwork(ours["landmarks"]),
                MeshNetwork(ours["regressor"], MorphableModel.load()), systems.peers, systems.files)
        folder = options.sheet_all
        return landmarks.run(pack, systems, sets=_sets(pack, options, landmarks.SETS),
                             settings={"networks": networks.describe()},
                             look=None if folder is None else lambda scored: looks.worst_landmarks(scored, folder))


def _videos(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "videos", "peer", "peers_only", "sets")
    model = MorphableModel.load()
    shown: list[str] = []

    def look(runs: Any) -> None:
        if options.sheet is not None:
            shown.extend(looks.clip_sheet(runs, model, options.sheet))
        if options.sheet_all is not None:
            looks.clip_pictures(runs, model, options.sheet_all)

    with Networks(options.networks, "detector", "landmarks", "regressor", engines=engines) as networks:
        report = videos.run(pack, networks.engines, model, faces=options.faces or TrackerConfig().faces,
                            peer=None if options.peers is None else PeerDetector(options.peers),
                            settings={"networks": networks.describe()}, look=look, progress=progress)
    if not shown:
        return report
    credits = [f"on {options.sheet}: {line}" for line in pack.credits(set(shown))]
    return replace(report, notes=[*report.notes, *credits])


def _robustness(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "robustness", "faces", "sheet", "peer", "peers", "peers_only")
    model, folder = MorphableModel.load(), options.sheet_all
    with Networks(options.networks, "detector", "landmarks", "regressor", engines=engines) as networks:
        return robustness.run(pack, {robustness.OFF: face_reader(networks.engines, model.basis_id)}, model,
                              sets=_sets(pack, options, robustness.SETS), settings={"networks": networks.describe()},
                              look=None if folder is None else lambda shown: looks.most_moved(shown, model, folder))


def _verification(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "verification", "faces", "sheet", "peers")
    names = () if options.peers_only else ("detector", "landmarks", "regressor")
    model, folder = MorphableModel.load(), options.sheet_all
    with Networks(options.networks, *names, engines=engines) as networks:
        reader = face_reader(networks.engines, model.basis_id) if names else None
        return verification.run(pack, reader, paster=None if reader is None else Paster(model),
                                sets=_sets(pack, options, verification.SETS),
                                files=load_all(options.peer, EMBEDDING, verification.SYSTEMS),
                                settings={"networks": networks.describe()}, look=None if folder is None else
                                lambda judged, pictures: looks.wrong_pairs(judged, pictures, folder))


PROTOCOLS: Final[Mapping[str, Callable[[Pack, EvaluateOptions, Mapping[str, Engine], Progress], Report]]] = {
    "detector": _detector, "landmarks": _landmarks, "robustness": _robustness,
    "verification": _verification, "videos": _videos}


PICTURED: Final = ("detector", "landmarks", "robustness", "verification", "videos")
"""Protocols that draw pictures to look at."""
PEERED: Final = ("detector", "landmarks", "videos")
"""Protocols that compare with third-party networks."""


def evaluate_all(options: EvaluateOptions, out: Path, *, engines: Mapping[str, Engine] | None = None,
                 progress: Progress = lambda line: None) -> list[html.Section]:
    """Run every protocol; write OUT/index.html, OUT/results.json and the pictures beside them.

    OUT is private (outside of git): it shows pictures that may not be passed on. A protocol that fails, for want of its
    set for instance, is told on the page and does not stop the others.
    """
    _refuse(options, "all", "sets", "faces", "sheet", "sheet_all", "peer", "peers_only", "json")
    if options.layout != PACK:
        raise InputError(f"--layout: got {options.layout} with all, expected {PACK}; run its protocols one by one")
    folder = sheets.private_folder(out)
    sections = []
    for name in PROTOCOLS:
        progress(f"{name} ...")
        pictures = sheets.private_folder(folder / name) if name in PICTURED else None
        chosen = replace(options, sheet_all=pictures, peers=options.peers if name in PEERED else None)
        try:
            report = evaluate(name, chosen, engines=engines, progress=progress)
        except RtfaceError as exc:
            sections.append(html.Section(name, None, str(exc)))
            continue
        drawn = sorted(pictures.iterdir()) if pictures is not None else []
        sections.append(html.Section(name, report, pictures=tuple(p.relative_to(folder).as_posix() for p in drawn)))
        write_atomic(folder / "index.html", html.page(sections).encode())
    write_atomic(folder / "index.html", html.page(sections).encode())
    write_atomic(folder / "results.json", json.dumps(html.document(sections), indent=1).encode())
    return sections


def _sets(pack: Pack, options: EvaluateOptions, usual: tuple[str, ...]) -> tuple[str, ...]:
    """What was asked for, or the protocol's usual sets of the pack, or all sets of another layout."""
    return options.sets or (usual if options.layout == PACK else tuple(pack.sets))


def _refuse(options: EvaluateOptions, protocol: str, *names: str) -> None:
    """InputError when an option was given that the protocol does not have."""
    for name in names:
        if getattr(options, name):
            option = {"sets": "--set"}.get(name, f"--{name.replace('_', '-')}")
            raise InputError(f"{option}: got a value, but the protocol {protocol} has no such option; leave it out")
