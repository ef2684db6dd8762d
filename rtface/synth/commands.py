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
    count: Annotated[int, typer.Option(min=1, help="Faces.")] = 24,
    size: Annotated[int, typer.Option(help="Side of each, px.")] = 192,
    labels: Annotated[bool, typer.Option("--labels", help="Draw landmarks and boxes.")] = False,
    seed: Seed = 0,
    backgrounds: Backgrounds = None,
) -> None:
    """Draw a contact sheet."""
    import cv2
    import numpy as np

    from rtface.synth.config import SynthConfig
    from rtface.synth.generator import FaceFactory
    from rtface.synth.shards import encode

    factory, config = FaceFactory(backgrounds=backgrounds), SynthConfig(size=size)
    columns = min(8, count)
    sheet = np.zeros((-(-count // columns) * size, columns * size, 3), np.uint8)
    for i in range(count):
        sample = factory.generate(np.random.default_rng([seed, i]), config)
        picture = sample.pixels.copy()
        if labels:
            left, top, right, bottom = (int(v) for v in sample.box_xyxy)
            cv2.rectangle(picture, (left, top), (right, bottom), (60, 120, 255), 1)
            for (x, y), seen in zip(sample.landmarks, sample.visibility, strict=True):
                cv2.circle(picture, (int(x), int(y)), 1, (0, 255, 0) if seen else (255, 0, 0), -1)
        row, column = divmod(i, columns)
        sheet[row * size:(row + 1) * size, column * size:(column + 1) * size] = picture
    from rtface.io import write_atomic
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
    processes: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    seed: Seed = 0,
    backgrounds: Backgrounds = None,
) -> None:
    """Write a labelled data set for the trainers."""
    from rtface.errors import InputError
    from rtface.synth.config import SynthConfig
    from rtface.synth.shards import Kind
    from rtface.synth.shards import write as write_shards

    if kind not in ("faces", "scenes"):
        raise InputError(f"--kind: got {kind!r}, expected 'faces' or 'scenes'")
    config = (SynthConfig(size=size, clean_twin=clean, dense=dense) if kind == "faces"
              else SynthConfig(occluder_rate=0.4, profile_share=0.25))
    for done, total in write_shards(folder, count, kind=cast(Kind, kind), seed=seed, config=config,
                                    backgrounds=backgrounds, scene_size=(size, size), processes=processes):
        print(f"\r{done} of {total} shards", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"wrote {folder}")
