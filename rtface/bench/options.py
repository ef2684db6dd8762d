"""What is measured: options, and the cases that follow from them."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, cast, get_args

from rtface.config import (
    Backend,
    GapConfig,
    OcclusionConfig,
    PipelineConfig,
    Precision,
    Profile,
    Recipe,
    TrackerConfig,
)
from rtface.errors import InputError

MOST_STREAMS = 64
MOST_FACES = 16


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured."""

    backend: str
    precision: str
    profile: str
    recipe: str
    faces: int
    """The most faces that are followed; the demo clip shows as many."""
    streams: int
    """Cameras at the same time, each with a pipeline of its own."""

    @property
    def variant(self) -> tuple[str, str, str, str]:
        """What the networks run on and which they are; cases of one variant share pipelines."""
        return self.backend, self.precision, self.profile, self.recipe

    @property
    def label(self) -> str:
        """``onnx auto compact mask, 1 face, 4 streams``."""
        return (f"{' '.join(self.variant)}, {self.faces} face{'s' * (self.faces != 1)}, "
                f"{self.streams} stream{'s' * (self.streams != 1)}")

    @property
    def key(self) -> str:
        """The same in two runs that can be compared."""
        return "/".join(str(getattr(self, f.name)) for f in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """A benchmark of the pipeline; checked at construction (InputError)."""

    video: Path | None = None
    """None: the demo clip, drawn from ``seed``."""
    backends: tuple[str, ...] = ("auto",)
    precisions: tuple[str, ...] = ("auto",)
    profiles: tuple[str, ...] = ("compact",)
    recipes: tuple[str, ...] = ("mask",)
    faces: tuple[int, ...] = (1,)
    """Each is measured with one stream."""
    streams: tuple[int, ...] = (1,)
    """Each is measured with the first number of faces."""
    duration_s: float = 20.0
    """Seconds at the camera's rate per case, over all rounds; without waiting half as many."""
    rounds: int = 8
    """Cases take turns: every round measures each of them, every second round in the opposite order."""
    fps: float = 30.0
    """Of the simulated cameras."""
    threads: int | None = None
    stage_threads: int | None = None
    """See :class:`rtface.config.PipelineConfig`; None: what a run takes by itself."""
    render: bool = False
    """Draw the meshes over the frames in the thread that takes the results, as a window would (one stream only)."""
    warm_up_s: float = 20.0
    """Longest time that is waited for a case to become stable."""
    seed: int = 11

    def __post_init__(self) -> None:
        known: dict[str, tuple[str, ...]] = {"profiles": get_args(Profile), "recipes": get_args(Recipe),
                                             "precisions": get_args(Precision), "backends": get_args(Backend)}
        for name, choices in known.items():
            _chosen(name, getattr(self, name), choices)
        _counts("faces", self.faces, MOST_FACES)
        _counts("streams", self.streams, MOST_STREAMS)
        for name in ("duration_s", "fps", "warm_up_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise InputError(f"bench: got {name} {value!r}, expected a number above 0")
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or not 3 <= self.rounds <= 1000:
            raise InputError(f"bench: got {self.rounds!r} rounds, expected 3 to 1000; noise is judged between rounds")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"bench: got {self.threads} threads, expected at least 1")
        if self.duration_s / self.rounds * self.fps < 2 * SETTLE_FRAMES:
            raise InputError(f"bench: got {self.duration_s:g} s in {self.rounds} rounds at {self.fps:g} fps, expected "
                             f"at least {2 * SETTLE_FRAMES} frames in a round; the first {SETTLE_FRAMES} of each do "
                             f"not count; make --duration longer or --rounds fewer")

    def cases(self) -> list[Case]:
        """Variants in the order given; within each the numbers of faces, then of streams; no case twice."""
        loads = [(n, 1) for n in self.faces] + [(self.faces[0], n) for n in self.streams]
        if 1 not in self.streams and len(self.faces) == 1:
            loads = loads[1:]
        variants = itertools.product(self.backends, self.precisions, self.profiles, self.recipes)
        return list(dict.fromkeys(Case(*variant, *load) for variant in variants for load in loads))

    def config(self, case: Case) -> PipelineConfig:
        """Of each of the case's pipelines."""
        return PipelineConfig(profile=cast(Profile, case.profile), backend=cast(Backend, case.backend),
                              precision=cast(Precision, case.precision), threads=self.threads,
                              stage_threads=self.stage_threads,
                              tracker=TrackerConfig(faces=case.faces), gaps=GapConfig(),
                              occlusion=OcclusionConfig(recipe=cast(Recipe, case.recipe)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; of the video only its name."""
        return {**asdict(self), "video": None if self.video is None else self.video.name}


SETTLE_FRAMES = 10
"""Frames at the start of each round that do not count: the detector looks for faces there."""
FREE_SETTLE_FRAMES = 3
"""The same without waiting, where a slow machine may not get far in a round."""


def _chosen(name: str, values: tuple[str, ...], choices: tuple[str, ...]) -> None:
    if not values or not set(values) <= set(choices):
        raise InputError(f"bench: got {name} {', '.join(values) or 'none'}, expected some of {', '.join(choices)}")


def _counts(name: str, values: tuple[int, ...], most: int) -> None:
    if not values or not all(isinstance(v, int) and 1 <= v <= most for v in values):
        raise InputError(f"bench: got {name} {values}, expected whole numbers from 1 to {most}")
