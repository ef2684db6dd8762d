"""What converting does beside writing files."""

from pathlib import Path

from threadpoolctl import threadpool_info

from rtface.config import PipelineConfig, TrackerConfig
from rtface.convert import ConvertOptions, convert
from rtface.io import VideoSink, open_source
from rtface.pipeline import Pipeline
from tests import blobs


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_linear_algebra_has_one_thread_while_converting_and_its_own_before_and_after(tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    sink = VideoSink(video, fps=25)
    for i in range(6):
        sink.write(blobs.paint([(70.0 + i, 60.0, 60.0, 0)]), i / 25)
    sink.finish()
    before, during = blas_threads(), []

    def look(done: int, expected: int | None) -> None:
        during.append(blas_threads())

    convert(lambda after: open_source(video, after_index=after), tmp_path / "out",
            lambda config, model: Pipeline(config, engines=blobs.engines(), model=model),
            config=PipelineConfig(tracker=TrackerConfig(faces=1)), options=ConvertOptions(formats=("npz",)),
            progress=look)
    assert before and during and all(set(threads) == {1} for threads in during)
    assert blas_threads() == before
