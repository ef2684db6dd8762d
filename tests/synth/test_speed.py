"""The factory's stopwatch counts every part of a sample once."""

import json

from rtface.bench import synth
from rtface.synth import generator


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
