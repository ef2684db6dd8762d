"""What a layout gives to the protocols: sets of faces under the methods of a pack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rtface.errors import InputError
from rtface.evaluate.dataset import PICTURES, Pack, Problem, Sample, SampleSet
from rtface.evaluate.pairs import Pair
from rtface.geometry import FloatArray

RIGHTS: Final = "non_commercial"
"""Of every data set with a layout; their pictures are never shown."""


class Opened(Pack):
    """Sets that were read from a data set's own files."""

    def __init__(self, folder: Path, found: Iterable[SampleSet],
                 pairs: Mapping[str, Sequence[Pair]] | None = None) -> None:
        """InputError when there is no set."""
        self.folder = folder
        self._found = {one.name: one for one in found}
        self._pairs = pairs or {}
        self._items = {}
        self.sets = {name: {"files": one.whole} for name, one in self._found.items()}

    def labelled(self, name: str) -> bool:
        """Whether every picture of the set has 68 points."""
        return all(sample.points is not None for sample in self._found[self._checked(name)].samples)

    def landmarks(self, name: str) -> SampleSet:
        """The set with its points."""
        if not self.labelled(name):
            raise InputError(f"set {name}: got no points, expected a set with 68 labelled points")
        return self._found[name]

    def pictures(self, name: str) -> SampleSet:
        """The set without its points, with the same list of problems."""
        found = self._found[self._checked(name)]
        return SampleSet(name, tuple(replace(s, points=None, hidden=None) for s in found.samples), found.whole,
                         found.unlabelled, found.problems)

    def pairs(self, name: str) -> list[Pair]:
        """The pairs of the set."""
        if name not in self._pairs:
            raise InputError(f"set {name}: got no pairs, expected a set of pairs; see --layout lfw")
        return list(self._pairs[name])

    def _checked(self, name: str) -> str:
        if name not in self._found:
            raise InputError(f"set: got {name!r}, expected one of {self.folder}: {', '.join(self._found)}")
        return name


class Reading:
    """Collects the samples and problems of one set while its files are read."""

    def __init__(self, name: str, folder: Path) -> None:
        self.found, self._folder, self._samples = SampleSet(name, (), 0), folder, list[Sample]()
        self._faces: dict[str, int] = {}

    def add(self, file: Path, points: FloatArray | None, **more: Any) -> None:
        """One face of a picture file; a missing file becomes a problem."""
        path = self.name_of(file)
        self._faces[path] = number = self._faces.get(path, 0) + 1
        path = path if number == 1 else f"{path}#{number}"
        if not file.is_file():
            self.problem(path, "missing file")
            return
        self._samples.append(Sample(**{"path": path, "file": file, "rights": RIGHTS, "points": points, "origin": path,
                                       **more}))

    def problem(self, path: str, what: str) -> None:
        """Something that cannot be used; several of one path are all kept."""
        key = path if path not in self.found.problems else f"{path} ({len(self.found.problems)})"
        self.found.problems[key] = Problem(path, what)

    def name_of(self, file: Path) -> str:
        """The file relative to the folder of the data set."""
        return file.relative_to(self._folder).as_posix()

    def done(self) -> SampleSet:
        """The set; its files are all that there are."""
        self.found.samples = tuple(self._samples)
        self.found.whole = len(self._samples) + len(self.found.problems)
        return self.found


def pictures_below(folder: Path) -> list[Path]:
    """Every picture file in a folder and its folders, by name."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and not p.name.startswith("."))
