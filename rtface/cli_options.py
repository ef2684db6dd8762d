"""What several commands share: their options, how errors are told, and the configuration that options make."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, cast

import typer

from rtface.errors import RtfaceError

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Formats = Annotated[list[str] | None, typer.Option(
    "--format", "-f", metavar="obj|ply|glb|npz|csv", help="What to write; repeat it for several. Default: npz glb.")]
Profile = Annotated[str, typer.Option(metavar="compact|paper", help="Size of the networks.")]
Backend = Annotated[str, typer.Option(metavar="auto|onnx|openvino|torch|tensorrt|rtx", help="What runs the networks.")]
Precision = Annotated[str, typer.Option(metavar="auto|f32|int8", help="f32: never bfloat16 (OpenVINO) or float16 "
                                        "(torch); int8: networks made by python -m build_engines.quantize.")]
Threads = Annotated[int | None, typer.Option(help="Threads of a network. Default: 1 for compact networks, else "
                                                "one per physical core, at most 8.")]
StageThreads = Annotated[int | None, typer.Option(help="1 or 2 threads for the stages; results are the "
                                                       "same. Default: 2 on a CPU with more than one core.")]
Recipe = Annotated[str, typer.Option(metavar="contour|mask|off", help="What is done about things before a face: draw "
                                     "what they hide before regression, only say what is hidden, or do not look.")]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="tensorrt, rtx: build engines that are missing or stale.")]
Reflect = Annotated[bool, typer.Option("--reflect/--no-reflect", help="Measure every face also in the mirror and take "
                                       "the mean: more exact, two more passes of small networks per face.")]
Fit = Annotated[bool, typer.Option("--fit/--no-fit", help="Bring the mesh onto the landmarks that are seen.")]
Remember = Annotated[bool, typer.Option("--remember/--no-remember", help="Let what was seen a moment before stand in "
                                        "for what is hidden now.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what an earlier run wrote in OUT.")]


@contextmanager
def told_errors(debug: bool, *, interrupted: str = "") -> Iterator[None]:
    """Known errors become one line on stderr and exit code 1; Ctrl-C exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted{interrupted}")
        sys.exit(130)
    except RtfaceError as exc:
        if debug:
            traceback.print_exc()
        say(" ".join(str(exc).split()))
        sys.exit(1)


def say(text: str, quiet: bool = False) -> None:
    """A line for people, on stderr."""
    if not quiet:
        print(f"rtface: {text}", file=sys.stderr)


def pipeline_config(faces: int, profile: str, backend: str, precision: str, threads: int | None, smooth: bool,
                    recipe: str, rebuild: bool = False, reflect: bool = True, fit: bool = True,
                    stage_threads: int | None = None, remember: bool = True) -> Any:
    """The configuration checks the values; what it does not know is told there."""
    from rtface.config import Backend as BackendName
    from rtface.config import FitConfig, MemoryConfig, OcclusionConfig, PipelineConfig, SmoothConfig, TrackerConfig
    from rtface.config import Precision as PrecisionName
    from rtface.config import Profile as ProfileName
    from rtface.config import Recipe as RecipeName

    return PipelineConfig(profile=cast(ProfileName, profile), backend=cast(BackendName, backend),
                          precision=cast(PrecisionName, precision), threads=threads,
                          stage_threads=stage_threads, rebuild_engines=rebuild, reflect=reflect,
                          fit=FitConfig(enabled=fit), tracker=TrackerConfig(faces=faces),
                          occlusion=OcclusionConfig(recipe=cast(RecipeName, recipe)),
                          memory=MemoryConfig(enabled=remember), smooth=SmoothConfig(enabled=smooth))
