"""An engine without weights: any function behind the Engine protocol, for tests and for users' own programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rtface.errors import BackendError
from rtface.inference.spec import EngineSpec
from rtface.types import Array


class FakeEngine:
    """Answers :meth:`run` with a function; inputs and outputs are held against the specification."""

    def __init__(self, spec: EngineSpec, function: Callable[..., Mapping[str, Array]]) -> None:
        """function takes the inputs by name and returns the outputs by name."""
        self._spec = spec
        self._function: Callable[..., Mapping[str, Array]] | None = function
        self.calls = 0
        """How often :meth:`run` was called."""

    @property
    def spec(self) -> EngineSpec:
        """What it takes and gives."""
        return self._spec

    @property
    def backend(self) -> str:
        """For reports."""
        return "fake"

    def run(self, **inputs: Array) -> dict[str, Array]:
        """See :meth:`rtface.inference.Engine.run`."""
        if self._function is None:
            raise BackendError(f"engine {self._spec.name}: got run() after close(), expected an open engine")
        self._spec.check_inputs(inputs)
        self.calls += 1
        outputs = dict(self._function(**inputs))
        self._spec.check_outputs(outputs)
        return outputs

    def close(self) -> None:
        """Forget the function."""
        self._function = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
