"""Distance of deep features in a hole: how different two pictures are to a network that knows faces.

As LPIPS does (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018,
eq. 1): activations of several layers, unit length over the channels, squared differences, means over places, mean over
layers. It is not LPIPS: the network is one of rtface's own instead of AlexNet or VGG, layers are not weighted by
people's judgements, and only the hole counts. Figures are therefore not to be compared with published LPIPS.

The ruler is the shipped landmark network, whatever weights are measured, so that figures of different networks can be
compared. No completion network was trained on its features (those of the segmentation network are N_syn's loss, which
would favour it). Tapped is what every convolution takes that halves the resolution, after its activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from rtface.errors import BackendError, InputError
from rtface.geometry import FloatArray
from rtface.inference import read_spec, verify_weights

RULER: Final = ("landmarks", "compact")
"""Name and profile of the network whose features are compared."""
TINY: Final = 1e-8


class FeatureDistance:
    """The ruler; opens its network once."""

    def __init__(self, network: tuple[str, str] = RULER) -> None:
        """network: name and profile among the shipped ones. BackendError without the package onnx."""
        try:
            import onnx
        except ImportError as exc:
            raise BackendError("deep features: got no package onnx, which opens a network's inner layers; "
                               "pip install rtface[evaluate]") from exc
        import onnxruntime as ort

        self.spec = read_spec(*network)
        model = onnx.load_from_string(verify_weights(self.spec))
        self.taps = halved_tensors(model.graph)
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.taps)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = ort.InferenceSession(model.SerializeToString(), options,
                                                  providers=["CPUExecutionProvider"])
        (self._input,) = (tensor.name for tensor in self.spec.inputs)
        self.size = int(self.spec.inputs[0].shape[-1])

    def describe(self) -> dict[str, Any]:
        """Which ruler it is, for reports."""
        return {"network": f"{self.spec.name}.{self.spec.profile}", "sha256": self.spec.sha256[:16],
                "layers": list(self.taps)}

    def distance(self, a: FloatArray, b: FloatArray, mask: NDArray[np.bool_]) -> float:
        """0 (equal) .. 4; a, b (H, W, 3) RGB 0..1, mask (H, W). NaN for an empty mask.

        Pictures of another size than the network's are scaled to it.
        """
        if a.shape != b.shape or a.ndim != 3 or a.shape[2] != 3 or mask.shape != a.shape[:2]:
            raise InputError(f"pictures: got {a.shape}, {b.shape} and a mask {mask.shape}, expected (H, W, 3) twice "
                             f"and (H, W)")
        if not mask.any():
            return float("nan")
        pictures = np.stack([_resized(picture, self.size).transpose(2, 0, 1) for picture in (a, b)])
        layers = self._session.run(list(self.taps), {self._input: np.ascontiguousarray(pictures, np.float32)})
        return feature_distance([layer[0] for layer in layers], [layer[1] for layer in layers], mask)


def feature_distance(first: Sequence[FloatArray], second: Sequence[FloatArray], mask: NDArray[np.bool_]) -> float:
    """Mean over layers of the mean over a mask (H, W), which must not be empty, of the squared distance of features.

    first, second: one (C, h, w) per layer; features have unit length over the channels. A place of a layer counts by
    the share of it that the mask covers.
    """
    out = []
    for one, other in zip(first, second, strict=True):
        weight = cv2.resize(mask.astype(np.float32), (one.shape[2], one.shape[1]), interpolation=cv2.INTER_AREA)
        apart = np.square(unit(one) - unit(other)).sum(axis=0)
        out.append(float((weight * apart).sum() / weight.sum()))
    return float(np.mean(out))


def unit(features: FloatArray) -> FloatArray:
    """(C, h, w) at length 1 over the channels; zeros stay zeros."""
    scaled: FloatArray = features / (np.sqrt(np.square(features).sum(axis=0, keepdims=True)) + TINY)
    return scaled


def halved_tensors(graph: Any) -> tuple[str, ...]:
    """Names of what the convolutions of stride 2 take in an ONNX graph, the picture itself left out; from the first on.

    InputError where there are none.
    """
    halving = [node for node in graph.node if node.op_type == "Conv" and any(
        attribute.name == "strides" and list(attribute.ints) == [2, 2] for attribute in node.attribute)]
    names = tuple(dict.fromkeys(node.input[0] for node in halving[1:]))  # the first one takes the picture
    if not names:
        raise InputError("deep features: got a network without convolutions of stride 2 behind the first one, expected "
                         "an encoder that halves the resolution several times")
    return names


def _resized(picture: FloatArray, size: int) -> FloatArray:
    if picture.shape[:2] == (size, size):
        return picture
    smooth = cv2.INTER_AREA if size < picture.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (size, size), interpolation=smooth), np.float32)
