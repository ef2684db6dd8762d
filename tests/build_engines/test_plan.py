"""Typed ONNX → engine by TensorRT for RTX, which builds without a GPU; networks are made here with onnx.helper."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from build_engines.plan import build_plan, parse_batch, shapes
from rtface.errors import BackendError, InputError, ModelFileError
from rtface.inference import EngineSpec, TensorSpec, nvidia, read_spec

SPEC = EngineSpec("tiny", "compact", (TensorSpec("x", ("N", 4)),), (TensorSpec("y", ("N", 4)),))


def network(op: str = "Relu", domain: str = "") -> bytes:
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], domain=domain)], "tiny",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])])
    opsets = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


def build(content: bytes | None = None, **options: Any) -> Any:
    return build_plan(network() if content is None else content, SPEC, **({"flavour": "rtx", "batch": (1, 2, 4)}
                                                                          | options))


def test_an_engine_is_built_without_a_gpu_and_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    plan = build()
    assert plan.sm == "any" and plan.profiles == ({"x": ((1, 4), (2, 4), (4, 4))},) and len(plan.content) > 100
    assert plan.version == nvidia.tensorrt_module("rtx").__version__ and plan.seconds > 0
    assert any("Engine generation" in line for line in plan.log)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("sm", "name"), [((75,), "sm75"), ((120, 86), "sm86+sm120")])
def test_targets_are_part_of_the_name(sm: tuple[int, ...], name: str) -> None:
    assert build(sm=sm).sm == name


def test_a_target_that_does_not_exist_is_told() -> None:
    with pytest.raises(InputError, match="--sm: got 90, expected some of 75, 80, 86, 89, 120"):
        build(sm=(86, 90))


@pytest.mark.parametrize(("content", "message"), [(b"nothing", "cannot read"), (network("Det"), "cannot read .*Det"),
                                                  (network("Nonsense", "made.up"), "cannot read .*Nonsense")],
                         ids=("nothing", "unsupported", "unknown"))
def test_networks_that_tensorrt_cannot_read_are_told(content: bytes, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        build(content)


def test_shapes_that_do_not_fit_the_network_are_told() -> None:
    wrong = EngineSpec("tiny", "compact", (TensorSpec("x", ("N", 5)),), (TensorSpec("y", ("N", 5)),))
    with pytest.raises(BackendError, match="tiny.compact|optimisation profile"):
        build_plan(network(), wrong, flavour="rtx", batch=(1, 2, 4))


def test_tensorrt_itself_needs_its_package_or_a_gpu() -> None:
    with pytest.raises(BackendError, match=r"rtface\[gpu\]|CUDA says"):
        build(flavour="tensorrt")


@pytest.mark.parametrize(("text", "batch"), [("1:4:8", (1, 4, 8)), ("3", (3, 3, 3)), ("2:2:2", (2, 2, 2))])
def test_batches_are_read(text: str, batch: tuple[int, int, int]) -> None:
    assert parse_batch(text) == batch


@pytest.mark.parametrize("text", ["", "0:1:2", "4:2:8", "1:2", "a:b:c", "1:2:3:4", "-1"])
def test_wrong_batches_are_told(text: str) -> None:
    with pytest.raises(InputError, match="--batch: got .*expected least:best:greatest"):
        parse_batch(text)


def test_the_detector_has_a_profile_for_each_of_its_two_looks() -> None:
    coarse, fine = shapes(read_spec("detector", "compact"), (1, 4, 8))
    assert coarse["image"] == ((1, 3, 64, 64), (1, 3, 192, 256), (1, 3, 256, 256))
    assert fine["image"] == ((1, 3, 64, 64), (1, 3, 512, 832), (1, 3, 832, 832))
    (faces,) = shapes(read_spec("complete", "compact"), (1, 4, 8))
    assert faces.keys() == {"crops", "mask", "contour"} and faces["mask"][2] == (8, 1, 128, 128)


def test_every_frame_that_the_detector_sees_fits_a_profile() -> None:
    import numpy as np

    from rtface.config import DetectorConfig
    from rtface.inference.manifest import fitting_profile
    from rtface.stages.detect import letterbox
    profiles = shapes(read_spec("detector", "compact"), (1, 1, 1))
    config = DetectorConfig()
    for height, width in ((1080, 1920), (1920, 1080), (480, 640), (2000, 2000), (60, 4000), (4000, 60)):
        for side, index in ((config.long_side, 0), (config.fine_side, 1)):
            image, _ = letterbox(np.zeros((height, width, 3), np.uint8), side)
            assert fitting_profile(profiles, {"image": image.shape}) == index


def test_onnx_of_this_test_is_sound() -> None:
    onnx.checker.check_model(onnx.load_model_from_string(network()))
