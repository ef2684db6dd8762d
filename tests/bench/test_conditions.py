"""The machine's state: what is read, what is warned of, and that nothing is needed."""

import os
import sys
import time

import pytest

from rtface import machine
from rtface.bench import conditions
from rtface.bench.conditions import UsageMeter, busy_warnings, describe_conditions, machine_seconds, resident_mb


def test_this_machine_is_described() -> None:
    found = describe_conditions()
    assert found["cores_allowed"] >= 1 and found["niceness"] == os.nice(0)
    assert set(found["cpu_features"]) <= set(machine.FEATURES)


def test_clocks_are_those_of_all_cores(monkeypatch) -> None:
    monkeypatch.setattr(conditions, "processor_cores", lambda: [{"cpu MHz": "2596.1"}, {"cpu MHz": "3000"}, {}])
    assert conditions.cpu_clocks() == [2596, 3000]
    monkeypatch.setattr(conditions, "processor_cores", lambda: [])
    assert conditions.cpu_clocks() is None


def test_the_machine_s_work_is_added_up_without_idle_time() -> None:
    text = "cpu  100 20 30 9999 5 1 2 50 0 0\ncpu0 1 1 1 1"
    assert machine_seconds(text) == pytest.approx((100 + 20 + 30 + 1 + 2 + 50) / os.sysconf("SC_CLK_TCK"))
    assert machine_seconds("") is None


def test_usage_counts_own_work() -> None:
    meter = UsageMeter()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    usage = meter.stop()
    assert usage.cores * usage.seconds == pytest.approx(0.2, abs=0.1)
    assert usage.others is None or usage.others >= 0
    assert usage.memory_mb is not None and usage.memory_mb > 10


def test_memory_is_known_without_proc(monkeypatch) -> None:
    now = resident_mb()
    monkeypatch.setattr(conditions.Path, "read_text", lambda self: "")
    peak = resident_mb()
    assert now is not None and peak is not None and peak > 0.5 * now
    monkeypatch.setitem(sys.modules, "resource", None)
    assert resident_mb() is None


def test_a_busy_machine_and_changing_clocks_are_warned_of() -> None:
    quiet = {"load_average_1min": 0.1, "governor": "performance"}
    assert busy_warnings(quiet, 0.1, 2) == [] == busy_warnings({"load_average_1min": None}, None, 2)
    busy = busy_warnings({"load_average_1min": 3.0, "governor": "powersave"}, 1.5, 2)
    assert len(busy) == 3 and "load average 3.00" in busy[0] and "1.50 of 2 cores" in busy[1] and "powersave" in busy[2]
