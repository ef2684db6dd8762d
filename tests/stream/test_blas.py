"""Linear algebra has one thread while somebody asks for it, and what it had before afterwards."""

import os
import subprocess
import sys
from pathlib import Path

from threadpoolctl import threadpool_info

from rtface.stream import one_blas_thread

PROGRAM = """
import threading
from threadpoolctl import threadpool_info
from rtface.pipeline import Pipeline
from rtface.types import Frame
from tests import blobs

seen = []

def threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

class Watched(Pipeline):
    def add_mesh(self, result):
        seen.append((threading.current_thread().name, threads()))
        return super().add_mesh(result)

def frames():
    for i in range(4):
        yield Frame(blobs.paint([(70.0 + i, 60.0, 60.0, 0)]), i, i / 25)

own = threads()
with Watched(engines=blobs.engines()) as pipeline:
    for _ in range(2):
        with pipeline.run(frames()) as run:
            assert len(list(run)) == 4
        assert threads() == own, threads()
    run = pipeline.run(frames())
    next(run)
    run.close()
    assert threads() == own, threads()
    for frame in frames():
        pipeline.process(frame)
        assert threads() == own, threads()
assert {name for name, _ in seen} == {"rtface-stages", "MainThread"}, seen
assert all(found == {1} for _, found in seen), seen
"""
"""What a user's own program sees; a process of its own, as the setting is the process'."""


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_contexts_may_lie_in_each_other() -> None:
    before = blas_threads()
    with one_blas_thread():
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_a_pipeline_has_one_while_it_measures_and_its_user_the_own_number_before_and_after() -> None:
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    done = subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, **threads}, capture_output=True,
                          text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
