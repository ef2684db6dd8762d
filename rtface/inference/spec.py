"""What a network takes and gives: the only description of its tensors, read from the json beside its weights.

``<name>.<profile>.json`` lies beside ``<name>.<profile>.onnx.gz`` (or the same without gzip, ``.onnx``) and holds:
name, profile, basis, inputs and outputs (lists of {name, shape, dtype}; letters in a shape are free sizes), sha256 of
the network's file as it is stored, config, training, metrics, licence.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from rtface.errors import InputError, ModelFileError
from rtface.paths import WEIGHTS
from rtface.types import Array

SUFFIXES: Final = (".onnx.gz", ".onnx")
"""Of network files; the first that exists is taken."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and dtype of one input or output."""

    name: str
    shape: tuple[int | str, ...]
    """Fixed sizes as numbers, free ones as letters: ``("N", 3, 128, 128)``."""
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}({', '.join(str(s) for s in self.shape)})"

    def fits(self, shape: Sequence[Any], dtype: str, sizes: dict[str, int]) -> bool:
        """Whether a concrete shape fits; ``sizes`` collects and binds the letters over several tensors."""
        if dtype != self.dtype or len(shape) != len(self.shape):
            return False
        for got, want in zip(shape, self.shape, strict=True):
            if isinstance(want, str):
                want = sizes.setdefault(want, got)
            if got != want:
                return False
        return True


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """A network as its users see it, and where its weights are."""

    name: str
    profile: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    basis: str = ""
    """Identifier of the morphable model that outputs refer to; empty when there is none."""
    sha256: str = ""
    """Of the network's file as it is stored, hexadecimal; empty for engines without a file."""
    path: Path | None = None
    """The network's file; None for engines without a file."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The network's own configuration, as trained."""
    training: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    precision: str = "float32"
    """Of the file: ``int8`` when it was quantised."""

    def check_inputs(self, inputs: Mapping[str, Array]) -> dict[str, int]:
        """Sizes of the letters; InputError when names, shapes or dtypes differ from the specification."""
        return self._check(inputs, self.inputs, "input")

    def check_outputs(self, outputs: Mapping[str, Array]) -> dict[str, int]:
        """Sizes of the letters; InputError when names, shapes or dtypes differ from the specification."""
        return self._check(outputs, self.outputs, "output")

    def empty_outputs(self, sizes: Mapping[str, int]) -> dict[str, Array]:
        """What the network gives for an empty batch, so that no runtime has to cope with N = 0."""
        return {tensor.name: np.zeros([sizes.get(s, 0) if isinstance(s, str) else s for s in tensor.shape],
                                      tensor.dtype) for tensor in self.outputs}

    def _check(self, arrays: Mapping[str, Array], tensors: tuple[TensorSpec, ...], kind: str) -> dict[str, int]:
        if arrays.keys() != {tensor.name for tensor in tensors}:
            raise InputError(f"engine {self.name}: got {kind}s {sorted(arrays)}, "
                             f"expected {[tensor.name for tensor in tensors]}")
        sizes: dict[str, int] = {}
        for tensor in tensors:
            array = arrays[tensor.name]
            if not tensor.fits(array.shape, str(array.dtype), sizes):
                raise InputError(f"engine {self.name}: got {kind} {tensor.name} {array.dtype}{tuple(array.shape)}, "
                                 f"expected {tensor}" + (f" with {sizes}" if sizes else ""))
        return sizes


def read_spec(name: str, profile: str, *, folder: Path | None = None) -> EngineSpec:
    """Read ``<name>.<profile>.json`` of a weights folder (None: the shipped one).

    ModelFileError when the json or the network's file is missing, or when the json does not describe a network; the
    message names the command that makes the file. The network itself is not read: see :func:`verify_weights`.
    """
    folder = WEIGHTS if folder is None else folder
    stem = f"{name}.{profile}"
    meta = folder / f"{stem}.json"
    network = next((p for p in (folder / f"{stem}{suffix}" for suffix in SUFFIXES) if p.is_file()), None)
    if network is None or not meta.is_file():
        missing = meta if network is not None else folder / f"{stem}{SUFFIXES[0]}"
        known = ", ".join(f"{s.name}.{s.profile}" for s in shipped_specs(folder)) or "none"
        raise ModelFileError(f"weights of {name}, profile {profile}: got no file {missing} (there are: {known}), "
                             f"expected {missing.name}; make it with: {_train_command(name, profile)}")
    try:
        data = json.loads(meta.read_text(encoding="utf-8"))
        spec = EngineSpec(name=str(data["name"]), profile=str(data["profile"]), inputs=_tensors(data["inputs"]),
                          outputs=_tensors(data["outputs"]), basis=str(data.get("basis") or ""),
                          sha256=str(data["sha256"]), path=network, config=dict(data.get("config") or {}),
                          training=dict(data.get("training") or {}), metrics=dict(data.get("metrics") or {}),
                          licence=str(data.get("licence") or ""), precision=str(data.get("precision") or "float32"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as exc:
        raise ModelFileError(f"{meta}: got a file that does not describe a network ({type(exc).__name__}: {exc}), "
                             f"expected json with name, profile, inputs, outputs, sha256; make it again with: "
                             f"{_train_command(name, profile)}") from exc
    if (spec.name, spec.profile) != (name, profile):
        raise ModelFileError(f"{meta}: got the description of {spec.name}.{spec.profile}, expected {stem}; "
                             f"the file was renamed; make it again with: {_train_command(name, profile)}")
    return spec


def shipped_names(folder: Path | None = None) -> tuple[tuple[str, str], ...]:
    """(name, profile) of every network of a weights folder (None: the shipped one) that has a file and a json, sorted.

    Neither is read.
    """
    folder = WEIGHTS if folder is None else folder
    stems = {path.name.removesuffix(suffix) for suffix in SUFFIXES for path in folder.glob(f"*.*{suffix}")}
    pairs = [stem.rpartition(".") for stem in sorted(stems) if (folder / f"{stem}.json").is_file()]
    return tuple((name, profile) for name, _, profile in pairs)


def shipped_specs(folder: Path | None = None) -> tuple[EngineSpec, ...]:
    """The networks of :func:`shipped_names`; ModelFileError when a json does not describe one."""
    return tuple(read_spec(name, profile, folder=folder) for name, profile in shipped_names(folder))


def verify_weights(spec: EngineSpec) -> bytes:
    """Read the network's file and compare its hash; returns the onnx bytes, so what was checked is what is loaded.

    ModelFileError when the file cannot be read or its sha256 differs from the json's.
    """
    if spec.path is None:
        raise ModelFileError(f"engine {spec.name}: got a specification without a file, expected one read from a "
                             f"weights folder; read it with rtface.inference.read_spec")
    try:
        content = spec.path.read_bytes()
    except OSError as exc:
        raise ModelFileError(f"{spec.path}: got {exc.strerror or exc}, expected a readable onnx file; "
                             f"make it with: {_train_command(spec.name, spec.profile)}") from exc
    digest = hashlib.sha256(content).hexdigest()
    if digest != spec.sha256:
        raise ModelFileError(f"{spec.path}: got sha256 {digest[:12]}…, expected {spec.sha256[:12]}… as in its json; "
                             f"the file is damaged or from another version: reinstall rtface or make it again with: "
                             f"{_train_command(spec.name, spec.profile)}")
    if spec.path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as exc:
        raise ModelFileError(f"{spec.path}: got {exc}, expected a gzip-compressed onnx network; make it again with: "
                             f"{_train_command(spec.name, spec.profile)}") from exc


def match_tensors(spec: EngineSpec, got: Sequence[TensorSpec], want: Sequence[TensorSpec], kind: str) -> None:
    """Compare what a runtime reports with the specification; a free size fits everything. ModelFileError if not."""
    by_name = {tensor.name: tensor for tensor in got}
    fits = by_name.keys() == {tensor.name for tensor in want}
    for tensor in want if fits else ():
        other = by_name[tensor.name]
        fits = fits and other.dtype == tensor.dtype and len(other.shape) == len(tensor.shape) and all(
            isinstance(a, str) or isinstance(b, str) or a == b
            for a, b in zip(other.shape, tensor.shape, strict=True))
    if not fits:
        raise ModelFileError(f"{spec.path}: got {kind} {[str(t) for t in got]}, expected {[str(t) for t in want]} as "
                             f"in its json; make both again with: {_train_command(spec.name, spec.profile)}")


def _tensors(entries: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(str(e["name"]), tuple(s if isinstance(s, int) else str(s) for s in e["shape"]),
                            str(e["dtype"])) for e in entries)


def _train_command(name: str, profile: str) -> str:
    return f"python -m rtface.train.{name} --profile {profile}"
