"""LaPa (Liu et al., AAAI 2020): ``test/images/NAME.jpg`` and ``test/labels/NAME.png`` with the numbers 0 to 10.

Learned from programs that read it; the order of its classes is that of Helen's parts. Its 106 points are not used.
"""

from __future__ import annotations

from pathlib import Path

from rtface.evaluate.layouts.listed import beside
from rtface.evaluate.parts import ELEVEN_PARTS, PartSet, class_map


def parts(root: Path) -> list[PartSet]:
    """The test set; InputError where it is not there."""
    return [PartSet(beside("lapa", root, root / "test" / "images", root / "test" / "labels"), ELEVEN_PARTS,
                    class_map(ELEVEN_PARTS))]
