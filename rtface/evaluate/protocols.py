"""From options to a protocol's own arguments: one function each, and the table that names them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from rtface.config import DetectorConfig, Recipe, TrackerConfig
from rtface.errors import InputError
from rtface.evaluate import (
    classmaps,
    completion,
    detector,
    heatmaps,
    landmarks,
    looks,
    masks,
    occlusion,
    parsing,
    parts,
    passing,
    robustness,
    scenes,
    shape,
    shape_layouts,
    temporal,
    timelines,
    verification,
    videos,
)
from rtface.evaluate.dataset import Pack, SampleSet
from rtface.evaluate.exports import Inputs
from rtface.evaluate.layouts import PACK, class_maps, vw300
from rtface.evaluate.networks import LandmarkNetwork, MeshNetwork, Networks, detector_stage, face_reader
from rtface.evaluate.options import EvaluateOptions
from rtface.evaluate.pasting import Paster
from rtface.evaluate.peers import PeerDetector, Peers
from rtface.evaluate.placing import ClassNetwork
from rtface.evaluate.predictions import (
    BOXES,
    CLASSES,
    CROP,
    EMBEDDING,
    POINTS,
    TRACK,
    VERTICES,
    PredictedMaps,
    Predictions,
    load_all,
)
from rtface.evaluate.recording import Clip
from rtface.evaluate.report import Report
from rtface.inference import Engine
from rtface.morphable import MorphableModel
from rtface.stages.deocclude import NETWORKS as RECIPES
from rtface.synth.gallery import PARSING_COLORS

Progress = Callable[[str], None]
Engines = Mapping[str, Engine]
READER: Final = ("detector", "landmarks", "regressor")
"""Networks of a :class:`rtface.evaluate.networks.FaceReader`."""
SYSTEMS: Final[Mapping[str, Recipe]] = {robustness.OFF: "off", "de-occlusion on": "contour"}
"""What robustness compares, by the recipe of the chain."""


def _completion(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("completion", "faces", "sheet", "peers", "peers_only")
    model, folder = MorphableModel.load(), options.sheet_all
    files = load_all(options.peer, CROP, completion.SYSTEMS)
    with Networks(options.networks, *READER, *RECIPES["contour"], engines=engines) as networks:
        reader = face_reader(networks.engines, model, reflect=networks.reflect, fit=networks.fit)
        return completion.run(pack, reader, networks.maps(), model,
                              sets=options.chosen_sets(pack, completion.SETS), own_masks=options.layout != PACK,
                              settings={"networks": networks.describe()}, files=files,
                              inputs=Inputs("completion", options.export_inputs),
                              look=None if folder is None else lambda rows: completion.worst(rows, folder))


def _detector(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("detector", "export_inputs", "faces", "sheet")
    names = () if options.peers_only else ("detector",)
    with Networks(options.networks, *names, engines=engines) as networks:
        detectors: dict[str, Any] = {}
        if names:
            detectors["rtface"] = detector_stage(networks.engines["detector"], detector.LOWEST_SCORE)
        if options.peers is not None:
            detectors["peer"] = PeerDetector(options.peers)
        folder, min_score = options.sheet_all, DetectorConfig().min_score
        files = load_all(options.peer, BOXES, ("labels", "peer", "rtface"))
        return detector.run(pack, detectors, files=files, min_score=min_score,
                            sets=options.chosen_sets(pack, detector.SETS), settings={"networks": networks.describe()},
                            look=None if folder is None else
                            lambda seen: looks.doubtful_detections(seen, min_score, folder))


def _landmarks(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("landmarks", "export_inputs", "faces", "sheet")
    names = () if options.peers_only else READER
    with Networks(options.networks, *names, engines=engines) as networks:
        systems = landmarks.Systems(peers=None if options.peers is None else Peers.load(options.peers),
                                    files=load_all(options.peer, POINTS, landmarks.SYSTEMS))
        if names:
            ours = networks.engines
            systems = landmarks.Systems(
                detector_stage(ours["detector"], DetectorConfig().min_score),
                LandmarkNetwork(ours["landmarks"], reflect=networks.reflect),
                MeshNetwork(ours["regressor"], MorphableModel.load(), reflect=networks.reflect, fit=networks.fit),
                systems.peers, systems.files)
        folder = options.sheet_all
        return landmarks.run(pack, systems, sets=options.chosen_sets(pack, landmarks.SETS),
                             settings={"networks": networks.describe()},
                             look=None if folder is None else lambda scored: looks.worst_landmarks(scored, folder))


def _occlusion(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("occlusion", "export_inputs", "faces", "sheet", "peers", "peers_only")
    boxed, files = [], load_all(options.peer, CLASSES, (occlusion.NETWORK, occlusion.ALL_FACE))
    if options.layout == PACK:
        chosen = options.sets or (*occlusion.SETS, *occlusion.BOXED)
        masked = [masks.mask_set(pack, name) for name in chosen if name not in occlusion.BOXED]
        boxed = [masks.automatic_boxes(pack, name) for name in chosen if name in occlusion.BOXED]
    else:
        options.refuse(f"occlusion with --layout {options.layout}", "sets")
        masked = class_maps.MASKS[options.layout](options.data)
    with Networks(options.networks, "detector", "landmarks", "segment", engines=engines) as networks:
        ours, folder = networks.engines, options.sheet_all
        systems = occlusion.Systems(LandmarkNetwork(ours["landmarks"], reflect=networks.reflect), detector_stage(
            ours["detector"], DetectorConfig().min_score), ClassNetwork(networks.maps()["segment"]),
            {one.name: PredictedMaps(one) for one in files})
        report = occlusion.run(masked, systems, boxed=boxed,
                               settings={"networks": networks.describe(), "layout": options.layout},
                               look=None if folder is None else lambda name, shown: classmaps.worst_sheet(
                                   shown, folder / f"worst_{name}.jpg"))
    return _with_files(report, files)


def _parsing(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("parsing", "export_inputs", "faces", "sheet", "peers", "peers_only")
    files = load_all(options.peer, CLASSES, (parsing.NETWORK,))
    if options.layout == PACK:
        parsed = [parts.part_set(pack, name) for name in options.sets or parsing.SETS]
    else:
        options.refuse(f"parsing with --layout {options.layout}", "sets")
        parsed = class_maps.PARTS[options.layout](options.data)
    with Networks(options.networks, "detector", "landmarks", "parse", engines=engines) as networks:
        ours, folder = networks.engines, options.sheet_all
        systems = parsing.Systems(LandmarkNetwork(ours["landmarks"], reflect=networks.reflect),
                                  ClassNetwork(networks.maps()["parse"]), detector_stage(
            ours["detector"], DetectorConfig().min_score), {one.name: PredictedMaps(one) for one in files})
        report = parsing.run(parsed, systems, settings={"networks": networks.describe(), "layout": options.layout},
                             look=None if folder is None else lambda name, shown: classmaps.worst_sheet(
                                 shown, folder / f"worst_{name}.jpg", PARSING_COLORS))
    return _with_files(report, files)


def _with_files(report: Report, files: Sequence[Predictions]) -> Report:
    """The report, told which files of predictions it used and what they lacked."""
    return replace(report, notes=[*report.notes, *(note for one in files for note in one.notes())],
                   settings={**report.settings, "peers": {one.name: one.describe() for one in files}})


def _passing(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("passing", "export_inputs", "faces", "sheet", "peer", "peers", "peers_only", "sets")
    model, folder = MorphableModel.load(), options.sheet_all
    with Networks(options.networks, *READER, *RECIPES["mask"], engines=engines) as networks:
        return passing.run(pack, networks.engines, model, reflect=networks.reflect, fit=networks.fit,
                           settings={"networks": networks.describe()}, progress=progress,
                           look=None if folder is None else lambda shown: looks.passing_strips(shown, model, folder))


def _robustness(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("robustness", "faces", "sheet", "peers", "peers_only")
    model, folder = MorphableModel.load(), options.sheet_all
    files = load_all(options.peer, POINTS, (*SYSTEMS, robustness.REGRESSOR))
    with Networks(options.networks, *READER, *RECIPES["contour"], engines=engines) as networks:
        readers = {name: face_reader(networks.engines, model, recipe, reflect=networks.reflect,
                                     fit=networks.fit)
                   for name, recipe in SYSTEMS.items()}
        return robustness.run(pack, readers, model, sets=options.chosen_sets(pack, robustness.SETS),
                              settings={"networks": networks.describe()}, files=files,
                              inputs=Inputs("robustness", options.export_inputs),
                              look=None if folder is None else lambda shown: looks.most_moved(shown, model, folder))


def _shape(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("shape", "faces", "sheet", "peers", "peers_only",
                   *(("sets",) if options.layout != PACK else ()))
    model, folder = MorphableModel.load(), options.sheet_all
    with Networks(options.networks, *READER, engines=engines) as networks:
        reader = face_reader(networks.engines, model, reflect=networks.reflect, fit=networks.fit)
        return shape.run(pack, reader, model, sets=options.sets or shape.SETS,
                         layout=options.layout, settings={"networks": networks.describe()}, progress=progress,
                         files=load_all(options.peer, VERTICES, shape.SYSTEMS),
                         inputs=Inputs("shape", options.export_inputs),
                         look=None if folder is None else
                         lambda scored: heatmaps.worst_shapes(scored, model, folder),
                         predicted=None if folder is None or options.layout != "now" else
                         lambda case, ruler, found: shape_layouts.write_now_prediction(
                             folder / "now", case.name, *ruler.prediction(found)))


def _temporal(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("temporal", "sheet", "peers", "peers_only")
    model, files = MorphableModel.load(), load_all(options.peer, TRACK, (*temporal.SYSTEMS, temporal.NETWORK))
    clips: list[Iterable[Clip]] = []
    sets: list[SampleSet] = []
    if options.layout == vw300.NAME:
        options.refuse(f"temporal with {vw300.NAME}", "sets")
        sets.append(vw300.find(options.data))
        clips.append(vw300.clips(sets[0]))
    else:
        chosen = options.sets or temporal.SETS
        if unknown := set(chosen) - set(temporal.SETS):
            raise InputError(f"--set: got {', '.join(sorted(unknown))}, expected {' or '.join(temporal.SETS)}")
        if "synthetic" in chosen:
            clips.append(scenes.clips(model))
        if "videos" in chosen:
            sets.append(pack.clips())
            clips.append(temporal.pack_clips(sets[0]))
    folder = options.sheet_all
    with Networks(options.networks, *READER, *RECIPES["contour"], engines=engines) as networks:
        return temporal.run(chain.from_iterable(clips), networks.engines, model, sets=sets,
                            faces=options.faces or TrackerConfig().faces, reflect=networks.reflect, fit=networks.fit,
                            settings={"networks": networks.describe()}, files=files,
                            inputs=Inputs("temporal", options.export_inputs),
                            look=None if folder is None else
                            lambda played, curves: timelines.worst_timelines(played, curves, folder),
                            progress=progress)


def _verification(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("verification", "export_inputs", "faces", "sheet", "peers")
    names = () if options.peers_only else READER
    model, folder = MorphableModel.load(), options.sheet_all
    with Networks(options.networks, *names, engines=engines) as networks:
        reader = face_reader(networks.engines, model, reflect=networks.reflect, fit=networks.fit) if names else None
        return verification.run(pack, reader, paster=None if reader is None else Paster(model),
                                sets=options.chosen_sets(pack, verification.SETS),
                                files=load_all(options.peer, EMBEDDING, verification.SYSTEMS),
                                settings={"networks": networks.describe()}, look=None if folder is None else
                                lambda judged, pictures: looks.wrong_pairs(judged, pictures, folder))


def _videos(pack: Pack, options: EvaluateOptions, engines: Engines, progress: Progress) -> Report:
    options.refuse("videos", "export_inputs", "peer", "peers_only", "sets")
    model = MorphableModel.load()
    shown: list[str] = []

    def look(runs: Any) -> None:
        if options.sheet is not None:
            shown.extend(looks.clip_sheet(runs, model, options.sheet))
        if options.sheet_all is not None:
            looks.clip_pictures(runs, model, options.sheet_all)

    with Networks(options.networks, *READER, *RECIPES["contour"], engines=engines) as networks:
        report = videos.run(pack, networks.engines, model, faces=options.faces or TrackerConfig().faces,
                            reflect=networks.reflect, fit=networks.fit,
                            peer=None if options.peers is None else PeerDetector(options.peers),
                            settings={"networks": networks.describe()}, look=look, progress=progress)
    if not shown:
        return report
    credits = [f"on {options.sheet}: {line}" for line in pack.credits(set(shown))]
    return replace(report, notes=[*report.notes, *credits])


PROTOCOLS: Final[Mapping[str, Callable[[Pack, EvaluateOptions, Engines, Progress], Report]]] = {
    "completion": _completion, "detector": _detector, "landmarks": _landmarks, "occlusion": _occlusion,
    "parsing": _parsing, "passing": _passing, "robustness": _robustness, "shape": _shape, "temporal": _temporal,
    "verification": _verification, "videos": _videos}
"""By the name that ``rtface evaluate`` takes."""
PEERED: Final = ("detector", "landmarks", "videos")
"""Protocols that compare with third-party networks."""
