"""A thread that fills a channel from an iterable and never dies silently."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

from rtface.stream.channel import BoundedChannel, ChannelClosed

T = TypeVar("T")


class Worker(Generic[T]):
    """Runs ``for item in items: channel.send(item)`` in a daemon thread.

    The iterable is started, advanced and closed in that thread only. Whatever it raises closes the channel with that
    error, so that the consumer sees it. When the consumer cancels, the iterable's ``close()`` is called if it has
    one (generators do), so its ``finally`` blocks run.
    """

    def __init__(self, name: str, items: Iterable[T], channel: BoundedChannel[T]) -> None:
        self._items = items
        self.channel = channel
        self._thread = threading.Thread(target=self._work, name=f"rtface-{name}", daemon=True)

    def start(self) -> Worker[T]:
        """Begin; call it once."""
        self._thread.start()
        return self

    @property
    def ended(self) -> bool:
        """Whether the thread is over, by the iterable's end or by its failure."""
        return not self._thread.is_alive()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Cancel the channel and wait for the thread; False when it has not ended in ``timeout_s`` seconds."""
        self.channel.cancel()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        error: BaseException | None = None
        iterator = None
        try:
            iterator = iter(self._items)
            for item in iterator:
                try:
                    self.channel.send(item)
                except ChannelClosed:
                    break
        except BaseException as exc:  # noqa: BLE001  handed to the consumer, which raises it
            error = exc
        try:
            if iterator is not None and hasattr(iterator, "close"):
                iterator.close()
        except BaseException as exc:  # noqa: BLE001  as above
            error = error or exc
        self.channel.close(error)
