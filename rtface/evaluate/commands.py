"""Behind ``rtface evaluate``: options in, one protocol run, its report out. One entry of PROTOCOLS per protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rtface.config import DetectorConfig, TrackerConfig
from rtface.errors import InputError, RtfaceError
from rtface.evaluate import (
    classmaps,
    completion,
    detector,
    html,
    landmarks,
    looks,
    masks,
    occlusion,
    parsing,
    parts,
    robustness,
    sheets,
    verification,
    videos,
)
from rtface.evaluate.dataset import Pack
from rtface.evaluate.layouts import class_maps
from rtface.evaluate.networks import LandmarkNetwork, MeshNetwork, NetworkOptions, Networks, detector_stage, face_reader
from rtface.evaluate.peers import PeerDetector, Peers
from rtface.evaluate.placing import ClassNetwork
from rtface.evaluate.report import Report, count_problems
from rtface.inference import Engine
from rtface.io import write_atomic
from rtface.morphable import MorphableModel
from rtface.stages.deocclude import NETWORKS as RECIPES
from rtface.stages.detect import Detects
from rtface.synth.gallery import PARSING_COLORS

PACK: Final = "pack"
LAYOUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "occlusion": tuple(class_maps.MASKS), "parsing": tuple(class_maps.PARTS)}
"""Layouts that protocols read besides the pack's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What to measure, and on what; protocols name the options that they do not have."""

    data: Path
    """The evaluation pack's folder, or that of another layout."""
    layout: str = PACK
    """How the data lie there: an evaluation pack, or as their publishers lay them out, see :data:`LAYOUTS`."""
    networks: NetworkOptions = NetworkOptions()
    peers: Path | None = None
    """Folder of third-party networks to compare with."""
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
    if options.peers_only and options.peers is None:
        raise InputError("got --peers-only without --peers, expected the folder of the peers' files")
    if options.sheet_all is not None:
        sheets.private_folder(options.sheet_all)
    if options.sheet is not None:
        sheets.sheet_path(options.sheet)
    layouts = (PACK, *LAYOUTS.get(protocol, ()))
    if options.layout not in layouts:
        raise InputError(f"--layout: got {options.layout!r}, expected {' or '.join(layouts)} for {protocol}")
    pack = Pack(options.data) if options.layout == PACK else Pack.bare(options.data)
    report = PROTOCOLS[protocol](pack, options, engines or {}, progress)
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
        return detector.run(pack, detectors, min_score=min_score, sets=options.sets or detector.SETS,
                            settings={"networks": networks.describe()}, look=None if folder is None else
                            lambda seen: looks.doubtful_detections(seen, min_score, folder))


def _landmarks(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "landmarks", "faces", "sheet")
    names = () if options.peers_only else ("detector", "landmarks", "regressor")
    with Networks(options.networks, *names, engines=engines) as networks:
        systems = landmarks.Systems(peers=None if options.peers is None else Peers.load(options.peers))
        if names:
            ours = networks.engines
            systems = landmarks.Systems(
                detector_stage(ours["detector"], DetectorConfig().min_score), LandmarkNetwork(ours["landmarks"]),
                MeshNetwork(ours["regressor"], MorphableModel.load()), systems.peers)
        folder = options.sheet_all
        return landmarks.run(pack, systems, sets=options.sets or landmarks.SETS,
                             settings={"networks": networks.describe()},
                             look=None if folder is None else lambda scored: looks.worst_landmarks(scored, folder))


def _videos(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "videos", "peers_only", "sets")
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
    return Report(report.protocol, report.tables, report.results, report.sets, report.settings,
                  [*report.notes, *credits])


def _occlusion(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "occlusion", "faces", "sheet", "peers", "peers_only")
    boxed = []
    if options.layout == PACK:
        chosen = options.sets or (*occlusion.SETS, *occlusion.BOXED)
        masked = [masks.mask_set(pack, name) for name in chosen if name not in occlusion.BOXED]
        boxed = [masks.automatic_boxes(pack, name) for name in chosen if name in occlusion.BOXED]
    else:
        _refuse(options, f"occlusion with --layout {options.layout}", "sets")
        masked = class_maps.MASKS[options.layout](options.data)
    with Networks(options.networks, "detector", "landmarks", "segment", engines=engines) as networks:
        ours, folder = networks.engines, options.sheet_all
        systems = occlusion.Systems(LandmarkNetwork(ours["landmarks"]), detector_stage(
            ours["detector"], DetectorConfig().min_score), ClassNetwork(ours["segment"]))
        return occlusion.run(masked, systems, boxed=boxed,
                             settings={"networks": networks.describe(), "layout": options.layout},
                             look=None if folder is None else lambda name, shown: classmaps.worst_sheet(
                                 shown, folder / f"worst_{name}.jpg"))


def _parsing(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "parsing", "faces", "sheet", "peers", "peers_only")
    if options.layout == PACK:
        parsed = [parts.part_set(pack, name) for name in options.sets or parsing.SETS]
    else:
        _refuse(options, f"parsing with --layout {options.layout}", "sets")
        parsed = class_maps.PARTS[options.layout](options.data)
    with Networks(options.networks, "detector", "landmarks", "parse", engines=engines) as networks:
        ours, folder = networks.engines, options.sheet_all
        systems = parsing.Systems(LandmarkNetwork(ours["landmarks"]), ClassNetwork(ours["parse"]), detector_stage(
            ours["detector"], DetectorConfig().min_score))
        return parsing.run(parsed, systems, settings={"networks": networks.describe(), "layout": options.layout},
                           look=None if folder is None else lambda name, shown: classmaps.worst_sheet(
                               shown, folder / f"worst_{name}.jpg", PARSING_COLORS))


def _robustness(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "robustness", "faces", "sheet", "sheet_all", "peers", "peers_only")
    model = MorphableModel.load()
    with Networks(options.networks, "detector", "landmarks", "regressor", engines=engines) as networks:
        return robustness.run(pack, face_reader(networks.engines, model.basis_id), model,
                              sets=options.sets or robustness.SETS,
                              settings={"networks": networks.describe()})


def _completion(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "completion", "faces", "sheet", "peers", "peers_only")
    model = MorphableModel.load()
    names = ("detector", "landmarks", "regressor", *RECIPES["contour"])
    with Networks(options.networks, *names, engines=engines) as networks:
        folder = options.sheet_all
        return completion.run(pack, face_reader(networks.engines, model.basis_id), networks.engines, model,
                              sets=options.sets or completion.SETS, settings={"networks": networks.describe()},
                              look=None if folder is None else lambda rows: completion.worst(rows, folder))


def _verification(pack: Pack, options: EvaluateOptions, engines: Mapping[str, Engine], progress: Progress) -> Report:
    _refuse(options, "verification", "faces", "sheet", "sheet_all", "peers", "peers_only")
    with Networks(options.networks, "detector", "landmarks", "regressor", engines=engines) as networks:
        reader = face_reader(networks.engines, MorphableModel.load().basis_id)
        return verification.run(pack, reader, sets=options.sets or verification.SETS,
                                settings={"networks": networks.describe()})


PROTOCOLS: Final[Mapping[str, Callable[[Pack, EvaluateOptions, Mapping[str, Engine], Progress], Report]]] = {
    "completion": _completion, "detector": _detector, "landmarks": _landmarks, "occlusion": _occlusion,
    "parsing": _parsing, "robustness": _robustness, "verification": _verification, "videos": _videos}


PICTURED: Final = ("completion", "detector", "landmarks", "occlusion", "parsing", "videos")
"""Protocols that draw pictures to look at."""
PEERED: Final = ("detector", "landmarks", "videos")
"""Protocols that compare with third-party networks."""


def evaluate_all(options: EvaluateOptions, out: Path, *, engines: Mapping[str, Engine] | None = None,
                 progress: Progress = lambda line: None) -> list[html.Section]:
    """Run every protocol; write OUT/index.html, OUT/results.json and the pictures beside them.

    OUT is private (outside of git): it shows pictures that may not be passed on. A protocol that fails, for want of its
    set for instance, is told on the page and does not stop the others.
    """
    _refuse(options, "all", "sets", "faces", "sheet", "sheet_all", "peers_only", "json")
    if options.layout != PACK:
        raise InputError(f"--layout: got {options.layout!r}, expected {PACK} for all")
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


def _refuse(options: EvaluateOptions, protocol: str, *names: str) -> None:
    """InputError when an option was given that the protocol does not have."""
    for name in names:
        if getattr(options, name):
            option = {"sets": "--set"}.get(name, f"--{name.replace('_', '-')}")
            raise InputError(f"{option}: got a value, but the protocol {protocol} has no such option; leave it out")
