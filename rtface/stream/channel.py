"""A bounded queue between two threads, with a policy for what happens when it is full."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, Literal, TypeVar, get_args

from rtface.errors import InputError, RtfaceError

T = TypeVar("T")

Policy = Literal["block", "drop_oldest"]


class ChannelClosed(RtfaceError):
    """The other side of a channel has ended; nothing more can be sent or received."""


class BoundedChannel(Generic[T]):
    """At most ``capacity`` items between producers and one consumer.

    ``block`` makes a producer wait while the channel is full (files: nothing is lost); ``drop_oldest`` throws the
    oldest item away (live: the newest picture counts). Items come out in the order they went in.

    The producer ends with :meth:`close`; the consumer still receives what is queued, and then the error given to
    close is raised in it. The consumer ends with :meth:`cancel`; producers get ChannelClosed, so they stop.
    """

    def __init__(self, capacity: int, policy: Policy = "block") -> None:
        if capacity < 1:
            raise InputError(f"capacity: got {capacity}, expected at least 1")
        if policy not in get_args(Policy):
            raise InputError(f"policy: got {policy!r}, expected one of {', '.join(get_args(Policy))}")
        self.capacity = capacity
        self.policy: Policy = policy
        self._items: deque[tuple[T, int]] = deque()  # an item and how many were dropped before it
        self._changed = threading.Condition()
        self._closed = False
        self._cancelled = False
        self._error: BaseException | None = None
        self._pending_drops = 0
        self._dropped = 0
        self._dropped_before = 0

    @property
    def level(self) -> int:
        """Items waiting now, 0..capacity."""
        with self._changed:
            return len(self._items)

    @property
    def dropped(self) -> int:
        """Items thrown away so far by ``drop_oldest``."""
        with self._changed:
            return self._dropped

    @property
    def dropped_before(self) -> int:
        """Items thrown away between the last received item and the one before it; read it in the consumer."""
        with self._changed:
            return self._dropped_before

    def send(self, item: T) -> None:
        """Add an item; waits while the channel is full and the policy is ``block``.

        ChannelClosed when either side has ended.
        """
        with self._changed:
            while True:
                if self._closed or self._cancelled:
                    raise ChannelClosed("channel: got an item after the end, expected none; stop sending")
                if len(self._items) < self.capacity:
                    break
                if self.policy == "drop_oldest":
                    _, before = self._items.popleft()
                    self._dropped += 1
                    if self._items:  # hand the count on to the item that is now the oldest
                        following, count = self._items[0]
                        self._items[0] = (following, count + before + 1)
                    else:
                        self._pending_drops += before + 1
                    break
                self._changed.wait()
            self._items.append((item, self._pending_drops))
            self._pending_drops = 0
            self._changed.notify_all()

    def wait_until_empty(self) -> None:
        """Wait until all that was sent has been taken, or until either side ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._items or self._closed or self._cancelled)

    def receive(self, timeout_s: float | None = None) -> T:
        """The oldest item; waits for one, at most ``timeout_s`` seconds (None: for ever).

        The producer's error when it closed with one, ChannelClosed at the end, TimeoutError when time is up.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._closed or self._cancelled, timeout_s):
                raise TimeoutError(f"channel: got nothing in {timeout_s} s, expected an item")
            if self._items and not self._cancelled:
                item, self._dropped_before = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise ChannelClosed("channel: got the end, expected an item; the producer has closed it")

    def __iter__(self) -> Iterator[T]:
        """Items until the producer closes; its error is raised at the end."""
        while True:
            try:
                item = self.receive()
            except ChannelClosed:
                return
            yield item

    def close(self, error: BaseException | None = None) -> None:
        """The producer's end. The consumer receives what is queued, then ``error``, if any. Later calls do nothing."""
        with self._changed:
            if not self._closed:
                self._closed = True
                self._error = error
                self._changed.notify_all()

    def cancel(self) -> None:
        """The consumer's end: what is queued is thrown away, producers that wait or send get ChannelClosed."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()
