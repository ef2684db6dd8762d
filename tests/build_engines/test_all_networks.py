"""Every network and every profile: traced, exported as typed ONNX, built by TensorRT for RTX; `paper` untrained."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
import torch

from build_engines import networks, precision, tasks, typed_onnx
from build_engines.plan import build_plan
from rtface.config import Profile
from rtface.errors import InputError, ModelFileError
from rtface.inference.spec import read_spec, shipped_specs

DELICATE = ("softmax", "instance_norm", "mean", "exp", "stack", "cat")
"""Kept in float32 here, so that casts lie before and after every kind of layer."""
SHIPPED = {(spec.name, spec.profile) for spec in shipped_specs()}


@pytest.mark.slow
@pytest.mark.parametrize("profile", get_args(Profile))
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_it_exports_and_builds(name: str, profile: str, tmp_path: Path) -> None:
    folder = None
    if (name, profile) not in SHIPPED:
        networks.write_untrained(name, profile, tmp_path)
        folder = tmp_path
    spec = read_spec(name, profile, folder=folder)
    module = networks.load_module(spec)
    graph = precision.trace(precision.fold_batch_norm(module), networks.examples(spec),
                            networks.free_sizes(spec.inputs))
    float32 = frozenset(node.name for node in precision.layers(graph)
                        if node.name.startswith(DELICATE)) | {precision.layers(graph)[-1].name}
    typed = typed_onnx.export(graph, float32, spec)
    assert typed.half_weights > typed.float_weights

    session = onnxruntime.InferenceSession(typed.content, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    feed = {t.name: generator.random([{"N": 1, "H": 64, "W": 128}.get(s, 1) if isinstance(s, str) else s
                                      for s in t.shape], np.float32) for t in spec.inputs}
    got = session.run([t.name for t in spec.outputs], feed)
    with torch.no_grad():
        wanted = module(*[torch.from_numpy(feed[t.name]) for t in spec.inputs])
    for value, want in zip(got, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert value.dtype == np.float32 and value.shape == want.shape
        answer = want.numpy()
        assert np.abs(value - answer).mean() < 1e-4 + 0.1 * (answer.std() + 0.02 * np.abs(answer).max())

    plan = build_plan(typed.content, spec, flavour="rtx", batch=(1, 1, 2))
    assert len(plan.content) > typed.half_weights / 2


def test_every_shipped_network_and_every_task_is_known() -> None:
    assert {name for name, _ in SHIPPED} <= networks.NETWORKS.keys() == tasks._TASKS.keys()


def test_unknown_networks_and_foreign_configurations_are_told() -> None:
    with pytest.raises(InputError, match="network: got 'nose', expected one of detector"):
        networks.network("nose")
    kind = networks.NETWORKS["regressor"].config
    with pytest.raises(ModelFileError, match=r"x.json: got depth in the configuration, which RegressorConfig"):
        networks.config_from(kind, {"size": 128, "depth": 3}, "x.json")
    with pytest.raises(ModelFileError, match=r"expected one of MobileNetConfig, ResNetConfig"):
        networks.config_from(kind, {"trunk": {"layers": 3}}, "x.json")


def test_configurations_come_back_from_their_json() -> None:
    import dataclasses
    import json
    for name, entry in networks.NETWORKS.items():
        for profile in get_args(Profile):
            config = entry.config.profile(profile)
            values = json.loads(json.dumps(dataclasses.asdict(config)))
            assert networks.config_from(entry.config, values, name) == config
