"""Data sets of the papers in the folders in which they come: ``rtface evaluate PROTOCOL --layout NAME --data FOLDER``.

One file per layout, with a function that opens a folder and gives what its protocols read; for pictures of faces that
is :class:`~rtface.evaluate.layouts.opened.Opened`, which has the methods of a pack. To add a layout, write such a file
and name it in :data:`LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from rtface.errors import InputError
from rtface.evaluate import shape_layouts
from rtface.evaluate.dataset import Pack
from rtface.evaluate.layouts import aflw2000, class_maps, cofw68, irregular, lfw, vw300, w300, wflw

PACK: Final = "pack"
"""rtface's own, see :mod:`rtface.evaluate.dataset`."""
FACES: Final = ("landmarks", "detector", "robustness")
"""Protocols that run on any labelled faces."""


class Layout(NamedTuple):
    """How a data set lies on disk."""

    open: Callable[[Path], Any]
    """A folder → what the protocols read; InputError where it is something else."""
    protocols: tuple[str, ...]
    what: str
    """For people: which files are expected."""


LAYOUTS: Final[Mapping[str, Layout]] = {
    "300w": Layout(w300.open_folder, FACES, "folders of pictures with .pts files beside them"),
    "aflw2000": Layout(aflw2000.open_folder, FACES, "image*.jpg with .mat files beside them"),
    "cofw68": Layout(cofw68.open_folder, FACES, "COFW_test_color.mat and test_annotations/*_points.mat"),
    "wflw": Layout(wflw.open_folder, FACES, "WFLW_images and WFLW_annotations"),
    "lfw": Layout(lfw.open_folder, ("verification",), "pairs.txt and a folder of pictures per person"),
    irregular.NAME: Layout(irregular.open_folder, ("completion",), "faces in images/ and irregular masks in masks/"),
    vw300.NAME: Layout(Pack.bare, ("temporal",), "folders with vid.avi and annot/*.pts"),
    **{name: Layout(Pack.bare, ("shape",), "scans as their publishers lay them out") for name in shape_layouts.LAYOUTS},
    **{name: Layout(Pack.bare, tuple(protocol for protocol, readers in (("occlusion", class_maps.MASKS),
                                                                        ("parsing", class_maps.PARTS))
                                     if name in readers), "pictures and class maps as their publishers lay them out")
       for name in dict.fromkeys([*class_maps.MASKS, *class_maps.PARTS])},
}


def open_layout(name: str, protocol: str, folder: Path) -> Any:
    """What a protocol reads in a folder of the layout ``name``; InputError where they do not go together."""
    if name not in LAYOUTS:
        raise InputError(f"--layout: got {name!r}, expected one of {PACK}, {', '.join(LAYOUTS)}")
    layout = LAYOUTS[name]
    if protocol not in layout.protocols:
        fitting = [PACK, *(key for key, other in LAYOUTS.items() if protocol in other.protocols)]
        raise InputError(f"--layout: got {name} for the protocol {protocol}, expected one of {', '.join(fitting)}")
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: got no folder, expected {layout.what}; give it with --data")
    return layout.open(Path(folder))
