"""Compiled engines on disk: their names, the json beside each, and finding the one that fits this machine.

``<name>.<profile>.<precision>.<sm>.<flavour><version>.engine`` lies beside the same name with ``.json``; its schema is
``engines/manifest.schema.json``. Loading an engine runs code that it holds, so engines are only taken from folders
that belong to the user and that nobody else may write to, and their hash is compared before TensorRT sees them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rtface.errors import BackendError, ModelFileError
from rtface.inference.spec import EngineSpec
from rtface.paths import WEIGHTS, engines

FORMAT: Final = 1
"""Of the manifest; a file of another format is stale."""
Flavour = Literal["tensorrt", "rtx"]
PORTABLE: Final = "any"
"""In the place of ``sm86``: an RTX engine for every GPU that TensorRT for RTX builds for without being asked."""
PORTABLE_FROM: Final = 80
"""Such an engine runs on compute capability 8.0 and later."""
DEFAULT_BATCH: Final = "1:4:8"

Shapes = Mapping[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
"""Least, best and greatest shape of every input in one optimisation profile."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What must be known of an engine before it is loaded; the json holds more for people to read."""

    path: Path
    """The json."""
    name: str
    profile: str
    precision: str
    flavour: str
    version: str
    """Of TensorRT, in full."""
    sm: str
    weights_sha256: str
    engine_sha256: str
    profiles: tuple[Shapes, ...]
    untrained: bool

    @property
    def engine(self) -> Path:
        """The engine's file; Torch-TensorRT's are exported programs."""
        return self.path.with_suffix(".ep" if self.flavour == "torchtensorrt" else ".engine")

    @property
    def cache(self) -> Path:
        """Kernels that TensorRT for RTX compiled on this machine for this engine."""
        return self.path.with_suffix(".cache")


def stem(name: str, profile: str, precision: str, sm: str, flavour: str, version: str) -> str:
    """File name of an engine without its suffix."""
    return f"{name}.{profile}.{precision}.{sm}.{flavour}{version}"


def build_command(name: str, profile: str, flavour: str, precision: str = "fp16", *, folder: Path | None = None,
                  sm: str = "", batch: str = DEFAULT_BATCH, weights: Path | None = None) -> str:
    """What to type to make an engine; folders are left out where they are the usual ones."""
    parts = [f"python -m build_engines {name} --flavour {flavour} --precision {precision} --batch {batch} "
             f"--profile {profile}"]
    parts += [f"--sm {sm}"] if sm else []
    parts += [f"--weights {shlex.quote(str(weights))}"] if weights not in (None, WEIGHTS) else []
    parts += [f"--out {shlex.quote(str(folder))}"] if folder not in (None, engines()) else []
    return " ".join(parts)


def read_manifest(path: Path) -> Manifest:
    """Read the json beside an engine; ModelFileError when it is not one or when it was renamed."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}, expected {FORMAT}")
        profiles = tuple({name: (tuple(s["min"]), tuple(s["opt"]), tuple(s["max"])) for name, s in shapes.items()}
                         for shapes in data["profiles"])
        manifest = Manifest(path, data["name"], data["profile"], data["precision"], data["flavour"], data["version"],
                            data["sm"], data["weights_sha256"], data["engine_sha256"], profiles,
                            bool(data["untrained"]))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise ModelFileError(f"{path}: got a file that does not describe an engine ({type(exc).__name__}: {exc}), "
                             f"expected what python -m build_engines writes; build the engine again") from exc
    expected = stem(manifest.name, manifest.profile, manifest.precision, manifest.sm, manifest.flavour,
                    manifest.version)
    if path.stem != expected:
        raise ModelFileError(f"{path}: got the description of {expected}, expected {path.stem}; the file was renamed: "
                             f"build the engine again")
    return manifest


def manifests(folder: Path, name: str = "*", profile: str = "*") -> tuple[Manifest, ...]:
    """Every readable manifest of a folder, sorted by name; others are passed over."""
    found = []
    for path in sorted(folder.glob(f"{name}.{profile}.*.json")):
        try:
            found.append(read_manifest(path))
        except ModelFileError:
            continue
    return tuple(found)


def find_engine(spec: EngineSpec, flavour: Flavour, *, version: str, capability: int, precisions: Sequence[str],
                folder: Path | None = None) -> tuple[Manifest, bytes]:
    """The engine of a network for this machine, read and verified: what was checked is what is to be loaded.

    capability: of the GPU, 86 for 8.6. precisions: the first one that is there is taken. folder: None: the usual one.
    ModelFileError with the command that builds one when none fits, or when the one that fits is damaged;
    BackendError when others could have written it.
    """
    folder = engines() if folder is None else folder
    refused = []
    for precision in precisions:
        for manifest in manifests(folder, spec.name, spec.profile):
            if (manifest.name, manifest.profile, manifest.precision, manifest.flavour) != (spec.name, spec.profile,
                                                                                          precision, flavour):
                continue
            if reason := _misfit(manifest, spec, version, capability):
                refused.append(f"{manifest.engine.name}: {reason}")
            else:
                return manifest, verify_engine(manifest)
    command = build_command(spec.name, spec.profile, flavour, precisions[0], folder=folder,
                            weights=None if spec.path is None else spec.path.parent)
    raise ModelFileError(f"engine of {spec.name}, profile {spec.profile}, {flavour}: got none in {folder} for this GPU "
                         f"(compute capability {capability / 10:.1f}, {flavour} {version})"
                         + (f"; not usable: {'; '.join(refused)}" if refused else "")
                         + f"; build it here with: {command}")


def compiled(specs: Sequence[EngineSpec], precisions: Sequence[str], folder: Path | None = None) -> dict[str, str]:
    """Flavours of TensorRT of which every network has an engine, all made by one version for one kind of GPU.

    Returns by flavour a digest that changes when one of them does. Whether they run here is not asked.
    """
    sets: dict[tuple[str, str, str], dict[str, str]] = {}
    wanted = {(spec.name, spec.profile): spec.sha256 for spec in specs}
    for found in manifests(engines() if folder is None else folder):
        if found.precision in precisions and wanted.get((found.name, found.profile)) == found.weights_sha256:
            one = sets.setdefault((found.flavour, found.version, found.sm), {})
            one[found.path.stem] = found.engine_sha256
            one[f"{found.name}.{found.profile}"] = ""
    whole = {(flavour, *rest): one for (flavour, *rest), one in sets.items()
             if wanted and all(f"{name}.{profile}" in one for name, profile in wanted)}
    digests: dict[str, str] = {}
    for (flavour, *_), one in sorted(whole.items()):
        digests[flavour] = hashlib.sha256((digests.get(flavour, "") + repr(sorted(one.items()))).encode()).hexdigest()
    return digests


def verify_engine(manifest: Manifest) -> bytes:
    """Read an engine that nobody else could have written and compare its hash with the manifest's."""
    check_owner(manifest.path.parent, manifest.path, manifest.engine)
    again = build_command(manifest.name, manifest.profile, manifest.flavour, manifest.precision,
                          folder=manifest.path.parent)
    try:
        content = manifest.engine.read_bytes()
    except OSError as exc:
        raise ModelFileError(f"{manifest.engine}: got {exc.strerror or exc}, expected a readable engine; build it "
                             f"again with: {again} --rebuild") from exc
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.engine_sha256:
        raise ModelFileError(f"{manifest.engine}: got sha256 {digest[:12]}…, expected {manifest.engine_sha256[:12]}… "
                             f"as in its json; the file is cut off or altered, build it again with: {again} --rebuild")
    return content


def check_owner(*paths: Path) -> None:
    """BackendError unless every path that exists belongs to this user (or root) and only the owner may write to it.

    Where there are no POSIX users nothing is checked.
    """
    if not hasattr(os, "geteuid"):
        return
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if status.st_uid not in (os.geteuid(), 0):
            raise BackendError(f"{path}: got a path of user {status.st_uid}, expected one of user {os.geteuid()}; "
                               f"loading an engine runs its code: build it yourself in a folder of your own")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BackendError(f"{path}: got permissions {stat.filemode(status.st_mode)}, expected that nobody else "
                               f"may write there; loading an engine runs its code: chmod go-w {path}")


def runs_on(sm: str, capability: int) -> bool:
    """Whether an engine built for ``sm86``, ``sm80+sm120`` or ``any`` runs on a compute capability such as 86."""
    if sm == PORTABLE:
        return capability >= PORTABLE_FROM
    return f"sm{capability}" in sm.split("+")


def _misfit(manifest: Manifest, spec: EngineSpec, version: str, capability: int) -> str:
    """Why an engine must not be used here; empty when it may."""
    if manifest.version != version:
        return f"built by {manifest.flavour} {manifest.version}, this is {version}"
    if not runs_on(manifest.sm, capability):
        return f"built for {manifest.sm}, this GPU is sm{capability}"
    if manifest.weights_sha256 != spec.sha256:
        return f"built from other weights ({manifest.weights_sha256[:12]}…, not {spec.sha256[:12]}…)"
    return ""


def fitting_profile(profiles: Sequence[Shapes], shapes: Mapping[str, Sequence[int]]) -> int | None:
    """Index of the first optimisation profile that takes inputs of these shapes; None when there is none."""
    for index, profile in enumerate(profiles):
        if all(len(shape) == len(profile[name][0]) and all(low <= size <= high for low, size, high in zip(
                profile[name][0], shape, profile[name][2], strict=True)) for name, shape in shapes.items()):
            return index
    return None


def describe(manifest: Manifest) -> dict[str, Any]:
    """For lists: the parts of the file's name."""
    return {"name": manifest.name, "profile": manifest.profile, "precision": manifest.precision, "sm": manifest.sm,
            "flavour": manifest.flavour, "version": manifest.version}
