"""The files that a run can be written to: by name, in a folder, from results."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from rtface.io import CsvSink, GlbModel, GlbSink, MeshSequenceSink, NpzSink, Sink, SourceInfo
from rtface.morphable import MorphableModel

Format = Literal["obj", "ply", "glb", "npz", "csv"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
DEFAULT_FORMATS: Final[tuple[Format, ...]] = ("npz", "glb")


def file_sink(name: Format, root: Path, model: MorphableModel, source: SourceInfo,
              claim: Callable[[Path], None]) -> Sink:
    """The sink that writes a format into the folder ``root``.

    claim: told every file before it is made (:meth:`rtface.io.RunFolder.claim`).
    """
    if name in ("obj", "ply"):
        return MeshSequenceSink(root / "meshes", name, uv=model.uv, claim=claim)
    path = root / {"npz": "coefficients.npz", "csv": "coefficients.csv", "glb": "face.glb"}[name]
    claim(path)
    if name == "npz":
        return NpzSink(path, expression_names=model.expression_names, basis=model.basis_id, source=source)
    if name == "csv":
        return CsvSink(path, expression_names=model.expression_names)
    return GlbSink(path, glb_parts(model))


def glb_parts(model: MorphableModel) -> list[GlbModel]:
    """Skin, eyes, and the inside of the mouth with the eye sockets: what a .glb of a face shows."""
    names = model.expression_names
    parts = [GlbModel(model.mean, model.identity_basis, model.expression_basis, model.albedo_mean, model.albedo_basis,
                      model.triangles, names)]
    for part, name, roughness in ((model.linear_eyes(), "eyes", 0.1), (model.interior, "mouth", 0.4)):
        parts.append(GlbModel(part.mean, part.identity_basis, part.expression_basis, part.colors, None,
                              part.triangles, names, name, roughness))
    return parts


def versions() -> dict[str, str]:
    """Of what a run depends on, for run.json."""
    from rtface import __version__
    return {"rtface": __version__, "python": platform.python_version(), "numpy": np.__version__}
