"""``__all__`` is the surface: sorted, complete, and everything in it exists."""

from __future__ import annotations

import importlib
import types

import pytest


def public_names(module: types.ModuleType) -> list[str]:
    """Names without an underscore that are neither modules nor ``from __future__`` features."""
    return sorted(name for name, value in vars(module).items()
                  if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations")


@pytest.mark.parametrize("name", ["rtface", "rtface.inference", "rtface.io", "rtface.render", "rtface.stream"])
def test_all_lists_exactly_the_public_names(name: str) -> None:
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(module.__all__)
    assert sorted(module.__all__) == public_names(module)


def test_ops_lists_names_that_exist() -> None:
    module = importlib.import_module("rtface.ops")  # its aliases for annotations are not part of the surface
    assert set(module.__all__) <= set(public_names(module))
