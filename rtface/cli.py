"""The ``rtface`` command: options in, one call, a summary out. Heavy imports wait until a command needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from rtface import __version__
from rtface.bench.commands import app as bench_app
from rtface.cli_options import (
    Backend,
    Debug,
    Fit,
    Force,
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
from rtface.doctor.command import doctor
from rtface.errors import RenderError
from rtface.live.commands import cameras, live
from rtface.synth.commands import app as synth_app
from rtface.weight_commands import app as weights_app

app = typer.Typer(name="rtface", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Face video to 3D face meshes in real time, also where something hides the face.")
app.add_typer(weights_app, name="weights")
app.add_typer(synth_app, name="synth")
app.add_typer(bench_app, name="bench")
app.command("doctor")(doctor)


def main() -> None:
    """Entry point of the ``rtface`` command."""
    with told_errors(debug=False):
        app()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rtface {__version__}")
        raise typer.Exit


@app.callback()
def _main(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True,
                                                help="Show the version and stop.")] = False) -> None:
    """Face video to 3D face meshes in real time, also where something hides the face."""


@app.command()
def convert(
    video: Annotated[str, typer.Argument(help="Video, picture, folder of pictures or pattern of picture names; or a "
                                         "recording of rtface live (its folder), which is replayed without networks.")],
    out: Annotated[Path, typer.Argument(help="Folder to write into; made when missing.")],
    formats: Formats = None,
    every: Annotated[int, typer.Option(help="Take every n-th frame only.")] = 1,
    start: Annotated[float | None, typer.Option(help="Begin at this time, s.")] = None,
    end: Annotated[float | None, typer.Option(help="Stop before this time, s.")] = None,
    faces: Annotated[int, typer.Option(help="Follow at most this many faces.")] = 4,
    overlay: Annotated[Path | None, typer.Option(help="Also write a video of the mesh over the frames.")] = None,
    stages: Annotated[Path | None, typer.Option(help="Also write a video of input, mask, contour, completed face and "
                                                     "mesh side by side.")] = None,
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in OUT.")] = False,
    force: Force = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert a face video into meshes, curves and coefficients."""
    with told_errors(debug, interrupted="; the finished frames are kept, go on with the same command and --resume"):
        from rtface.io import Source, open_source
        from rtface.replay import find_log

        def open_at(after_index: int) -> Source:
            return open_source(video, start_s=start, end_s=end, every=every, after_index=after_index)

        config = pipeline_config(faces, profile, backend, precision, threads, smooth, recipe, rebuild, reflect,
                                 fit, stage_threads, remember)
        options = {"formats": formats, "overlay": overlay, "stages": stages, "resume": resume, "force": force,
                   "selection": {"start_s": start, "end_s": end, "every": every}}
        log = find_log(video)
        _convert(open_at, out, config, options, quiet) if log is None else _replay(log, out, config, options, quiet)


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder to write into; made when missing.")] = Path("rtface-demo"),
    seed: Annotated[int, typer.Option(help="Another seed makes another person.")] = 11,
    frames: Annotated[int, typer.Option(min=1, help="Length of the clip; 30 are a second.")] = 90,
    backend: Backend = "auto",
    threads: Threads = None,
    force: Force = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert a clip that rtface draws itself: meshes, curves and an overlay video, without any file."""
    with told_errors(debug, interrupted="; begin anew with --force"):
        from rtface.io import ArraySource
        from rtface.synth.clip import FPS, demo_clip

        say(f"drawing a clip of {frames} frames", quiet)
        source = ArraySource(list(demo_clip(seed, frames=frames)), fps=FPS)
        config = pipeline_config(1, "compact", backend, "auto", threads, True, "mask")
        options: dict[str, Any] = {"formats": ["npz", "csv", "glb"], "overlay": out / "overlay.mp4", "force": force,
                                   "selection": {"demo_seed": seed, "frames": frames}}
        try:
            _convert(lambda after_index: source, out, config, options, quiet)
        except RenderError as exc:
            say(f"no overlay video, the rest is written: {exc}", quiet)
            _convert(lambda after_index: source, out, config, {**options, "overlay": None}, quiet)


app.command()(live)
app.command()(cameras)


@app.command()
def info(video: Annotated[str, typer.Argument(help="Video, picture, folder of pictures or pattern of names.")],
         debug: Debug = False) -> None:
    """Say what a video is, as rtface reads it."""
    with told_errors(debug):
        from rtface.io import open_source

        with open_source(video) as source:
            facts = source.info
        rate = f"{facts.fps:.3f} fps on average" if facts.fps else "rate unknown"
        length = f"{facts.duration_s:.2f} s" if facts.duration_s else "length unknown"
        count = f"about {facts.frame_count} frames" if facts.frame_count else "number of frames unknown"
        print(f"{facts.name}: {facts.kind}, {facts.codec}\n{facts.width} × {facts.height} px, turned by "
              f"{facts.rotation_deg}°\n{rate}, {length}, {count}")


@app.command()
def evaluate(
    protocol: Annotated[str, typer.Argument(metavar="completion|detector|landmarks|occlusion|parsing|passing|"
                                                    "robustness|shape|temporal|verification|videos|all",
                                            help="What to measure; all writes one page, see --out.")],
    data: Annotated[Path, typer.Option(help="Folder of the evaluation pack (it holds index.json), or of a data set, "
                                            "see --layout.")],
    layout: Annotated[str, typer.Option(
        metavar="NAME", help="How the data lie there: pack; landmarks, detector, robustness: 300w, aflw2000, cofw68, "
        "wflw; completion: irregular; occlusion: cofw, faceocc, celebamask_hq; parsing: celebamask_hq, helen, lapa, "
        "lfw_parts; shape: now, micc, realy, ict; temporal: 300vw; verification: lfw.")] = "pack",
    weights: Annotated[Path | None, typer.Option(help="Folder of networks. Default: the shipped ones.")] = None,
    peers: Annotated[Path | None, typer.Option(help="Folder of third-party networks to compare with.")] = None,
    peer: Annotated[list[str] | None, typer.Option(
        metavar="NAME=FILE.npz", help="Predictions of another system; repeat it for several. One array per picture "
        "under its path in the pack: landmarks (68, 2) px, detector (M, 5) boxes and scores, verification (D,) "
        "embedding, occlusion and parsing (H, W) classes, completion (S, S, 3), shape meshes, robustness and temporal "
        "points, see docs/scoring.md; empty: no face found. Pixel centres at 0.5.")] = None,
    export_inputs: Annotated[Path | None, typer.Option(
        help="completion, robustness, shape, temporal: private folder, outside of git, for the pictures shown, so that "
        "other systems can be run on the same.")] = None,
    peers_only: Annotated[bool, typer.Option("--peers-only", help="Measure the peers alone.")] = False,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Set of the pack; repeat it for several.")] = None,
    faces: Annotated[int | None, typer.Option(help="videos, temporal: follow at most this many faces.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="videos: contact sheet of the free clips.")] = None,
    sheet_all: Annotated[Path | None, typer.Option(help="Private folder, outside of git, for pictures to look at, "
                                                        "whatever their rights.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the JSON line to this file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Private folder, outside of git, for index.html with the "
                                                  "tables, curves and pictures; all: and results.json.")] = None,
    profile: Profile = "compact",
    backend: Backend = "onnx",
    threads: Threads = None,
    reflect: Reflect = True,
    fit: Fit = True,
    debug: Debug = False,
) -> None:
    """Measure on labelled pictures and real clips: tables, and one JSON document as the last line."""
    with told_errors(debug):
        import cv2

        from rtface.errors import InputError
        from rtface.evaluate.commands import EvaluateOptions, evaluate_all, evaluate_page
        from rtface.evaluate.commands import evaluate as run
        from rtface.evaluate.networks import NetworkOptions

        cv2.setNumThreads(1)
        networks = NetworkOptions(weights=weights, profile=cast(Any, profile), backend=cast(Any, backend),
                                  threads=threads, reflect=reflect, fit=fit)
        options = EvaluateOptions(data=data, layout=layout, networks=networks, peers=peers,
                                  peer=tuple(peer or ()), peers_only=peers_only, export_inputs=export_inputs,
                                  sets=tuple(sets or ()), faces=faces, sheet=sheet, sheet_all=sheet_all, json=json_file)
        if protocol == "all":
            if out is None:
                raise InputError("evaluate: got all without --out, expected a folder for its page; "
                                 "`rtface evaluate all --data PACK --out FOLDER`")
            sections = evaluate_all(options, out, progress=lambda line: say(line, quiet=False))
            failed = [section.protocol for section in sections if section.report is None]
            print(f"{out / 'index.html'}" + (f"; not measured: {', '.join(failed)}" if failed else ""))
            raise typer.Exit(1 if failed else 0)
        report = run(protocol, options, progress=lambda line: say(line, quiet=False)) if out is None else \
            evaluate_page(protocol, options, out, progress=lambda line: say(line, quiet=False))
        print(f"{report.text()}\n{report.json_line()}")


def _convert(open_at: Any, out: Path, config: Any, options: dict[str, Any], quiet: bool) -> None:
    """Run the job behind a progress bar and print its summary."""
    import cv2

    from rtface.convert import convert as run
    from rtface.pipeline import Pipeline

    cv2.setNumThreads(1)  # the networks' threads and the decoder's share the cores
    with _progress(quiet) as progress:
        summary = run(open_at, out, lambda c, model: Pipeline(c, model=model), config=config,
                      options=_convert_options(options), progress=progress)
    _tell_summary(summary, out, quiet)


def _replay(log: Path, out: Path, config: Any, options: dict[str, Any], quiet: bool) -> None:
    """The same for a recording."""
    from rtface.config import PipelineConfig
    from rtface.errors import InputError
    from rtface.replay import replay

    if config != PipelineConfig(threads=config.threads, stage_threads=config.stage_threads):
        raise InputError("convert: got options of networks (faces, recipe, profile, backend, precision, reflect, "
                         "fit, remember or smooth) with a recording, which is replayed without networks; leave them "
                         "out, or convert its video.mp4")
    with _progress(quiet) as progress:
        summary = replay(log, out, options=_convert_options(options), progress=progress)
    _tell_summary(summary, out, quiet)


def _convert_options(options: dict[str, Any]) -> Any:
    from rtface.convert import ConvertOptions
    from rtface.exports import DEFAULT_FORMATS, Format

    return ConvertOptions(**{**options, "formats": tuple(cast(Format, name) for name in options["formats"]
                                                         or DEFAULT_FORMATS)})


def _tell_summary(summary: Any, out: Path, quiet: bool) -> None:
    if not quiet:
        print("\n".join([*summary.lines(), f"wrote {out / 'summary.json'}"]))


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar with frames per second and the time left, on stderr; nothing when quiet or not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, expected: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("converting"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[fps]:.1f} fps"),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("converting", total=None, fps=0.0)

        def show(done: int, expected: int | None) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            bar.update(task, completed=done, total=expected, fps=done / elapsed if elapsed else 0.0)

        yield show
