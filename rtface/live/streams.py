"""``--stream NAME[=ADDRESS]``: results sent to other programs while they are made.

A stream is a :class:`rtface.io.Sink` whose ``write`` is quick and never waits for a receiver: those of
:func:`rtface.io.open_streams`, and ``null``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rtface import io
from rtface.errors import InputError
from rtface.io import NullSink, Sink, SourceInfo
from rtface.morphable import MorphableModel


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a stream may want to know before the first result."""

    source: SourceInfo
    """Size and rate of the frames."""
    model: MorphableModel
    mirror: bool = False
    """Avatars move as in a mirror."""


StreamOpener = Callable[[str | None, StreamFacts], Sink]
"""Makes a stream's sink from its ADDRESS (None: not given); InputError for an address that it does not understand."""


def _null(address: str | None, facts: StreamFacts) -> Sink:
    if address is not None:
        raise InputError(f"--stream null: got the address {address!r}, expected none; it only counts frames")
    return NullSink()


def _opener(name: str) -> StreamOpener:
    def open_one(address: str | None, facts: StreamFacts) -> Sink:
        info = facts.source
        (sink,) = io.open_streams([name if address is None else f"{name}={address}"], facts.model, mirror=facts.mirror,
                                  fps=float(info.fps or 30.0), size=(info.width, info.height))
        return sink
    return open_one


STREAMS: Final[Mapping[str, StreamOpener]] = {"null": _null, **{name: _opener(name) for name in io.STREAMS}}


def uses_stdout(wanted: Sequence[str]) -> bool:
    """Whether a stream writes to standard output, so that nothing else may."""
    return any(text.partition("=")[0] == "jsonl" and text.partition("=")[2] in ("", "-") for text in wanted)


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
