"""``--stream NAME[=ADDRESS]``: results sent to other programs while they are made.

A stream is a :class:`rtface.io.Sink` whose ``write`` is quick and never waits for a receiver. A new one joins by an
entry in :data:`STREAMS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rtface.errors import InputError
from rtface.io import NullSink, Sink, SourceInfo


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a stream may want to know before the first result."""

    source: SourceInfo
    """Size and rate of the frames."""
    expression_names: Sequence[str]
    """Of the 64 expression coefficients; the first 52 are ARKit's."""


StreamOpener = Callable[[str | None, StreamFacts], Sink]
"""Makes a stream's sink from its ADDRESS (None: not given); InputError for an address that it does not understand."""


def _null(address: str | None, facts: StreamFacts) -> Sink:
    if address is not None:
        raise InputError(f"--stream null: got the address {address!r}, expected none; it only counts frames")
    return NullSink()


STREAMS: Final[Mapping[str, StreamOpener]] = {"null": _null}


def open_streams(wanted: Sequence[str], facts: StreamFacts,
                 streams: Mapping[str, StreamOpener] = STREAMS) -> dict[str, Sink]:
    """Sinks by the texts that ask for them, in their order; those already open are given up when one fails."""
    opened: dict[str, Sink] = {}
    try:
        for text in wanted:
            name, given, address = text.partition("=")
            if name not in streams:
                raise InputError(f"--stream: got {name!r}, expected one of {', '.join(streams)}")
            if text in opened:
                raise InputError(f"--stream: got {text} twice, expected it once")
            opened[text] = streams[name](address if given else None, facts)
    except BaseException:
        for sink in opened.values():
            sink.abort()
        raise
    return opened
