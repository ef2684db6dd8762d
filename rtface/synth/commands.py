"""``rtface synth``: look at the factory's faces, write data sets of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

app = typer.Typer(no_args_is_help=True, help="Synthetic, labelled, partly hidden faces.")

Seed = Annotated[int, typer.Option(help="Another seed gives other faces.")]
Backgrounds = Annotated[Path | None, typer.Option(help="Folder of pictures to put behind faces.")]


@app.command()
def preview(
    out: Annotated[Path, typer.Argument(help="Picture to write (png or jpg).")],
    count: Annotated[int, typer.Option(min=1, help="Faces; with --kinds per row, with --dense rows.")] = 24,
    size: Annotated[int, typer.Option(help="Side of each, px.")] = 192,
    labels: Annotated[bool, typer.Option("--labels", help="Draw landmarks and boxes.")] = False,
    kinds: Annotated[bool, typer.Option("--kinds", help="One row per kind of occluder.")] = False,
    dense: Annotated[bool, typer.Option("--dense", help="Every face with all its labels side by side.")] = False,
    seed: Seed = 0,
    backgrounds: Backgrounds = None,
) -> None:
    """Draw a contact sheet."""
    import cv2

    from rtface.errors import InputError
    from rtface.io import write_atomic
    from rtface.synth import gallery
    from rtface.synth.config import SynthConfig
    from rtface.synth.generator import FaceFactory
    from rtface.synth.shards import encode

    if kinds + dense + labels > 1:
        raise InputError("preview: got several of --labels, --kinds and --dense, expected at most one of them")
    factory, config = FaceFactory(backgrounds=backgrounds), SynthConfig(size=size)
    if kinds:
        sheet = gallery.by_kind(factory, config, count, seed)
    elif dense:
        sheet = gallery.with_labels(factory, config, count, seed)
    else:
        sheet = gallery.many(factory, config, count, seed, labels=labels)
    packed = encode(sheet) if out.suffix.lower() in (".jpg", ".jpeg") else cv2.imencode(".png", sheet[..., ::-1])[1]
    write_atomic(out, bytes(packed))
    print(f"wrote {out}")


@app.command()
def write(
    folder: Annotated[Path, typer.Argument(help="Folder of shards; a killed run goes on with the same command.")],
    count: Annotated[int, typer.Option(min=1, help="Samples.")] = 10000,
    kind: Annotated[str, typer.Option(metavar="faces|scenes", help="Faces, or frames for the detector.")] = "faces",
    size: Annotated[int, typer.Option(help="Side of the pictures, px.")] = 288,
    clean: Annotated[bool, typer.Option("--clean/--no-clean", help="Store the twin without occluders too.")] = False,
    dense: Annotated[bool, typer.Option("--dense/--no-dense", help="Store parsing and contours too.")] = False,
    occluded: Annotated[float, typer.Option(help="Share of faces with something before them.")] = 0.55,
    occluders: Annotated[list[str] | None, typer.Option(
        "--occluder", help="Kind of thing to put before faces; may be repeated. Without: every kind.")] = None,
    face_share: Annotated[tuple[float, float], typer.Option(
        help="Smallest and largest face: longer side of the landmarks' box over the picture's side.")] = (0.36, 0.56),
    processes: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    seed: Seed = 0,
    backgrounds: Backgrounds = None,
) -> None:
    """Write a labelled data set for the trainers."""
    from rtface.errors import InputError
    from rtface.synth.config import OCCLUDER_KINDS, SynthConfig
    from rtface.synth.shards import Kind
    from rtface.synth.shards import write as write_shards

    if kind not in ("faces", "scenes"):
        raise InputError(f"--kind: got {kind!r}, expected 'faces' or 'scenes'")
    config = (SynthConfig(size=size, clean_twin=clean, dense=dense, occluder_rate=occluded, face_share=face_share,
                          occluder_kinds=tuple(occluders) if occluders else OCCLUDER_KINDS)
              if kind == "faces"
              else SynthConfig(occluder_rate=0.4, profile_share=0.25))
    for done, total in write_shards(folder, count, kind=cast(Kind, kind), seed=seed, config=config,
                                    backgrounds=backgrounds, scene_size=(size, size), processes=processes):
        print(f"\r{done} of {total} shards", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"wrote {folder}")
