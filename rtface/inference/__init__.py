"""Running networks: one description of tensors, one protocol, one file per backend."""

from rtface.inference.engine import Engine, available_backends, choose_backend, open_engine
from rtface.inference.fake import FakeEngine
from rtface.inference.probe import Choice
from rtface.inference.spec import EngineSpec, TensorSpec, read_spec, shipped_names, shipped_specs, verify_weights
from rtface.inference.threads import physical_cores

__all__ = [
    "Choice",
    "Engine",
    "EngineSpec",
    "FakeEngine",
    "TensorSpec",
    "available_backends",
    "choose_backend",
    "open_engine",
    "physical_cores",
    "read_spec",
    "shipped_names",
    "shipped_specs",
    "verify_weights",
]
