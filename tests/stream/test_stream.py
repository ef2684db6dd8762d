"""Channels, workers and timers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rtface.errors import InputError
from rtface.stream import BoundedChannel, ChannelClosed, StageTimer, Worker

SOON_S = 5.0


def test_channel_keeps_the_order_and_ends_after_the_last_item() -> None:
    channel: BoundedChannel[int] = BoundedChannel(3)
    for item in (1, 2, 3):
        channel.send(item)
    assert channel.level == 3
    channel.close()
    assert list(channel) == [1, 2, 3]
    with pytest.raises(ChannelClosed, match="got the end"):
        channel.receive()
    with pytest.raises(ChannelClosed, match="stop sending"):
        channel.send(4)


def test_channel_drops_oldest_when_full_and_says_how_many_before_each_item() -> None:
    channel: BoundedChannel[int] = BoundedChannel(2, "drop_oldest")
    for item in range(5):
        channel.send(item)
    assert (channel.level, channel.dropped) == (2, 3)
    assert (channel.receive(), channel.dropped_before) == (3, 3)
    assert (channel.receive(), channel.dropped_before) == (4, 0)
    channel.send(5)
    assert (channel.receive(), channel.dropped_before) == (5, 0)


def test_channel_of_one_counts_drops_for_the_next_item() -> None:
    channel: BoundedChannel[int] = BoundedChannel(1, "drop_oldest")
    for item in range(4):
        channel.send(item)
    assert (channel.receive(), channel.dropped_before, channel.dropped) == (3, 3, 3)


def test_blocking_channel_makes_the_producer_wait() -> None:
    channel: BoundedChannel[int] = BoundedChannel(1)
    channel.send(0)
    sent = threading.Event()

    def produce() -> None:
        channel.send(1)
        sent.set()

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    assert not sent.wait(0.05)
    assert channel.receive() == 0
    assert sent.wait(SOON_S)
    assert (channel.receive(), channel.dropped) == (1, 0)
    thread.join(SOON_S)


def test_cancel_frees_a_waiting_producer_and_throws_items_away() -> None:
    channel: BoundedChannel[int] = BoundedChannel(1)
    channel.send(0)
    failed = threading.Event()

    def produce() -> None:
        with pytest.raises(ChannelClosed):
            channel.send(1)
        failed.set()

    threading.Thread(target=produce, daemon=True).start()
    channel.cancel()
    assert failed.wait(SOON_S)
    with pytest.raises(ChannelClosed):
        channel.receive()


@pytest.mark.parametrize("action", ["receive", "cancel", "close"])
def test_a_producer_may_wait_until_all_is_taken(action: str) -> None:
    channel: BoundedChannel[int] = BoundedChannel(2)
    channel.wait_until_empty()
    channel.send(0)
    taken = threading.Event()

    def wait() -> None:
        channel.wait_until_empty()
        taken.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert not taken.wait(0.05)
    getattr(channel, action)()
    assert taken.wait(SOON_S)


def test_error_of_the_producer_comes_after_its_items() -> None:
    channel: BoundedChannel[int] = BoundedChannel(2)
    channel.send(1)
    channel.close(ValueError("broken"))
    channel.close(ValueError("a later close does nothing"))
    assert channel.receive() == 1
    with pytest.raises(ValueError, match="broken"):
        channel.receive()


def test_receive_gives_up_in_time() -> None:
    channel: BoundedChannel[int] = BoundedChannel(1)
    with pytest.raises(TimeoutError, match="got nothing in 0.01 s"):
        channel.receive(timeout_s=0.01)


@pytest.mark.parametrize(("capacity", "policy", "message"), [(0, "block", "capacity: got 0"),
                                                            (1, "newest", "policy: got 'newest'")])
def test_channel_options_are_checked(capacity: int, policy: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        BoundedChannel(capacity, policy)  # type: ignore[arg-type]


def test_worker_hands_over_everything_and_its_error() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise RuntimeError("source broke")

    channel: BoundedChannel[int] = BoundedChannel(1)
    worker = Worker("test", items(), channel).start()
    got = []
    with pytest.raises(RuntimeError, match="source broke"):
        for item in channel:
            got.append(item)
    assert got == [1, 2]
    assert worker.stop(SOON_S)


def test_worker_that_is_stopped_closes_its_iterable() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    worker = Worker("test", items(), BoundedChannel(1)).start()
    assert worker.channel.receive() == 0
    assert worker.stop(SOON_S)
    assert closed.is_set()


def test_stop_says_when_a_worker_hangs() -> None:
    release = threading.Event()

    def items() -> Iterator[int]:
        release.wait(SOON_S)
        yield 0

    worker = Worker("test", items(), BoundedChannel(1)).start()
    assert not worker.stop(0.05)
    release.set()
    assert worker.stop(SOON_S)


def test_timer_gives_nested_stages_their_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = iter([0, 10, 30, 35])  # outer begins, inner begins, inner ends, outer ends
    monkeypatch.setattr("rtface.stream.timer.time.perf_counter_ns", lambda: next(now_ms) * 1_000_000)
    timer = StageTimer()
    with timer.stage("outer"), timer.stage("inner"):
        pass
    timer.add("outside", 7.0)
    assert timer.end_frame() == {"inner": 20.0, "outer": 15.0, "outside": 7.0}
    timer.add("outside", 9.0)
    timer.end_frame()
    summary = timer.summary()["outside"]
    assert (summary.count, summary.mean_ms, summary.p50_ms, summary.total_ms) == (2, 8.0, 8.0, 16.0)
    assert 8.8 < summary.p95_ms <= 9.0
