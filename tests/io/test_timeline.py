"""Repairing times and choosing frames."""

from __future__ import annotations

import pytest

from rtface.errors import InputError
from rtface.io.timeline import Picker, Selection, Timeline


def _times(*raw: float | None, frame_s: float = 0.04) -> tuple[list[float], list[str]]:
    timeline = Timeline(frame_s)
    return [timeline.next(t) for t in raw], timeline.problems()


def test_good_times_pass_unchanged() -> None:
    assert _times(0.0, 0.04, 0.5, 0.51) == ([0.0, 0.04, 0.5, 0.51], [])


def test_the_first_time_is_the_start_unless_the_stream_says_another() -> None:
    assert _times(5.0, 5.5)[0] == [0.0, 0.5]
    timeline = Timeline(0.04)
    timeline.start(4.75)
    assert timeline.next(5.0) == 0.25
    timeline = Timeline(0.04)
    timeline.start(6.0)
    assert [timeline.next(5.0), timeline.next(5.5)] == [0.0, 0.5]


def test_missing_times_are_estimated_from_the_last_step() -> None:
    out, problems = _times(0.0, 0.1, None, None, 0.4)
    assert out == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert problems == ["2 frame(s) without a time stamp; estimated from the frame before"]
    assert _times(None, None)[0] == pytest.approx([0.0, 0.04])


def test_equal_times_are_moved_on_and_stay_before_the_next() -> None:
    out, problems = _times(0.0, 0.04, 0.04, 0.04, 0.08)
    assert out == pytest.approx([0.0, 0.04, 0.044, 0.048, 0.08])
    assert problems == ["2 time stamp(s) not later than the one before; moved on slightly"]


def test_a_clock_that_goes_back_is_continued() -> None:
    out, problems = _times(100.0, 100.04, 0.0, 0.04, 0.08)
    assert out == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16])
    assert problems == ["the clock of the file went back 1 time(s); later times were shifted"]


def test_a_picker_takes_the_first_chosen_frame_and_every_nth_after_it() -> None:
    picker = Picker(Selection(start_s=0.5, end_s=2.0, every=3))
    picks = [picker.pick(i, i * 0.25) for i in range(9)]
    assert picks == ["pass", "pass", "take", "pass", "pass", "take", "pass", "pass", "stop"]
    assert picker.in_range == 6


@pytest.mark.parametrize(("selection", "expected"), [
    (Selection(), 100), (Selection(every=3), 34), (Selection(start_s=1.0), 75), (Selection(start_s=1.0, end_s=2.0), 25),
    (Selection(end_s=99.0), 100), (Selection(start_s=99.0), 0), (Selection(after_index=49), 50),
    (Selection(start_s=1.0, every=2, after_index=34), 33), (Selection(after_index=200), 0)])
def test_the_expected_number_of_frames(selection: Selection, expected: int) -> None:
    assert selection.expected(100, 25.0) == expected
    assert selection.expected(None, 25.0) is None


@pytest.mark.parametrize(("options", "message"), [({"every": 1.5}, "every: got 1.5"), ({"end_s": 0.0}, "end: got 0 s"),
                                                  ({"start_s": float("inf")}, "start: got inf")])
def test_impossible_selections_are_errors(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Selection(**options)
