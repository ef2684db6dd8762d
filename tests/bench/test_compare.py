"""Planted slowdowns are found, noise is not, and CI can tell by the exit code."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtface.bench.compare import compare
from rtface.bench.document import json_line
from rtface.cli import app
from rtface.errors import InputError
from tests.bench.benchmarks import document


def test_identical_programs_are_rarely_called_different() -> None:
    wrong = 0
    for seed in range(60):
        found = compare(document(seed=2 * seed, frames=30), document(seed=2 * seed + 1, frames=30))
        wrong += any(change.verdict != "same" for change in found.changes)
    assert wrong <= 3  # the rule says at most 5 %, before the tolerance


def test_even_without_a_tolerance_false_alarms_stay_below_what_the_rule_says() -> None:
    alarms = sum(bool(compare(document(seed=2 * seed, frames=30), document(seed=2 * seed + 1, frames=30), 0.0).slower)
                 for seed in range(100, 160))
    assert alarms <= 7  # 5 % of 60 are 3; 8 or more would be less likely than 1 in 60


@pytest.mark.parametrize("scale", [1.2, 1.5])
def test_a_planted_slowdown_is_found(scale: float) -> None:
    found = compare(document(seed=1), document(scale, seed=2))
    figures = {change.figure for change in found.slower}
    assert {"latency p50", "latency p95", "work p50", "latency, track p50", "work, regress p50"} <= figures
    assert not {"latency, queue p50", "latency, source p50", "latency, rest p50"} & figures
    (latency,) = [change for change in found.slower if change.figure == "latency p50"]
    assert latency.low < scale < latency.high and latency.before == pytest.approx(20, rel=0.05)
    back = compare(document(scale, seed=2), document(seed=1))
    assert not back.slower and {c.figure for c in back.changes if c.verdict == "faster"} == figures


def test_a_slowdown_within_the_tolerance_is_not_one() -> None:
    assert not compare(document(seed=1), document(1.08, seed=2), tolerance=0.2).slower


def test_drops_are_compared_too() -> None:
    found = compare(document(seed=1), document(seed=2, dropped=6))
    assert [change.figure for change in found.slower] == ["dropped share"]
    assert found.slower[0].after == pytest.approx(6 / 66, abs=1e-5)


def test_what_differs_besides_is_named() -> None:
    before, after = document(seed=1), document(seed=2)
    after["machine"]["processor"], after["settings"]["fps"] = "another", 25.0
    after["cases"][0]["engine"], after["warnings"] = "onnx 2", ["the machine was busy"]
    notes = "\n".join(compare(before, after).notes)
    for word in ("processor: a <processor> and another", "fps: 30.0 and 25.0", "engines differ: fake and onnx 2",
                 "B: the machine was busy"):
        assert word in notes


def test_runs_without_anything_in_common_are_an_error() -> None:
    other = document()
    other["cases"][0]["key"] = "something else"
    with pytest.raises(InputError, match="no case in common"):
        compare(document(), other)
    with pytest.raises(InputError, match="fewer than 3 rounds"):
        compare(document(rounds=2), document(rounds=2))
    with pytest.raises(InputError, match="tolerance"):
        compare(document(), document(), -1.0)


@pytest.mark.parametrize("command", [["--compare"], ["compare"]])
def test_the_exit_code_tells(command: list[str], tmp_path: Path) -> None:
    for name, scale in (("a", 1.0), ("b", 1.5)):
        (tmp_path / f"{name}.json").write_text(json_line(document(scale, seed=int(10 * scale))) + "\n")
    slower = CliRunner().invoke(app, ["bench", *command, "a.json", "b.json", "--json", "c.json"])
    assert slower.exit_code == 3 and "slower by more than 5 %" in slower.stdout
    last = json.loads(slower.stdout.splitlines()[-1])
    assert last == json.loads((tmp_path / "c.json").read_text()) and last["slower"] > 3
    assert CliRunner().invoke(app, ["bench", *command, "a.json", "a.json"]).exit_code == 0


@pytest.mark.parametrize(("content", "message"), [("", "no JSON"), ("{}", "schema None"), ("not json", "no JSON"),
                                                  ('{"schema": "rtface-bench-0"}', "rtface-bench-0")])
def test_other_files_are_an_error(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    result = CliRunner().invoke(app, ["bench", "compare", "a.json", "missing.json"])
    assert isinstance(result.exception, InputError) and message in str(result.exception)
