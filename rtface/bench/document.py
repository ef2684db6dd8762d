"""The benchmark as one JSON document; what is in it says ``schema-1.json`` beside this file, and the docs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from rtface.bench.measure import Block
from rtface.bench.run import BenchResult, CaseResult
from rtface.bench.statistics import Distribution, paired_ratio
from rtface.errors import InputError
from rtface.figures.table import plain

SCHEMA: Final = "rtface-bench-1"
"""Changes when a reader of the old one would misunderstand the new one; new fields alone do not change it."""
SCHEMA_FILE: Final = Path(__file__).with_name("schema-1.json")
SERVED_SHARE: Final = 0.001
"""Cameras are served when no more than this share of their frames is dropped."""


def build_document(result: BenchResult, *, samples: bool = False) -> dict[str, Any]:
    """Plain values; samples: with every single time, for the page (much longer)."""
    cases = [_case(one, samples) for one in result.cases]
    return _plain({
        "schema": SCHEMA, "benchmark": "pipeline", "machine": result.machine,
        "conditions": {**result.conditions, "watching_a_stage_us": result.observed_stage_us},
        "warnings": list(result.warnings),
        "settings": {**result.options.to_dict(), "height": result.shape[0], "width": result.shape[1]},
        "cases": cases, "ratios": _ratios(result.cases), "streams_served": _served(result.cases)})


def read_document(path: Path) -> dict[str, Any]:
    """A file that ``--json`` wrote, or anything whose last line is the document. InputError when it is none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path}: got {exc}, expected a file that rtface bench --json wrote") from exc
    try:
        data = json.loads(text.splitlines()[-1] if text else "")
    except json.JSONDecodeError as exc:
        raise InputError(f"{path}: got no JSON in its last line ({exc}), expected a file that rtface bench --json "
                         f"wrote") from exc
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path}: got the schema {schema!r}, expected {SCHEMA!r}; write it again with this version")
    return dict(data)


def json_line(document: Mapping[str, Any]) -> str:
    """In one line."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _case(result: CaseResult, samples: bool) -> dict[str, Any]:
    case = result.case
    return {"key": case.key, "label": case.label, "backend": case.backend, "precision": case.precision,
            "profile": case.profile, "recipe": case.recipe, "faces": case.faces, "streams": case.streams,
            "engine": result.engine,
            "warm_up": {"stable": result.warm_up.stable, "seconds": result.warm_up.seconds,
                        "medians_ms": list(result.warm_up.medians_ms)},
            "paced": _paced(result.paced, samples), "free": _free(result.free, samples) if result.free else None,
            "gpu": _mean_of(result.gpu)}


def _paced(blocks: Sequence[Block], samples: bool) -> dict[str, Any]:
    frames = [block.all_frames for block in blocks]
    expected, dropped = sum(b.expected for b in blocks), sum(b.dropped for b in blocks)
    faces = [frame.faces for one in frames for frame in one]
    rates = [block.fps for block in blocks if block.fps is not None]
    out: dict[str, Any] = {
        "fps": float(np.mean(rates)) if rates else None, "frames": expected, "dropped": dropped,
        "dropped_share": dropped / expected if expected else None,
        "rounds_dropped_share": [b.dropped / b.expected for b in blocks if b.expected],
        "faces_seen": float(np.mean(faces)) if faces else None, "usage": _usage(blocks),
        "end_to_end_ms": None, "parts_ms": {}, "networks_ms": {},
        "device_ms": _device(blocks)}
    if not faces:
        return out
    whole = [[frame.end_to_end_ms for frame in one] for one in frames]
    total = sum(sum(one) for one in whole)
    parts = _by_name([[frame.parts_ms() for frame in one] for one in frames])
    out["end_to_end_ms"] = Distribution.of(whole).document(samples)
    out["parts_ms"] = {name: {**Distribution.of(rounds).document(samples),
                              "share": sum(sum(r) for r in rounds) / total} for name, rounds in parts.items()}
    networks = _by_name([[frame.networks for frame in one] for one in frames])
    out["networks_ms"] = {name: {**Distribution.of(rounds).document(samples),
                                 "share": sum(sum(r) for r in rounds) / total} for name, rounds in networks.items()}
    if samples:
        out["timelines"] = [[[round((frame.captured_ns - stream[0].captured_ns) / 1e9, 4),
                              round(frame.end_to_end_ms, 3)] for frame in stream]
                            for block in blocks for stream in block.frames if stream]
    return out


def _free(blocks: Sequence[Block], samples: bool) -> dict[str, Any]:
    rates = [block.fps for block in blocks if block.fps is not None]
    stages = _by_name([[frame.stages for frame in block.all_frames] for block in blocks])
    work = [[sum(frame.stages.values()) for frame in block.all_frames] for block in blocks]
    gaps = [np.diff([frame.delivered_ns for frame in block.all_frames]) / 1e6 for block in blocks]
    return {"frames": sum(len(block.all_frames) for block in blocks),
            "fps": float(np.mean(rates)) if rates else None, "rounds_fps": rates, "usage": _usage(blocks),
            "work_ms": Distribution.of(work).document(samples) if any(work) else None,
            "interval_ms": Distribution.of([g.tolist() for g in gaps]).document(False) if rates else None,
            "stages_ms": {name: Distribution.of(rounds).document(samples) for name, rounds in stages.items()}}


def _device(blocks: Sequence[Block]) -> dict[str, float]:
    """Mean ms per result."""
    names = dict.fromkeys(name for block in blocks for name in block.device_ms)
    return {name: float(np.mean([block.device_ms.get(name, 0.0) for block in blocks])) for name in names}


def _by_name(rounds: Sequence[Sequence[Mapping[str, float]]]) -> dict[str, list[list[float]]]:
    """Per name the times of every round, over the frames that have it; names in the order of the fullest frame."""
    fullest: Mapping[str, float] = max((frame for one in rounds for frame in one), key=lambda f: len(f), default={})
    names = dict.fromkeys(fullest)
    names.update(dict.fromkeys(name for one in rounds for frame in one for name in frame))
    return {name: [[frame[name] for frame in one if name in frame] for one in rounds] for name in names}


def _usage(blocks: Sequence[Block]) -> dict[str, Any]:
    """Means over the rounds; the most memory."""
    known = [block.usage.document() for block in blocks]
    out = {name: _mean([u[name] for u in known]) for name in ("cores", "other_cores", "package_watts")}
    memory = [u["memory_mb"] for u in known if u["memory_mb"] is not None]
    return {**out, "memory_mb": max(memory) if memory else None}


def _mean_of(readings: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not readings:
        return None
    return {name: _mean([r[name] for r in readings]) if not isinstance(value, str) else value
            for name, value in readings[0].items()}


def _mean(values: Sequence[Any]) -> float | None:
    known = [float(v) for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _ratios(results: Sequence[CaseResult]) -> list[dict[str, Any]]:
    """Every variant against the first one, under the same load."""
    if not results:
        return []
    first = results[0].case.variant
    against = {(r.case.faces, r.case.streams): r for r in results if r.case.variant == first}
    found = []
    for result in results:
        base = against.get((result.case.faces, result.case.streams))
        if result.case.variant == first or base is None:
            continue
        for figure, blocks in (("end_to_end_ms", "paced"), ("work_ms", "free")):
            medians = [_round_medians(getattr(r, blocks), figure) for r in (base, result)]
            if len(medians[0].keys() & medians[1].keys()) >= 3:
                ratio = paired_ratio(*medians)
                found.append({"figure": figure, "case": result.case.key, "against": base.case.key,
                              "ratio": ratio.value, "low": ratio.low, "high": ratio.high})
    return found


def _round_medians(blocks: Sequence[Block], figure: str) -> dict[int, float]:
    medians = {}
    for number, block in enumerate(blocks):
        if frames := block.all_frames:
            medians[number] = float(np.median([frame.end_to_end_ms if figure == "end_to_end_ms"
                                               else sum(frame.stages.values()) for frame in frames]))
    return medians


def _served(results: Sequence[CaseResult]) -> list[dict[str, Any]]:
    """Per variant the most cameras that were served, with every smaller number that was tried."""
    out = []
    faces = results[0].case.faces if results else 0
    for variant in dict.fromkeys(r.case.variant for r in results):
        most = 0
        tried = sorted((r for r in results if r.case.variant == variant and r.case.faces == faces),
                       key=lambda r: r.case.streams)
        for result in tried:
            expected, dropped = (sum(getattr(b, n) for b in result.paced) for n in ("expected", "dropped"))
            if dropped > SERVED_SHARE * expected:
                break
            most = result.case.streams
        out.append({"variant": " ".join(variant), "served": most, "tried": [r.case.streams for r in tried]})
    return out


def _plain(value: Any) -> dict[str, Any]:
    done = plain(value)
    assert isinstance(done, dict)
    return done
