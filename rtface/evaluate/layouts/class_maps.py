"""Layouts whose labels are class maps, by the name that ``--layout`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rtface.evaluate.layouts import celebamask, cofw, faceocc, helen, lapa, lfw_parts
from rtface.evaluate.masks import MaskSet
from rtface.evaluate.parts import PartSet

MASKS: Final[Mapping[str, Callable[[Path], list[MaskSet]]]] = {
    "celebamask_hq": celebamask.masks, "cofw": cofw.masks, "faceocc": faceocc.masks}
"""For the protocol ``occlusion``."""
PARTS: Final[Mapping[str, Callable[[Path], list[PartSet]]]] = {
    "celebamask_hq": celebamask.parts, "helen": helen.parts, "lapa": lapa.parts, "lfw_parts": lfw_parts.parts}
"""For the protocol ``parsing``."""
