"""Sets made of lists of files: pictures and the label files that belong to them, with what is missing as problems."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rtface.errors import InputError
from rtface.evaluate.dataset import PICTURES, Problem, Sample, SampleSet

RIGHTS: Final = "non_commercial"
"""Of data sets for research; their pictures are for private folders only."""


def listed(name: str, root: Path, pairs: Iterable[tuple[Path | None, Path | None, str]]) -> SampleSet:
    """A set of pictures with their labels below ``root``; pairs: picture, label and what to call them in problems.

    A picture without its label, or a label without its picture, is a problem. InputError without any pair.
    """
    found, samples = SampleSet(name, (), 0), []
    for picture, label, called in pairs:
        found.whole += 1
        if picture is None or not picture.is_file():
            found.problems[called] = Problem(called, "label without its picture")
        elif label is None or not label.exists():
            found.problems[called] = Problem(called, "picture without its label")
        else:
            samples.append(Sample(picture.relative_to(root).as_posix(), picture, RIGHTS, mask=label, origin=called))
    if not found.whole:
        raise InputError(f"{root}: got no files of {name}, expected its pictures and labels; see "
                         f"rtface.evaluate.layouts for the names of its folders")
    found.samples = tuple(samples)
    return found


def by_stem(folder: Path, suffixes: Iterable[str] = PICTURES) -> dict[str, Path]:
    """Files of a folder by name without ending, in order; empty where there is no such folder."""
    wanted = {suffix.lower() for suffix in suffixes}
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {file.stem: file for file in files if file.suffix.lower() in wanted and not file.name.startswith(".")}


def beside(name: str, root: Path, pictures: Path, labels: Path) -> SampleSet:
    """A set of two folders with the same names in both, whatever their endings."""
    left, right = by_stem(pictures), by_stem(labels)
    pairs = [(left.get(stem), right.get(stem), stem) for stem in sorted(left.keys() | right.keys())]
    return listed(name, root, pairs)


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file that are not empty; InputError where it cannot be read."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"{path}: got {exc}, expected {what}") from exc
