"""Compiled engines on a real GPU: every shipped network, against float32, with CUDA graphs and without."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from build_engines import samples, tasks
from build_engines.build import Order, answers, build
from build_engines.networks import load_module
from build_engines.plan import parse_batch
from rtface.inference import read_spec, shipped_specs
from rtface.inference.nvidia import gpu_capability
from rtface.inference.tensorrt import TensorRtEngine

FLAVOURS = [name for name, module in (("rtx", "tensorrt_rtx_bindings"), ("tensorrt", "tensorrt"))
            if importlib.util.find_spec(module) is not None]
RTX_TARGETS = (75, 80, 86, 89, 120, 121)
pytestmark = [pytest.mark.needs_cuda, pytest.mark.slow]


def usable(flavour: str) -> None:
    """TensorRT for RTX is not made for data-centre GPUs such as Hopper."""
    if flavour == "rtx" and gpu_capability() not in RTX_TARGETS:
        pytest.skip(f"TensorRT for RTX does not know compute capability {gpu_capability()}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engines")


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", [spec.name for spec in shipped_specs()])
def test_every_engine_answers_as_float32_does_with_and_without_a_graph(name: str, flavour: str, folder: Path) -> None:
    usable(flavour)
    spec = read_spec(name, "compact")
    build(name, Order(flavour=flavour, batch=parse_batch("1:4:8"), out=folder))  # type: ignore[arg-type]
    feeds = samples.realistic(spec)
    reference = answers(load_module(spec), spec, feeds)
    given = {}
    for graph in (False, True):
        with TensorRtEngine(spec, flavour=flavour, folder=folder, graph=graph) as engine:  # type: ignore[arg-type]
            for _ in range(3):  # plain, captured, replayed
                given[graph] = [engine.run(**feed) for feed in feeds]
            if graph:
                assert any(prepared.graph is not None for prepared in engine._prepared.values())
            for extreme, feed in samples.extreme(spec):
                assert all(np.isfinite(value).all() for value in engine.run(**feed).values()), extreme
        figures = tasks.compare(name, feeds, reference, given[graph])
        assert all(figure.kept for figure in figures), figures
    for plain, replayed in zip(given[False], given[True], strict=True):
        for tensor in plain:
            np.testing.assert_array_equal(plain[tensor], replayed[tensor])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_other_inputs_give_other_answers_through_the_same_graph(flavour: str, folder: Path) -> None:
    usable(flavour)
    spec = read_spec("landmarks", "compact")
    build("landmarks", Order(flavour=flavour, batch=parse_batch("1:4:8"), out=folder))  # type: ignore[arg-type]
    (feed,) = samples.realistic(spec)
    with TensorRtEngine(spec, flavour=flavour, folder=folder) as engine:  # type: ignore[arg-type]
        whole = engine.run(**feed)["landmarks"]
        for count in (1, 2, 4, 1, 2, 4, 1):
            for start in range(0, 8, count):
                part = engine.run(crops=feed["crops"][start:start + count])["landmarks"]
                np.testing.assert_allclose(part, whole[start:start + count], atol=0.1)
