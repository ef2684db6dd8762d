"""Stream a video, or the folder of a converted one, to other programs at its own pace.

python examples/05_stream_out.py VIDEO_OR_FOLDER STREAM [STREAM ...]     e.g. clip.mp4 vmc livelink=192.168.0.5 jsonl=-
"""

import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from rtface.config import PipelineConfig
from rtface.io import open_source, open_streams, read_journal
from rtface.morphable import MorphableModel
from rtface.pipeline import Pipeline
from rtface.types import FrameResult


def paced(results: Iterable[FrameResult]) -> Iterator[FrameResult]:
    """Give every result when its time has come, on the clock of its source."""
    start = None
    for result in results:
        now = time.monotonic()
        start = now - result.frame.pts_s if start is None else start
        time.sleep(max(0.0, start + result.frame.pts_s - now))
        yield result


def results_of(name: str, model: MorphableModel) -> Iterator[FrameResult]:
    """Of the log in a folder that ``rtface convert`` made, or of a video as it is processed."""
    log = Path(name) / ".rtface" / "journal.bin"
    if log.exists():
        yield from (frame.to_result() for frame in read_journal(log).frames)
        return
    with Pipeline(PipelineConfig(meshes=False), model=model) as pipeline, open_source(name) as source:
        yield from pipeline.run(source)


def main(name: str, *streams: str) -> None:
    model = MorphableModel.load(level=0)
    sinks = open_streams(streams, model)
    try:
        for result in paced(results_of(name, model)):
            for sink in sinks:
                sink.write(result)
    finally:
        for sink in sinks:
            sink.close()
            print(sink.report(), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
