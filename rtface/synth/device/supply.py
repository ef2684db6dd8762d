"""Endless batches on the device: processes make takes and setups meanwhile, and every take is filmed several times."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from rtface.errors import InputError
from rtface.synth.compose import grain_field
from rtface.synth.config import SynthConfig
from rtface.synth.device.studio import Loaded, Pictures, Reel, Studio
from rtface.synth.generator import SMALL, FaceFactory
from rtface.synth.people import sample_expression, sample_person
from rtface.synth.setups import Setup, sample_setup
from rtface.synth.shapes import FloatArray
from rtface.synth.shards import single_threaded_processes

AT_ONCE = 8
"""Takes that a process makes before it hands them over."""


class Order(NamedTuple):
    """What a supply draws; frozen, so that a seed and an order name its pictures on one kind of device."""

    batch: int = 64
    again: int = 12
    """Pictures of each take, from different places, under different light."""
    pool: int = 512
    """Takes on the device, of which a batch is mixed; about 2 MB each."""
    scenery: int = 256
    """Backgrounds, and as many fields of grain, on the device; mirrored at random, one is replaced per batch."""
    processes: int = 2
    seed: int = 0


class Supply:
    """Draws batches of :class:`Pictures` for as long as it is asked; a context that ends its processes."""

    def __init__(self, config: SynthConfig, device: torch.device, order: Order | None = None, *,
                 backgrounds: Path | None = None, factory: FaceFactory | None = None) -> None:
        """backgrounds: folder of pictures to mix with the procedural ones. factory: one that is there already."""
        self.order = order = order or Order()
        if min(order.batch, order.again, order.pool, order.scenery, order.processes) < 1:
            raise InputError(f"Order: got {order}, expected at least 1 of each")
        self.config, self.device = config, device
        self.studio = Studio(factory or FaceFactory(), config, device)
        self._context = single_threaded_processes(order.processes)
        self._workers: ProcessPoolExecutor = self._context.__enter__()
        self._arguments = (order.seed, order.again, config, backgrounds)
        self._asked = 0
        self._waiting: deque[Future[list[tuple[Reel, list[Setup]]]]] = deque()
        self._arrived: deque[tuple[Reel, list[Setup]]] = deque()
        self._pool: list[tuple[Loaded, list[Setup]]] = []
        self._rng = np.random.default_rng([order.seed, 1])
        self._noise = torch.Generator(device).manual_seed(order.seed)
        drawn = [self._workers.submit(_scenery, *self._arguments, k) for k in range(order.scenery)]
        self._ask()
        first = [future.result() for future in drawn]
        self._behind = torch.stack([self._there(b) for b, _ in first])
        self._grain = torch.stack([self._there(g) for _, g in first])
        self._scenes: Future[tuple[FloatArray, FloatArray]] = self._workers.submit(_scenery, *self._arguments,
                                                                                   order.scenery)
        self._batches = 0
        self._last: tuple[list[Loaded], list[Setup], Tensor, Tensor]

    def __enter__(self) -> Supply:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._scenes.cancel()
        for future in self._waiting:
            future.cancel()
        self._context.__exit__(*exception)

    def __iter__(self) -> Iterator[Pictures]:
        while True:
            yield self.draw()

    def draw(self) -> Pictures:
        """The next batch."""
        count, rng = self.order.batch, self._rng
        while len(self._pool) < self.order.pool:
            self._pool.append(self._loaded())
        chosen = rng.choice(len(self._pool), count, replace=count > len(self._pool))
        takes, setups = [], []
        for k in chosen:
            take, left = self._pool[k]
            if not left:  # drawn more often than it has setups, in a pool smaller than the batch
                take, left = self._pool[k] = self._loaded()
            takes.append(take)
            setups.append(left.pop())
        self._pool = [entry for entry in self._pool if entry[1]]
        self._change_scenery()
        at, mirror = rng.integers(len(self._behind), size=(2, count)), rng.random(count) < 0.5
        behind = self._behind[torch.from_numpy(at[0]).to(self.device)].float()
        mirrored = torch.from_numpy(mirror).to(self.device)[:, None, None, None]
        behind = torch.where(mirrored, behind.flip(-1), behind)
        grain = self._grain[torch.from_numpy(at[1]).to(self.device)].float()
        self._last = (takes, setups, behind, grain)
        return self.again()

    def again(self) -> Pictures:
        """The last batch once more, with other noise of the cameras: what the device takes alone."""
        return self.studio.shoot(*self._last, self._noise)

    def _loaded(self) -> tuple[Loaded, list[Setup]]:
        reel, setups = self._next()
        return Loaded.on(reel, self.device), setups

    def _next(self) -> tuple[Reel, list[Setup]]:
        if not self._arrived:
            self._arrived.extend(self._waiting.popleft().result())
            self._ask()
        return self._arrived.popleft()

    def _ask(self) -> None:
        """Keep every process busy, and one portion more in store for each."""
        while len(self._waiting) < 2 * self.order.processes:
            self._waiting.append(self._workers.submit(_takes, *self._arguments, self._asked))
            self._asked += 1

    def _change_scenery(self) -> None:
        behind, grain = self._scenes.result()
        k = self._batches % self.order.scenery
        self._behind[k], self._grain[k] = self._there(behind), self._there(grain)
        self._batches += 1
        self._scenes = self._workers.submit(_scenery, *self._arguments, self.order.scenery + self._batches)

    def _there(self, array: FloatArray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


@cache
def _factory(backgrounds: Path | None) -> FaceFactory:
    cv2.setNumThreads(1)
    return FaceFactory(backgrounds=backgrounds)


def _takes(seed: int, again: int, config: SynthConfig, backgrounds: Path | None,
           number: int) -> list[tuple[Reel, list[Setup]]]:
    """In another process: :data:`AT_ONCE` takes with ``again`` setups each."""
    factory, out = _factory(backgrounds), []
    for k in range(AT_ONCE):
        rng = np.random.default_rng([seed, 2, number, k])
        person = sample_person(rng, factory.model, texture_size=192 if config.size <= SMALL else 256)
        expression = sample_expression(rng, factory.model, person.identity)
        take = factory.stage(rng, person, expression, factory.choose_occluders(rng, config))
        out.append((Reel.of(take, factory.model.expression_names, dense=config.dense),
                    [sample_setup(rng, factory, take, config) for _ in range(again)]))
    return out


def _scenery(seed: int, _again: int, config: SynthConfig, backgrounds: Path | None,
             number: int) -> tuple[FloatArray, FloatArray]:
    """In another process: a background (3, S, S) and a field of grain (R, R), float16."""
    rng, side = np.random.default_rng([seed, 3, number]), round(config.size * config.supersample)
    behind = _factory(backgrounds).background(rng, config.size, config.size)
    grain = grain_field(rng, side, side)
    return np.ascontiguousarray(behind.transpose(2, 0, 1), np.float16), grain.astype(np.float16)
