"""What other systems predicted, from a file, so that the same code scores them: ``--peer NAME=FILE.npz``.

The file is NumPy's .npz with one array per picture. Its key is the picture's path as reports name it, relative to the
evaluation pack (``landmarks68/lfpw_test/image_0001.jpg``); further faces of one picture end in ``#2``, ``#3``, …
What an array holds depends on the protocol:

- ``landmarks``: (68, 2) px of the labelled face.
- ``detector``: (M, 5) boxes ``x0 y0 x1 y1`` in px and their scores, or (M, 4) without scores; all boxes count, so leave
  out those below the system's threshold. Keys without ``#``.
- ``verification``: (D,) any embedding; a pair's score is the cosine.
- ``occlusion``, ``parsing``: (H, W) classes of the whole picture as whole numbers.
- ``completion``: (S, S, 3) the completed crop, whole numbers 0..255, RGB; only the hole is scored.
- ``shape``: (V, 3) vertices in mm, of any topology, in any pose and right-handed axes; beside it ``KEY:triangles``
  (F, 3), and ``KEY:landmarks``, the points (7, 3) of :data:`rtface.evaluate.scans.SEVEN` or iBUG's (68, 3), or the rows
  (7,) or (68,) of the vertices that are these. ``triangles`` and ``landmarks`` without a key hold for all pictures.
- ``robustness``: (68, 2) px, and of the same face, as far as there are such, in mm and before the head is turned
  ``KEY:mesh`` (V, 3) and, without expression, ``KEY:identity`` (V, 3), and ``KEY:rotation`` (3, 3).
- ``temporal``: (T, 68, 2) px of a face in all frames of a clip, NaN where it was not found.

Coordinates are rtface's: x right, y down, the first pixel's centre at (0.5, 0.5). An empty array says that the system
found no face. A picture that the file does not have counts as not found as well, so that nobody gains by leaving hard
ones out; how many these are is told, and which, and likewise for arrays of a wrong shape or with NaN.

Some protocols make the pictures that they show (:mod:`rtface.evaluate.exports`). Keys are then those of
``inputs.json``, and an array ``inputs`` with its fingerprint, a text, lets a report say that a file was made for other
pictures.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError
from rtface.types import LANDMARKS

_SHOWN: Final = 5
Array = NDArray[Any]


class Kind(NamedTuple):
    """What the arrays of a file are."""

    what: str
    shapes: tuple[tuple[int | None, ...], ...]
    """Accepted shapes; None: any length."""
    whole: bool = False
    """Whole numbers only."""
    gaps: bool = False
    """NaN may be among them."""


POINTS: Final = Kind("points", ((LANDMARKS, 2),))
BOXES: Final = Kind("boxes", ((None, 5), (None, 4)))
EMBEDDING: Final = Kind("an embedding", ((None,),))
CLASSES: Final = Kind("classes", ((None, None),), whole=True)
VERTICES: Final = Kind("vertices", ((None, 3),))
TRIANGLES: Final = Kind("triangles", ((None, 3),), whole=True)
MARKS: Final = Kind("landmarks or their vertices", ((7, 3), (LANDMARKS, 3), (7,), (LANDMARKS,)))
ROTATION: Final = Kind("a rotation", ((3, 3),))
CROP: Final = Kind("a picture", ((None, None, 3),), whole=True)
TRACK: Final = Kind("points by frame", ((None, LANDMARKS, 2),), gaps=True)
INPUTS: Final = "inputs"
"""Key of the fingerprint of what a file was made for."""


class Predictions:
    """One system's file; remembers which pictures it was asked for in vain."""

    def __init__(self, name: str, path: Path, kind: Kind) -> None:
        """InputError when the file is missing, damaged or has no arrays."""
        self.name, self.path, self.kind = name, Path(path), kind
        try:
            data = self.path.read_bytes()
            file = np.load(io.BytesIO(data), allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as exc:
            raise InputError(f"--peer {name}: {self.path}: got {exc}, expected NumPy's .npz with one array per picture"
                             ) from exc
        if not isinstance(file, np.lib.npyio.NpzFile) or not file.files:
            raise InputError(f"--peer {name}: {self.path}: got no named arrays, expected NumPy's .npz with one array "
                             f"per picture")
        self.sha256 = hashlib.sha256(data).hexdigest()[:16]
        self._file, self._keys = file, frozenset(file.files)
        self._asked, self._read = set[str](), {INPUTS}
        self.missing: dict[str, None] = {}
        """Pictures that the file does not have."""
        self.wrong: dict[str, str] = {}
        """What is wrong with an array, by picture."""

    @property
    def keys(self) -> frozenset[str]:
        """Of all arrays in the file."""
        return self._keys

    @classmethod
    def parse(cls, text: str, kind: Kind) -> Self:
        """From NAME=FILE.npz; InputError when it is something else."""
        name, equals, path = text.partition("=")
        if not name or not equals or not path:
            raise InputError(f"--peer: got {text!r}, expected NAME=FILE.npz")
        return cls(name, Path(path), kind)

    @property
    def made_for(self) -> str | None:
        """Fingerprint of the inputs that the file says it was made for."""
        if INPUTS not in self._keys:
            return None
        try:
            return str(self._file[INPUTS])
        except (ValueError, OSError, zipfile.BadZipFile) as exc:
            raise InputError(f"--peer {self.name}: {self.path}: got {exc} for {INPUTS}, expected a text") from exc

    def of(self, key: str) -> Array | None:
        """The array of a picture, float64 (int64 for whole numbers); None when nothing was found, or is not there."""
        return self.parts(key, {"": self.kind}).get("")

    def parts(self, key: str, kinds: Mapping[str, Kind], shared: Sequence[str] = ()) -> dict[str, Array]:
        """The arrays of a picture by name: ``KEY`` for "", else ``KEY:NAME``, or ``NAME`` alone if it is shared.

        Those that are not there or empty are left out, all of them if one cannot be used. A picture without any array
        of its own is missing.
        """
        self._asked.add(key)
        out, own = dict[str, Array](), False
        try:
            for name, kind in kinds.items():
                full = f"{key}:{name}" if name else key
                own = own or full in self._keys
                full = name if full not in self._keys and name in shared else full
                self._read.add(full)
                if full in self._keys and (array := np.asarray(self._file[full])).size:
                    out[name] = _checked(array, kind)
        except (ValueError, OSError, zipfile.BadZipFile) as exc:
            self.wrong[key] = str(exc)
            return {}
        if not own:
            self.missing[key] = None
            return {}
        return out

    def notes(self) -> list[str]:
        """For people: what the file did not have, what could not be used, and what nobody asked for."""
        out = []
        if self.missing:
            out.append(f"{self.name}: {len(self.missing)} of {len(self._asked)} pictures are not in {self.path.name} "
                       f"and count as not found: {_some(list(self.missing))}")
        if self.wrong:
            told = [f"{key} ({what})" for key, what in self.wrong.items()]
            out.append(f"{self.name}: {len(self.wrong)} arrays cannot be used and count as not found: {_some(told)}")
        if unused := sorted(self._keys - self._read):
            out.append(f"{self.name}: {len(unused)} arrays of {self.path.name} belong to no picture measured here: "
                       f"{_some(unused)}")
        return out

    def describe(self) -> dict[str, Any]:
        """For programs: the file, and every picture that it lacks."""
        return {"file": self.path.name, "sha256": self.sha256, "missing": list(self.missing), "wrong": dict(self.wrong),
                "unused": len(self._keys - self._read)}


class PredictedMaps(Mapping[str, Array]):
    """A system's class maps by picture, for protocols that look maps up."""

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions

    def __getitem__(self, key: str) -> Array:
        """KeyError where the file has no usable map."""
        found = self.predictions.of(key)
        if found is None:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.predictions.keys)

    def __len__(self) -> int:
        return len(self.predictions.keys)


def load_all(texts: Sequence[str], kind: Kind, taken: Sequence[str] = ()) -> list[Predictions]:
    """Every ``--peer`` of a command; InputError on a name that is used twice or is one of ``taken``."""
    out: list[Predictions] = []
    for text in texts:
        one = Predictions.parse(text, kind)
        if one.name in (*taken, *(other.name for other in out)):
            raise InputError(f"--peer: got the name {one.name!r} twice or for a system that is there already, "
                             f"expected another one")
        out.append(one)
    return out


def _checked(array: Array, kind: Kind) -> Array:
    fits = any(array.ndim == len(shape) and all(want in (None, have) for want, have in
                                                zip(shape, array.shape, strict=True)) for shape in kind.shapes)
    if not fits:
        shapes = " or ".join(str(shape).replace("None", "any") for shape in kind.shapes)
        raise InputError(f"got an array {array.shape}, expected {kind.what} of shape {shapes}")
    if array.dtype.kind not in ("biu" if kind.whole else "iuf"):
        raise InputError(f"got {array.dtype}, expected {'whole ' if kind.whole else ''}numbers")
    out = array.astype(np.int64 if kind.whole else np.float64)
    if np.isinf(out).any() or (np.isnan(out).any() and not kind.gaps):
        raise InputError("got NaN or infinity, expected numbers (an empty array where no face was found)")
    return out


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more, all named in the JSON" if more > 0 else "")
