"""Stages as NVTX ranges, so that Nsight Systems shows them under the same names."""

from __future__ import annotations

from typing import Any, Final

from rtface.errors import BackendError

DOMAIN: Final = "rtface"


class NvtxRanges:
    """A :class:`rtface.stream.StageObserver`: one range per stage, in the stage's thread, in the domain ``rtface``."""

    def __init__(self) -> None:
        """BackendError without the package nvtx."""
        try:
            import nvtx
        except ImportError as exc:
            raise BackendError(f"NVTX ranges: got {exc}, expected the package nvtx; install it with: "
                               f"pip install 'rtface[bench]'") from exc
        self._domain: Any = nvtx.get_domain(DOMAIN)
        self._attributes: dict[str, Any] = {}

    def begin(self, name: str) -> None:
        """Push a range."""
        attributes = self._attributes.get(name)
        if attributes is None:
            attributes = self._attributes[name] = self._domain.get_event_attributes(message=name)
        self._domain.push_range(attributes)

    def end(self, name: str, frame: int) -> None:
        """Pop it."""
        self._domain.pop_range()
