"""Opens streams by name: ``vmc``, ``livelink=192.168.0.5:11111``, ``jsonl=-``, … (docs/streaming.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rtface.errors import InputError
from rtface.io.avatar import AvatarFaces, StreamModel
from rtface.io.stream_sink import StreamSink, parse_address
from rtface.io.virtual_camera import Draw

STREAMS: Final = {
    "vmc": "VMC protocol, 52 curves (Perfect Sync); [HOST][:PORT], default 127.0.0.1:39539",
    "vmc-presets": "VMC protocol, blinks and mouth presets of plain VRM avatars; the same address",
    "livelink": "Live Link Face for Unreal; [HOST][:PORT], default 127.0.0.1:11111",
    "openseeface": "as OpenSeeFace's tracker sends; [HOST][:PORT], default 127.0.0.1:11573",
    "jsonl": "a line of JSON per frame; FILE, or - for standard output (default)",
    "websocket": "JSON per frame; ws://HOST:PORT/PATH to connect, serve:PORT to serve on this machine",
    "virtualcam": "pictures on a virtual camera; DEVICE, default the first one"}
"""Names of streams and what they are, for help texts."""


def open_streams(specs: Sequence[str], model: StreamModel, *, mirror: bool = False, fps: float = 30.0,
                 draw: Draw | None = None, size: tuple[int, int] | None = None) -> list[StreamSink]:
    """Open what ``specs`` name, each ``NAME`` or ``NAME=ADDRESS``.

    model: a :class:`rtface.morphable.MorphableModel`. mirror: avatars move as in a mirror (vmc, livelink, openseeface;
    JSON is always as measured). fps, draw, size (width, height): of the virtual camera, see
    :class:`rtface.io.virtual_camera.VirtualCameraSink`.

    Write every result to every sink and close all of them at the end; :meth:`StreamSink.report` says what became of
    it. Raises InputError for a name or an address that does not fit and OutputError for a missing package, file or
    device; those opened before are closed then. Nothing listens on a port unless ``websocket=serve:…`` asks for it.
    """
    faces = AvatarFaces(model, mirror=mirror)
    sinks: list[StreamSink] = []
    try:
        for spec in specs:
            name, _, address = spec.partition("=")
            if name not in STREAMS:
                raise InputError(f"stream: got {spec!r}, expected NAME or NAME=ADDRESS with a name of "
                                 f"{', '.join(STREAMS)}")
            sinks.append(_opener(name, address, faces, model, fps, draw, size)())
    except BaseException:
        for sink in sinks:
            sink.close()
        raise
    return sinks


def _opener(name: str, address: str, faces: AvatarFaces, model: StreamModel, fps: float, draw: Draw | None,
            size: tuple[int, int] | None) -> Callable[[], StreamSink]:
    """What opens one stream; only its own module is loaded."""
    if name in ("vmc", "vmc-presets"):
        from rtface.io import vmc
        return lambda: vmc.VmcSink(parse_address(address, vmc.PORT, stream=name), faces, presets=name != "vmc")
    if name == "livelink":
        from rtface.io import livelink
        return lambda: livelink.LiveLinkSink(parse_address(address, livelink.PORT, stream=name), faces)
    if name == "openseeface":
        from rtface.io import openseeface
        return lambda: openseeface.OpenSeeFaceSink(parse_address(address, openseeface.PORT, stream=name), faces, model)
    if name == "jsonl":
        from rtface.io.json_lines import JsonLinesSink
        return lambda: JsonLinesSink(address or "-", model.expression_names)
    if name == "websocket":
        from rtface.io.websocket import WebSocketSink
        return lambda: WebSocketSink(address, model.expression_names)
    from rtface.io.virtual_camera import VirtualCameraSink
    return lambda: VirtualCameraSink(address or None, draw=draw, fps=fps, size=size)
