"""Reading the evaluation pack: pictures with labels, tags and rights, and what is wrong with them.

The pack is a folder with ``index.json`` (every file's path, set, tags, rights, byte count, sha256) and per labelled
set an ``annotations.json``. A pack may hold a part of each set only; the index says how many the whole set has.

Nothing is skipped silently: what cannot be used (missing, unreadable, altered, wrong count of points) is a
:class:`Problem` of its set, by name, and every report counts them.

Coordinates. Labels are pixels of the stored pictures as MATLAB tools give them: the centre of the first pixel of the
*source* picture is (1, 1), and the source was cut and scaled afterwards (``to_crop``) without subtracting that origin.
rtface's centre of the first pixel is (0.5, 0.5), so half a source pixel is subtracted, at the scale of the crop:
``point − 0.5 · to_crop[:, :2] · (1, 1)``. Without ``to_crop`` the picture is the source. Labels that other tools made
(:data:`ZERO_BASED`) have the first pixel's centre at (0, 0): half a source pixel is added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from rtface.errors import InputError, MediaError
from rtface.evaluate.pairs import Pair, read_pairs
from rtface.evaluate.schemes import Flags, point_flags, to_68
from rtface.geometry import FloatArray
from rtface.io import read_picture

Pixels = NDArray[np.uint8]
T = TypeVar("T")
PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
CLIPS: Final = frozenset({".mp4", ".mkv", ".mov", ".webm", ".gif", ".avi", ".m4v"})
FREE: Final = "free"
"""The only rights with which a picture may be shown."""
HASH_DIGITS: Final = 16
YAW_BINS_DEG: Final = ((30, "yaw < 30"), (60, "yaw 30-60"), (180, "yaw > 60"))


ZERO_BASED: Final = ("dlib", "WFLW")
"""Beginnings of the names of sets whose labels count pixels from 0."""


class Problem(NamedTuple):
    """A file of the pack that could not be used."""

    path: str
    """Relative to the pack."""
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture or clip of the pack."""

    path: str
    """Relative to the pack, its name in reports; further faces of one picture end in ``#2``, ``#3``, …"""
    file: Path
    rights: str
    """``free``, ``non_commercial`` or ``unclear``; what the index does not name is unclear."""
    tags: tuple[str, ...] = ()
    points: FloatArray | None = None
    """(68, 2) float32 px of the picture, rtface's convention; None without a label."""
    size: tuple[int, int] | None = None
    """Width and height that the labels were made for."""
    sha256: str | None = None
    """First digits, from the index."""
    mask: Path | None = None
    """Picture of classes, where the set has them."""
    origin: str = ""
    """The picture it was made from; two samples of one origin show the same face."""
    hidden: Flags | None = None
    """(68,) int8: which points have something before them, see :mod:`rtface.evaluate.schemes`; None without flags."""
    stored: Callable[[], Pixels] | None = None
    """Gives the pixels of a picture that is no file of its own; ``file`` is then what holds it."""

    def pixels(self) -> Pixels:
        """The picture, (H, W, 3) uint8 RGB; MediaError where it cannot be read."""
        return read_picture(self.file) if self.stored is None else self.stored()

    @property
    def free(self) -> bool:
        """Whether it may be shown."""
        return self.rights == FREE


@dataclass(eq=False)
class SampleSet:
    """The usable files of one set of the pack."""

    name: str
    samples: tuple[Sample, ...]
    whole: int
    """How many files the complete set has, by the index; a pack may hold fewer."""
    unlabelled: int = 0
    """Pictures that come without points, as intended, and are left out of ``samples`` where points are asked for."""
    problems: dict[str, Problem] = field(default_factory=dict)
    """By path; grows while pictures are read."""

    def __len__(self) -> int:
        return len(self.samples)

    def pictures(self) -> Iterator[tuple[Sample, Pixels]]:
        """Every picture that can be read, with its (H, W, 3) uint8 RGB pixels; the others become problems."""
        for sample in self.samples:
            pixels = self._read(sample)
            if isinstance(pixels, str):
                self.problems[sample.path] = Problem(sample.path, pixels)
            else:
                yield sample, pixels

    def labels(self, read: Callable[[Sample, Pixels], T]) -> Iterator[tuple[Sample, Pixels, T]]:
        """Every picture with what ``read`` makes of its label; where that fails it becomes a problem."""
        for sample, pixels in self.pictures():
            try:
                label = read(sample, pixels)
            except (InputError, MediaError) as exc:
                self.problems[sample.path] = Problem(sample.path, str(exc))
                continue
            yield sample, pixels, label

    @staticmethod
    def _read(sample: Sample) -> Pixels | str:
        if what := altered(sample):
            return what
        try:
            pixels = sample.pixels()
        except MediaError as exc:
            return f"unreadable picture ({exc})"
        if sample.size is not None and sample.size != (pixels.shape[1], pixels.shape[0]):
            return (f"got a picture of {pixels.shape[1]} x {pixels.shape[0]} px, expected {sample.size[0]} x "
                    f"{sample.size[1]} as in the labels")
        return pixels


def altered(sample: Sample) -> str | None:
    """What is wrong with the file's content by the index: None when it is as stored (or the index does not say)."""
    if not sample.sha256 and sample.file.is_file():
        return None
    try:
        digest = hashlib.sha256(sample.file.read_bytes()).hexdigest()[:HASH_DIGITS]
    except OSError as exc:
        return f"unreadable file ({exc.strerror or exc})"
    if sample.sha256 and digest != sample.sha256:
        return f"got sha256 {digest}, expected {sample.sha256} as in index.json"
    return None


class Pack:
    """An evaluation pack; InputError when it is not one."""

    def __init__(self, folder: Path) -> None:
        """folder: the one that holds index.json."""
        self.folder = Path(folder)
        index = _read_json(self.folder / "index.json", "the index of an evaluation pack")
        sets, items = index.get("sets"), index.get("items")
        if not isinstance(sets, dict) or not isinstance(items, list):
            raise InputError(f"{self.folder / 'index.json'}: got no 'sets' and 'items', expected the index of an "
                             f"evaluation pack")
        self.sets: dict[str, Mapping[str, Any]] = sets
        self._items: dict[str, Mapping[str, Any]] = {}
        for item in items:
            if not isinstance(item, dict) or not isinstance(item.get("path"), str):
                raise InputError(f"{self.folder / 'index.json'}: got the item {item!r}, expected one with a path")
            self._items[item["path"]] = item

    def labelled(self, name: str) -> bool:
        """Whether the set has 68 points for its pictures."""
        return str(self.sets.get(name, {}).get("labels") or "").endswith(".json")

    def faces(self, name: str) -> SampleSet:
        """:meth:`landmarks` where the set has points, else :meth:`pictures`."""
        return self.landmarks(name) if self.labelled(name) else self.pictures(name)
    @classmethod
    def bare(cls, folder: Path) -> Self:
        """A folder without an index, for sets in their publishers' own layouts; InputError when it is no folder."""
        if not Path(folder).is_dir():
            raise InputError(f"{folder}: got no such folder, expected the one of a data set; give it with --data")
        pack = cls.__new__(cls)
        pack.folder, pack.sets, pack._items = Path(folder), {}, {}
        return pack

    def entries(self, name: str) -> dict[str, Mapping[str, Any]]:
        """The labels of a set by file name; InputError when the pack has no such set or no labels for it."""
        labels = self._info(name).get("labels")
        if not isinstance(labels, str):
            raise InputError(f"set {name}: got no annotations.json in the index, expected a set with labels")
        items = _read_json(self.folder / labels, f"the labels of {name}").get("items")
        return {str(item["file"]): item for item in items if isinstance(item, dict) and "file" in item} \
            if isinstance(items, list) else {}

    def landmarks(self, name: str) -> SampleSet:
        """A set labelled with 68 points; InputError when the pack has no such set or no labels for it."""
        info = self._info(name)
        labels = info.get("labels")
        if not isinstance(labels, str) or not labels.endswith(".json"):
            raise InputError(f"set {name}: got no annotations.json in the index, expected a set with labels")
        where = Path(labels).parent
        content = _read_json(self.folder / labels, f"the labels of {name}")
        entries = content.get("items")
        if not isinstance(entries, list):
            raise InputError(f"{self.folder / labels}: got no 'items', expected the labels of {name}")
        found = SampleSet(name, (), int(info.get("files", len(entries))))
        samples, seen = [], dict[str, int]()
        for number, entry in enumerate(entries):
            name_in_set = entry.get("file", entry.get("image")) if isinstance(entry, dict) else None
            if not isinstance(name_in_set, str):
                key = f"{labels} item {number}"
                found.problems[key] = Problem(key, "got no file name, expected 'file' or 'image'")
                continue
            path = (where / name_in_set).as_posix()
            seen[path] = seen.get(path, 0) + 1
            if entry.get("points") is None:
                found.unlabelled += 1
                continue
            key = path if seen[path] == 1 else f"{path}#{seen[path]}"
            try:
                points, hidden = _points(entry), None if entry.get("occluded") is None else point_flags(
                    entry["occluded"])
            except InputError as exc:
                found.problems[key] = Problem(key, str(exc))
                continue
            if (sample := self._sample(path, found, points, entry)) is not None:
                origin = sample.origin if key == path else f"{sample.origin}#{seen[path]}"
                samples.append(replace(sample, path=key, hidden=hidden, origin=origin))
        for path, item in self._items.items():
            if item.get("set") == name and _is(path, PICTURES) and path not in seen:
                found.problems[path] = Problem(path, f"picture without a label in {labels}")
        found.samples = tuple(samples)
        return found

    def files(self, name: str) -> SampleSet:
        """All files of a set, whatever they are; InputError when the pack has no such set."""
        found = SampleSet(name, (), int(self._info(name).get("files", 0)))
        paths = [path for path, item in self._items.items() if item.get("set") == name]
        samples = [self._sample(path, found) for path in sorted(paths)]
        found.samples = tuple(sample for sample in samples if sample is not None)
        return found

    def pictures(self, name: str) -> SampleSet:
        """All pictures of a set, without labels; InputError when the pack has no such set."""
        found = SampleSet(name, (), int(self._info(name).get("files", 0)))
        paths = [path for path, item in self._items.items() if item.get("set") == name and _is(path, PICTURES)]
        samples = [self._sample(path, found) for path in sorted(paths)]
        found.samples = tuple(sample for sample in samples if sample is not None)
        return found

    def pairs(self, name: str) -> list[Pair]:
        """The pairs of a set; InputError when the pack has no table for it."""
        labels = self._info(name).get("labels")
        if not isinstance(labels, str) or not labels.endswith(".csv"):
            raise InputError(f"set {name}: got no table of pairs in the index, expected a set of pairs such as lfw")
        return read_pairs(self.folder / labels, (Path(labels).parent / "images").as_posix())

    def clips(self, under: str = "videos") -> SampleSet:
        """All clips in a folder of the pack; those that the index does not name are unclear, and problems too."""
        found = SampleSet(under, (), 0)
        root = self.folder / under
        indexed = {path for path in self._items if path.startswith(f"{under}/") and _is(path, CLIPS)}
        on_disk = {p.relative_to(self.folder).as_posix() for p in root.rglob("*") if _is(p.name, CLIPS)} \
            if root.is_dir() else set()
        samples = [self._sample(path, found) for path in sorted(indexed | on_disk)]
        for path in on_disk - indexed:
            found.problems[path] = Problem(path, "clip that index.json does not name; its rights are taken as unclear")
        found.samples = tuple(sample for sample in samples if sample is not None)
        found.whole = sum(int(info.get("files", 0)) for info in self.sets.values() if info.get("task") == "videos")
        return found

    def credits(self, paths: set[str]) -> list[str]:
        """One line of source and licence for each origin of these files."""
        lines: dict[str, None] = {}
        for path in sorted(paths & self._items.keys()):
            item = self._items[path]
            info = self.sets.get(str(item.get("set")), {})
            source, licence = (_at(info.get(key), item.get(name)) for key, name in (("sources", "source"),
                                                                                     ("licences", "licence")))
            origin = f"{source.get('repo')} @ {str(source.get('commit'))[:12]}" if isinstance(source, dict) else source
            lines[f"{item.get('set')}: {origin}; {licence}"] = None
        return list(lines)

    def _info(self, name: str) -> Mapping[str, Any]:
        if name not in self.sets:
            raise InputError(f"set: got {name!r}, expected one that {self.folder / 'index.json'} has: "
                             f"{', '.join(self.sets) or 'none'}")
        return self.sets[name]

    def _sample(self, path: str, found: SampleSet, points: FloatArray | None = None,
                entry: Mapping[str, Any] | None = None) -> Sample | None:
        entry = entry or {}
        file = self.folder / path
        if not file.is_file():
            found.problems[path] = Problem(path, "missing file")
            return None
        item = self._items.get(path, {})
        tags = {*(item.get("tags") or ()), *(entry.get("tags") or ()), *_pose_tags(entry)}
        size = (int(entry["width"]), int(entry["height"])) if {"width", "height"} <= entry.keys() else None
        mask = self.folder / item["mask"] if isinstance(item.get("mask"), str) else None
        return Sample(path, file, str(item.get("rights") or "unclear"), tuple(sorted(str(t) for t in tags)), points,
                      size, str(item["sha256"]) if item.get("sha256") else None, mask,
                      str(entry.get("source_image") or entry.get("source_path") or item.get("source_path") or path))


def to_pixel_centres(points: NDArray[np.floating[Any]], to_crop: NDArray[np.floating[Any]] | None = None,
                     first: int = 1) -> FloatArray:
    """Stored label points (P, 2) → rtface's convention, float32; to_crop (2, 3) or None, see this module's text.

    first: the number of the first pixel, 1 (MATLAB) or 0.
    """
    linear = np.eye(2) if to_crop is None else np.asarray(to_crop, np.float64)[:, :2]
    return (np.asarray(points, np.float64) - linear @ np.array([first - 0.5, first - 0.5])).astype(np.float32)


def _points(entry: Mapping[str, Any]) -> FloatArray:
    """The 68 points of a label; InputError says what is wrong with them."""
    try:
        points = np.array(entry["points"], np.float64)
        to_crop = np.array(entry["to_crop"], np.float64) if entry.get("to_crop") is not None else None
    except (TypeError, ValueError) as exc:
        raise InputError(f"label that is no list of points ({exc})") from exc
    if to_crop is not None and to_crop.shape != (2, 3):
        raise InputError(f"got to_crop of shape {to_crop.shape}, expected (2, 3)")
    first = 0 if str(entry.get("set") or "").startswith(ZERO_BASED) else 1
    return to_pixel_centres(usable(to_68(points)), to_crop, first)


def usable(points: NDArray[Any]) -> NDArray[Any]:
    """Points (68, 2) that a face can have; InputError where they are not finite or have no extent."""
    extent = points.max(axis=0) - points.min(axis=0)
    if not np.isfinite(points).all() or not (extent > 0).all() or (points[36] == points[45]).all():
        raise InputError("label whose points are not finite or have no extent")
    return points


def _pose_tags(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """AFLW2000-3D's pose_para holds pitch, yaw, roll in rad: the tag of its yaw."""
    pose = entry.get("pose_para")
    return (yaw_tag(float(pose[1])),) if isinstance(pose, list) and len(pose) >= 3 else ()


def yaw_tag(yaw_rad: float) -> str:
    """The tag of a head's turn."""
    yaw = abs(float(np.degrees(yaw_rad)))
    return next((name for limit, name in YAW_BINS_DEG if yaw < limit), YAW_BINS_DEG[-1][1])


def _is(path: str, suffixes: frozenset[str]) -> bool:
    name = path.rpartition("/")[2]
    return not name.startswith(".") and Path(name).suffix.lower() in suffixes


def _at(values: Any, index: Any) -> Any:
    return values[index] if isinstance(values, list) and isinstance(index, int) and 0 <= index < len(values) else values


def _read_json(path: Path, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InputError(f"{path}: got {exc.strerror or exc}, expected {what}; give the folder with --data") from exc
    except ValueError as exc:
        raise InputError(f"{path}: got a damaged file ({exc}), expected {what}; copy it again") from exc
    if not isinstance(content, dict):
        raise InputError(f"{path}: got a {type(content).__name__}, expected {what}")
    return content
