"""Running networks: one description of tensors, one protocol, one file per backend."""

from rtface.inference.engine import Engine, available_backends, open_engine
from rtface.inference.fake import FakeEngine
from rtface.inference.spec import EngineSpec, TensorSpec, read_spec, shipped_specs, verify_weights

__all__ = [
    "Engine",
    "EngineSpec",
    "FakeEngine",
    "TensorSpec",
    "available_backends",
    "open_engine",
    "read_spec",
    "shipped_specs",
    "verify_weights",
]
