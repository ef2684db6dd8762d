"""What ``rtface evaluate`` is told, and what its protocols make of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rtface.errors import InputError
from rtface.evaluate.dataset import Pack
from rtface.evaluate.layouts import PACK
from rtface.evaluate.networks import NetworkOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """What to measure, and on what; protocols name the options that they do not have."""

    data: Path
    """The evaluation pack's folder, or that of another layout."""
    layout: str = PACK
    """How the data lie there: ``pack``, or a name of :data:`rtface.evaluate.layouts.LAYOUTS`."""
    networks: NetworkOptions = NetworkOptions()
    peers: Path | None = None
    """Folder of third-party networks to compare with."""
    peer: tuple[str, ...] = ()
    """Files of other systems' predictions, NAME=FILE.npz, see :mod:`rtface.evaluate.predictions`."""
    peers_only: bool = False
    """Measure the peers alone; no weights are needed."""
    sets: tuple[str, ...] = ()
    """Sets of the pack; empty: the protocol's usual ones."""
    faces: int | None = None
    """videos, temporal: follow at most this many faces."""
    sheet: Path | None = None
    """videos: contact sheet of the free clips."""
    export_inputs: Path | None = None
    """Private folder, outside of git, for the pictures that other systems are to be run on."""
    sheet_all: Path | None = None
    """Private folder, outside of git, for pictures to look at, whatever their rights."""
    json: Path | None = None
    """Also write the JSON document into this file."""

    def refuse(self, protocol: str, *names: str) -> None:
        """InputError when an option was given that the protocol does not have."""
        for name in names:
            if getattr(self, name):
                option = {"sets": "--set"}.get(name, f"--{name.replace('_', '-')}")
                raise InputError(f"{option}: got a value, but the protocol {protocol} has no such option; leave it out")

    def chosen_sets(self, pack: Pack, usual: tuple[str, ...]) -> tuple[str, ...]:
        """What was asked for, or the protocol's usual sets of the pack, or all sets of another layout."""
        return self.sets or (usual if self.layout == PACK else tuple(pack.sets))
