"""``rtface bench``: latency and throughput of the pipeline, of each network, and comparisons for CI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

DEFAULT = "run"
"""What ``rtface bench`` does when no other command is named."""
SLOWER = 3
"""Exit code of a comparison that found something slower."""


class BenchGroup(TyperGroup):
    """``rtface bench VIDEO`` means ``rtface bench run VIDEO``, ``--compare`` the command compare."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name in where it was left out."""
        if args and args[0] == "--compare":
            args = ["compare", *args[1:]]
        elif not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [DEFAULT, *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


app = typer.Typer(cls=BenchGroup, help="Latency and speed: `rtface bench [VIDEO]` measures the pipeline (command run).",
                  epilog="Options of the measurement: rtface bench run --help. Kernels: python -m rtface.bench.ops. "
                         "The face factory: python -m rtface.bench.synth.")

JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the JSON line to this file.")]


@app.command()
def run(
    video: Annotated[Path | None, typer.Argument(help="Video to play to the pipelines again and again; without one "
                                                      "rtface draws a clip.")] = None,
    backend: Annotated[str, typer.Option(help="What runs the networks; several as a,b; all: those that work here.")]
    = "auto",
    precision: Annotated[str, typer.Option(help="auto, f32; several as a,b.")] = "auto",
    profile: Annotated[str, typer.Option(help="compact, paper; several as a,b.")] = "compact",
    recipe: Annotated[str, typer.Option(help="mask, contour, off; several as a,b.")] = "mask",
    faces: Annotated[str, typer.Option(help="Faces in the picture, as 1,2,4,8; of a VIDEO how many are followed.")]
    = "1",
    streams: Annotated[str, typer.Option(help="Cameras at the same time, as 1,4,16.")] = "1",
    duration: Annotated[float, typer.Option(help="Seconds at the camera's rate per case.")] = 20.0,
    rounds: Annotated[int, typer.Option(help="Turns in which the cases are measured.")] = 8,
    fps: Annotated[float, typer.Option(help="Of the simulated cameras.")] = 30.0,
    threads: Annotated[int | None, typer.Option(help="Threads of a network. Default: one per physical core, at most "
                                                     "8.")] = None,
    stage_threads: Annotated[int | None, typer.Option(help="Threads for the stages, 1 or 2. Default: as in a run "
                                                           "of its own.")] = None,
    render: Annotated[bool, typer.Option("--render", help="Also draw the meshes over the frames.")] = False,
    warm_up: Annotated[float, typer.Option(help="Longest warm-up per case, s.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of the clip that rtface draws.")] = 11,
    json_file: JsonFile = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a page with distributions, time-lines and "
                                                                  "where the time goes.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the tables as Markdown.")] = None,
    trace_file: Annotated[Path | None, typer.Option("--trace", help="Write a Chrome trace, for ui.perfetto.dev.")]
    = None,
    nvtx: Annotated[bool, typer.Option("--nvtx", help="Stages as NVTX ranges, for Nsight Systems.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no tables; the JSON line alone.")]
    = False,
) -> None:
    """Measure the pipeline: latency from capture to result, throughput, drops. The last line is one JSON document."""
    from contextlib import ExitStack

    from rtface.bench import document, tables
    from rtface.bench.engines import usable_backends
    from rtface.bench.gpu_sensors import open_gpu_sensors
    from rtface.bench.nvtx_ranges import NvtxRanges
    from rtface.bench.options import BenchOptions
    from rtface.bench.run import Bench
    from rtface.io import write_atomic

    _check_outputs(json_file, html_file, markdown_file, trace_file)
    say = _silent if quiet else _say
    backends = usable_backends((_words(profile) or ("compact",))[0], say) if backend == "all" else _words(backend)
    options = BenchOptions(video=video, backends=backends, precisions=_words(precision), profiles=_words(profile),
                           recipes=_words(recipe), faces=_numbers("--faces", faces),
                           streams=_numbers("--streams", streams), duration_s=duration, rounds=rounds, fps=fps,
                           threads=threads, stage_threads=stage_threads, render=render, warm_up_s=warm_up, seed=seed)
    with ExitStack() as stack:
        sensors = open_gpu_sensors()
        if sensors is not None:
            stack.enter_context(sensors)
        bench = stack.enter_context(Bench(options, watch=NvtxRanges() if nvtx else None, sensors=sensors,
                                          progress=say))
        result = bench.run()
    short = document.build_document(result)
    if json_file is not None or html_file is not None:
        whole = document.build_document(result, samples=True)
        if json_file is not None:
            write_atomic(json_file, (document.json_line(whole) + "\n").encode())
        if html_file is not None:
            from rtface.bench.page import write_bench_page

            write_atomic(html_file, write_bench_page(whole).encode())
    if markdown_file is not None:
        write_atomic(markdown_file, (tables.markdown(short) + "\n").encode())
    if trace_file is not None:
        from rtface.bench.trace import write_trace

        write_trace(trace_file, result)
    print(("" if quiet else tables.text(short) + "\n") + document.json_line(short))


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="Written by rtface bench --json.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The same, of the newer program.")],
    tolerance: Annotated[float, typer.Option(help="Share by which a time may grow.")] = 0.05,
    json_file: JsonFile = None,
) -> None:
    """Say what got slower beyond noise. Exit code 0: nothing; 3: something did; 1: the files cannot be compared.

    Slower: with 95 % confidence over all figures together, more than the tolerance above A (Welch's interval of the
    rounds, Bonferroni), and by at least 0.1 ms. The last line is one JSON document.
    """
    from rtface.bench import compare as comparing
    from rtface.bench.document import json_line, read_document
    from rtface.figures.table import plain
    from rtface.io import write_atomic

    comparison = comparing.compare(read_document(before), read_document(after), tolerance)
    line = json_line(plain(comparison.document()))
    if json_file is not None:
        write_atomic(json_file, (line + "\n").encode())
    print(f"{comparison.text()}\n{line}")
    if comparison.slower:
        raise typer.Exit(SLOWER)


@app.command()
def engines(
    names: Annotated[list[str] | None, typer.Argument(help="Networks. Default: all that are shipped.")] = None,
    backend: Annotated[str, typer.Option(help="Several as a,b; all: those that work here.")] = "all",
    precision: Annotated[str, typer.Option(help="auto, f32; several as a,b.")] = "auto",
    profile: Annotated[str, typer.Option(metavar="compact|paper", help="Size of the networks.")] = "compact",
    batch: Annotated[str, typer.Option(help="Faces at once, as 1,4,8.")] = "1,4,8",
    duration: Annotated[float, typer.Option(help="Seconds per network and batch.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Turns of the backends.")] = 5,
    threads: Annotated[int | None, typer.Option(help="Threads of a network.")] = None,
    json_file: JsonFile = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the table as Markdown.")] = None,
) -> None:
    """Measure each network alone: latency, throughput, GFLOP/s and the share of the roofline."""
    from rtface.bench import engines as networks
    from rtface.bench.document import json_line
    from rtface.figures.table import plain
    from rtface.io import write_atomic

    _check_outputs(json_file, markdown_file)
    backends = networks.usable_backends(profile, _say) if backend == "all" else _words(backend)
    options = networks.EngineOptions(names=tuple(names or ()), profile=profile, backends=backends,
                                     precisions=_words(precision), batches=_numbers("--batch", batch),
                                     duration_s=duration, rounds=rounds, threads=threads)
    document = plain(networks.bench_engines(options, progress=_say))
    table, line = networks.engine_table(document), json_line(document)
    if json_file is not None:
        write_atomic(json_file, (line + "\n").encode())
    if markdown_file is not None:
        write_atomic(markdown_file, (networks.engine_markdown(document) + "\n").encode())
    notes = [*(f"warning: {text}" for text in document["warnings"]), *document["notes"]]
    print("\n".join([str(table), *([""] * bool(notes)), *notes, line]))


@app.command()
def clock(
    out: Annotated[Path, typer.Argument(help="Video to write (mp4).")],
    seconds: Annotated[float, typer.Option(help="Length.")] = 60.0,
    fps: Annotated[float, typer.Option(help="Of the screen that will show it.")] = 60.0,
) -> None:
    """Write a video of a clock, to be played before a camera; see glass."""
    from rtface.bench.glass import write_clock

    write_clock(out, seconds, fps)
    print(f"wrote {out}")


@app.command()
def glass(
    recording: Annotated[Path, typer.Argument(help="Recording of a screen that shows the clock of `rtface bench clock` "
                                                   "and, in the window of a live run, the camera's picture of it.")],
    every: Annotated[int, typer.Option(help="Read every n-th frame only.")] = 5,
    json_file: JsonFile = None,
) -> None:
    """Measure latency from glass to glass: read both clocks in a recording of the screen."""
    from rtface.bench.document import json_line
    from rtface.bench.glass import measure_recording
    from rtface.figures.table import plain
    from rtface.io import open_source, write_atomic

    with open_source(recording, every=every) as source:
        report = measure_recording(source)
    line = json_line(plain(report.document()))
    if json_file is not None:
        write_atomic(json_file, (line + "\n").encode())
    print(f"{report.table()}\n{line}")


def _check_outputs(*paths: Path | None) -> None:
    """Before minutes of measuring: can all these files be written? OutputError if not."""
    from rtface.errors import OutputError
    from rtface.io import check_output_folder

    for path in paths:
        if path is not None:
            if path.is_dir():
                raise OutputError(f"cannot write {path}: got a folder, expected the name of a file")
            check_output_folder(path.parent)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _numbers(option: str, text: str) -> tuple[int, ...]:
    from rtface.errors import InputError

    try:
        return tuple(dict.fromkeys(int(word) for word in _words(text)))
    except ValueError as exc:
        raise InputError(f"{option}: got {text!r}, expected whole numbers as 1,2,4") from exc


def _say(line: str) -> None:
    print(f"rtface: {line}", file=sys.stderr)


def _silent(line: str) -> None:
    """Quiet."""


