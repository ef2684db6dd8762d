"""Stages as a Chrome trace (Trace Event Format, JSON object form), to be opened in https://ui.perfetto.dev."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rtface.bench.measure import Block
from rtface.bench.run import BenchResult
from rtface.io import write_atomic


def write_trace(path: Path, result: BenchResult) -> None:
    """Every round at the camera's rate: a process per case and stream, a thread per thread, a slice per stage.

    Rows named ``frame`` hold one asynchronous slice per frame, from its capture to its result. OutputError when the
    file cannot be written.
    """
    document = {"traceEvents": list(_events(result)), "displayTimeUnit": "ms",
                "otherData": {"commit": result.machine["commit"] or "unknown", "date": result.machine["date"]}}
    write_atomic(path, json.dumps(document, separators=(",", ":")).encode())


def _events(result: BenchResult) -> Iterator[dict[str, Any]]:
    blocks = [block for case in result.cases for block in case.paced]
    start_ns = min((span.start_ns for block in blocks for spans in block.spans for span in spans), default=0)
    process = 0
    for case in result.cases:
        for stream in range(case.case.streams):
            process += 1
            name = case.case.label + (f", stream {stream + 1}" if case.case.streams > 1 else "")
            yield {"ph": "M", "name": "process_name", "pid": process, "tid": 0, "args": {"name": name}}
            yield {"ph": "M", "name": "process_sort_index", "pid": process, "tid": 0, "args": {"sort_index": process}}
            yield from _stream(case.paced, stream, process, start_ns)


def _stream(blocks: Sequence[Block], stream: int, process: int, start_ns: int) -> Iterator[dict[str, Any]]:
    threads: dict[str, int] = {}
    for number, block in enumerate(blocks):
        for span in block.spans[stream]:
            if span.frame < 0:
                continue
            if span.thread not in threads:
                threads[span.thread] = len(threads) + 1
                yield {"ph": "M", "name": "thread_name", "pid": process, "tid": threads[span.thread],
                       "args": {"name": span.thread}}
            yield {"ph": "X", "name": span.name, "cat": "stage", "pid": process, "tid": threads[span.thread],
                   "ts": (span.start_ns - start_ns) / 1e3, "dur": (span.end_ns - span.start_ns) / 1e3,
                   "args": {"frame": span.frame, "round": number}}
        for frame in block.frames[stream]:
            same = {"name": "frame", "cat": "frame", "pid": process, "tid": 0, "id": f"{number}.{frame.index}"}
            yield {**same, "ph": "b", "ts": (frame.captured_ns - start_ns) / 1e3,
                   "args": {"frame": frame.index, "end_to_end_ms": round(frame.end_to_end_ms, 3)}}
            yield {**same, "ph": "e", "ts": (frame.shown_ns - start_ns) / 1e3}
