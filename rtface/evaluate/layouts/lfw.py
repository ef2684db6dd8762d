"""LFW (Huang et al. 2007): ``pairs.txt`` and a folder of pictures per person, ``Some_Name/Some_Name_0001.jpg``.

The first line of pairs.txt tells the number of folds (1 where it is left out) and of pairs of each kind per fold; then
come, fold by fold, lines ``name n m`` (one person) and ``name n other m`` (two).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rtface.errors import InputError
from rtface.evaluate.layouts.opened import Opened, Reading
from rtface.evaluate.pairs import Pair

TABLE: Final = "pairs.txt"


def open_folder(folder: Path) -> Opened:
    """One set, ``lfw``; InputError without the table or with a wrong line in it."""
    tables = sorted(folder.rglob(TABLE))
    if not tables:
        raise InputError(f"{folder}: got no {TABLE}, expected LFW's pairs and a folder of pictures per person")
    named = read_table(tables[0])
    first = named[0][0]
    root = next((path.parent for path in sorted(folder.rglob(first.partition("/")[0])) if path.is_dir()), folder)
    reading = Reading("lfw", folder)
    pictures = sorted({path for pair in named for path in pair[:2]})
    for path in pictures:
        reading.add(root / path, None)
    where = "" if root == folder else f"{reading.name_of(root)}/"
    pairs = [Pair(where + a, where + b, same, fold) for a, b, same, fold in named]
    return Opened(folder, [reading.done()], {"lfw": pairs})


def read_table(path: Path) -> list[Pair]:
    """Pairs of pictures relative to the folder of persons; InputError names a wrong line or count."""
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        folds, each = (int(value) for value in (["1"] * (2 - len(lines[0])) + lines[0]))
    except (OSError, ValueError, IndexError) as exc:
        raise InputError(f"{path}: got {exc}, expected the number of folds and of pairs in the first line") from exc
    if len(lines) - 1 != folds * each * 2:
        raise InputError(f"{path}: got {len(lines) - 1} pairs, expected {folds} x {each} x 2 as its first line says")
    pairs = []
    for number, words in enumerate(lines[1:]):
        same = len(words) == 3
        numbers = words[1::2] if not same else words[1:]
        if len(words) not in (3, 4) or not all(value.isdigit() for value in numbers):
            raise InputError(f"{path} line {number + 2}: got {' '.join(words)!r}, expected a name and two numbers, or "
                             f"two names with a number each")
        first, second = (words[0], words[1]), (words[0] if same else words[2], words[-1])
        pairs.append(Pair(_picture(*first), _picture(*second), same, number // (2 * each)))
    return pairs


def _picture(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}.jpg"
