"""Files of MATLAB, by two packages that are installed only when asked for: ``pip install rtface[evaluate]``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rtface.errors import BackendError, InputError

HDF5: Final = b"\x89HDF"
"""What files of version 7.3 hold from byte 512 on (or from the start, when other tools wrote them)."""


def is_hdf5(path: Path) -> bool:
    """Whether MATLAB wrote the file as version 7.3; InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(516)
    except OSError as exc:
        raise InputError(f"{path}: got {exc.strerror or exc}, expected a file of MATLAB") from exc
    return HDF5 in (start[:4], start[512:])


def read_mat(path: Path, *names: str) -> list[Any]:
    """The variables of a file up to version 7; InputError when it is damaged or has no such variable.

    BackendError without SciPy.
    """
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as exc:
        raise BackendError(f"{path.name}: got no SciPy, which reads files of MATLAB; pip install rtface[evaluate]"
                           ) from exc
    try:
        content = loadmat(str(path), variable_names=names)
    except (OSError, ValueError, TypeError, IndexError, NotImplementedError, MatReadError) as exc:
        raise InputError(f"{path.name}: got a damaged file ({exc}), expected one of MATLAB") from exc
    if missing := [name for name in names if name not in content]:
        raise InputError(f"{path.name}: got no variable {', '.join(missing)}, expected {', '.join(names)}")
    return [content[name] for name in names]


def open_hdf5(path: Path) -> Any:
    """An open h5py file of version 7.3; InputError when it is damaged, BackendError without h5py."""
    try:
        import h5py
    except ImportError as exc:
        raise BackendError(f"{path.name}: got no h5py, which reads files of MATLAB 7.3; pip install rtface[evaluate]"
                           ) from exc
    try:
        return h5py.File(path, "r")
    except OSError as exc:
        raise InputError(f"{path.name}: got a damaged file ({exc}), expected one of MATLAB 7.3") from exc
