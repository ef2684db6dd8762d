"""What an engine may tell about its last run, beside doing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable


@runtime_checkable
class TellsTimes(Protocol):
    """An engine that works on a device of its own and can say where the last run's time went."""

    def times_ms(self) -> Mapping[str, float]:
        """Milliseconds of the last run, under the names that trtexec uses: ``enqueue`` (host), ``h2d``, ``compute``,
        ``d2h`` (device). May wait for the device.
        """
        ...
