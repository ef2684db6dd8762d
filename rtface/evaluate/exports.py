"""What a protocol shows to its systems, written out so that another system can be run on the very same pictures.

``rtface evaluate PROTOCOL --data PACK --export-inputs DIR`` measures as always and fills DIR on the way:

- ``00000_picture.png``, …: every input, lossless.
- ``inputs.json``: the protocol, how to answer, a ``fingerprint`` of all inputs in order, and per input its ``key``
  (that of the answer's array in NAME.npz), its files, and what else a system may want to know (box, points).

DIR is private, outside of git: most pictures may not be passed on. Coordinates are rtface's, see
:mod:`rtface.evaluate.predictions`, which also says what an answer looks like.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rtface.evaluate import sheets
from rtface.evaluate.predictions import Predictions
from rtface.io import write_atomic

INDEX: Final = "inputs.json"
FINGERPRINT_DIGITS: Final = 16


class Inputs:
    """Collects what is shown; writes it where there is a folder."""

    def __init__(self, protocol: str, folder: Path | None = None) -> None:
        """InputError when the folder lies in a git working tree, OutputError when it cannot be written."""
        self._protocol = protocol
        self._folder = None if folder is None else sheets.private_folder(folder)
        self._hash = hashlib.sha256()
        self._entries: list[dict[str, Any]] = []

    def add(self, key: str, pictures: Mapping[str, NDArray[np.uint8]], **facts: Any) -> None:
        """One input: pictures (H, W, 3) or (H, W) uint8 by name; facts: plain values and arrays for the index."""
        entry: dict[str, Any] = {"key": key}
        self._hash.update(key.encode())
        for name, pixels in pictures.items():
            self._hash.update(f"{name}{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes())
            if self._folder is not None:
                entry[name] = f"{len(self._entries):05d}_{name}.png"
                shown = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
                sheets.write_picture(self._folder / entry[name], shown)
        facts = {name: np.asarray(value, np.float64).round(4).tolist() if isinstance(value, np.ndarray) else value
                 for name, value in facts.items()}
        self._entries.append({**entry, **facts})

    @property
    def fingerprint(self) -> str:
        """Of all inputs so far."""
        return self._hash.hexdigest()[:FINGERPRINT_DIGITS]

    def finish(self, answer: str, files: Sequence[Predictions]) -> list[str]:
        """Write the index (answer: what arrays to give back), and say which files were made for other inputs."""
        if self._folder is not None:
            head = {"protocol": self._protocol, "fingerprint": self.fingerprint, "answer": answer}
            rows = ",\n".join(json.dumps(entry) for entry in self._entries)  # one line for every input
            write_atomic(self._folder / INDEX, f'{json.dumps(head)[:-1]}, "inputs": [\n{rows}\n]}}\n'.encode())
        return [f"{one.name}: {one.path.name} was made for other pictures (fingerprint {one.made_for}, here "
                f"{self.fingerprint}); export the inputs again and run the system on them"
                for one in files if one.made_for not in (None, self.fingerprint)]
