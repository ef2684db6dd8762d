"""The factory's stopwatch counts every part of a sample once."""

import json
import os

from rtface.bench import synth
from rtface.synth import generator, shards


def test_parts_add_up_and_nothing_stays_patched(capsys):
    before = generator.paint
    synth.main(["--count", "2", "--processes", "1", "--size", "64"])
    out = capsys.readouterr().out
    report = json.loads(out.splitlines()[-1])
    assert report["samples_per_s"] > 0 and report["size"] == 64
    total = 1e3 / report["samples_per_s"]
    assert abs(sum(report["ms"].values()) - total) < 0.05 * total
    assert {"person and skin", "shadows", "light and colour", "shape, eyes, hair"} <= set(report["ms"])
    assert "samples of 64 px" in out and generator.paint is before


def test_drawing_processes_use_one_thread_each_and_the_parent_keeps_its_own(monkeypatch):
    for name in shards.MEMORY_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with shards.single_threaded_processes(1) as pool:
        seen = [pool.submit(os.getenv, name).result() for name in shards.THREAD_SETTINGS]
        kept = [pool.submit(os.getenv, name).result() for name in shards.MEMORY_SETTINGS]
    assert seen == ["1"] * len(shards.THREAD_SETTINGS) and kept == list(shards.MEMORY_SETTINGS.values())
    assert os.environ["OMP_NUM_THREADS"] == "7" and "OPENBLAS_NUM_THREADS" not in os.environ
    assert not set(shards.MEMORY_SETTINGS) & set(os.environ)
