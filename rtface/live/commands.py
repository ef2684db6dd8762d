"""``rtface live`` and ``rtface cameras``: options in, one call, a summary out."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, cast

import typer

from rtface.cli_options import (
    Backend,
    Debug,
    Fit,
    Formats,
    Precision,
    Profile,
    Quiet,
    Rebuild,
    Recipe,
    Reflect,
    Remember,
    StageThreads,
    Threads,
    pipeline_config,
    say,
    told_errors,
)


def live(
    source: Annotated[str, typer.Option("--source", "-s", metavar="CAMERA|ADDRESS|FILE|demo", help="A camera by its "
                      "number, its name or /dev/videoN (see rtface cameras), an rtsp:// or http:// address, a file, or "
                      "demo: a clip that rtface draws itself.")] = "0",
    size: Annotated[str | None, typer.Option(metavar="640x480", help="Wanted of a camera, px; the nearest that it has "
                                                                     "is taken.")] = None,
    fps: Annotated[float | None, typer.Option(help="Wanted of a camera. Default: 30.")] = None,
    realtime: Annotated[bool, typer.Option("--realtime", help="Play a file at its own pace and drop what is too much, "
                                           "as with a camera. Without: every frame, as fast as it goes.")] = False,
    window: Annotated[bool, typer.Option("--window/--no-window", help="Show it; without, a line is printed every "
                                                                      "second.")] = True,
    mirror: Annotated[bool, typer.Option("--mirror", help="Begin with a mirrored window (key M).")] = False,
    duration: Annotated[float | None, typer.Option(help="End after so many seconds.")] = None,
    frames: Annotated[int | None, typer.Option(help="End after so many frames.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Record from the start (key R).")] = False,
    out: Annotated[Path, typer.Option(help="Folder for recordings: OUT/take-001, …")] = Path("rtface-live"),
    formats: Formats = None,
    stream: Annotated[list[str] | None, typer.Option(metavar="NAME[=ADDRESS]", help="Send results to other programs: "
                                                     "vmc, livelink, jsonl, … (docs/streaming.md).")] = None,
    faces: Annotated[int, typer.Option(help="Follow at most this many faces.")] = 4,
    recipe: Recipe = "mask",
    profile: Profile = "compact",
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    stage_threads: StageThreads = None,
    rebuild: Rebuild = False,
    reflect: Reflect = True,
    fit: Fit = True,
    remember: Remember = True,
    smooth: Annotated[bool, typer.Option("--smooth/--no-smooth", help="Steady the curves.")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the summary to this file.")] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Follow faces of a camera: window, streams, recordings. Keys are shown on H; Ctrl-C or Q ends it."""
    with told_errors(debug):
        import cv2

        from rtface.exports import DEFAULT_FORMATS, Format
        from rtface.live.run import LiveOptions, run_live
        from rtface.live.sources import parse_size
        from rtface.live.streams import uses_stdout

        cv2.setNumThreads(1)  # the networks' threads and the decoder's share the cores
        options = LiveOptions(source=source, size=parse_size(size), fps=fps, realtime=realtime, window=window,
                              mirror=mirror, duration_s=duration, frames=frames, record=record, out=out,
                              formats=tuple(cast(Format, name) for name in formats or DEFAULT_FORMATS),
                              streams=tuple(stream or ()), json=json_file)
        config = pipeline_config(faces, profile, backend, precision, threads, smooth, recipe, rebuild, reflect,
                                 fit, stage_threads, remember)
        told = sys.stderr if uses_stdout(options.streams) else sys.stdout
        summary = run_live(options, config, say=lambda line: say(line, quiet),
                           tell=lambda line: None if quiet else print(line, file=told, flush=True))
        if not quiet:
            print("\n".join(summary.lines()).rstrip(), file=told)


def cameras(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False, debug: Debug = False) -> None:
    """List the cameras of this machine, with their formats."""
    with told_errors(debug):
        from rtface.errors import MediaError
        from rtface.io import list_cameras
        from rtface.io.cameras import WITHOUT

        found = list_cameras()
        if as_json:
            print(json.dumps([asdict(camera) for camera in found], indent=1))
        if not found:
            raise MediaError(f"cameras: got none (on Linux those of /dev/video* that you may open; you must be in the "
                             f"group video), expected at least one; plug one in, or {WITHOUT}")
        for camera in () if as_json else found:
            print(f"{camera.index}: {camera.name} ({camera.address})")
            for form in camera.formats:
                print(f"   {form}")
