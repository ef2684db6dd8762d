"""Pairs of pictures that show one person or two, from tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from rtface.errors import InputError


class Pair(NamedTuple):
    """Two pictures and whether they show one person."""

    first: str
    """Path in the pack."""
    second: str
    same: bool
    fold: int


def read_pairs(path: Path, folder: str, folds: int = 10) -> list[Pair]:
    """Pairs of a table with the columns fold, file1, file2, same (LFW), or file_x, file_y, Decision Yes/No.

    folder: of the pictures, in the pack. Tables without folds are dealt round robin. InputError names a wrong line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"{path}: got {exc}, expected a table of pairs") from exc
    pairs = []
    for number, row in enumerate(rows):
        first, second = (row.get(a) or row.get(b) for a, b in (("file1", "file_x"), ("file2", "file_y")))
        verdict = str(row.get("same") or row.get("Decision") or "").strip().lower()
        if not first or not second or verdict not in ("1", "0", "yes", "no"):
            raise InputError(f"{path} line {number + 2}: got {row}, expected two file names and same 1/0 or Yes/No")
        fold = str(row.get("fold") or number % folds)
        if not fold.isdigit():
            raise InputError(f"{path} line {number + 2}: got fold {fold!r}, expected a whole number")
        pairs.append(Pair(f"{folder}/{first}", f"{folder}/{second}", verdict in ("1", "yes"), int(fold)))
    if not pairs:
        raise InputError(f"{path}: got no pairs, expected some")
    return pairs
