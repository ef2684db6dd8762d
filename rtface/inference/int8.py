"""INT8 forms of networks (optional), made on this machine by ``python -m build_engines.quantize``.

They lie in ``int8`` of :func:`rtface.paths.cache`, described like the shipped ones, with the hash of the network that
they were made from (``source_sha256``). A network that lost too much by quantisation has a description with ``refused``
and no file: it runs as it was shipped. docs/backends.md says what is gained and lost.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from rtface.errors import ModelFileError
from rtface.inference.spec import EngineSpec, read_spec
from rtface.paths import cache

COMMAND: Final = "python -m build_engines.quantize"


def int8_folder() -> Path:
    """Where INT8 networks lie; it is not made here."""
    return cache() / "int8"


def int8_spec(spec: EngineSpec) -> EngineSpec:
    """The INT8 form of a network, or the network itself where quantisation was refused.

    ModelFileError when there is none, or one of other weights; the message names the command that makes it.
    """
    path = int8_folder() / f"{spec.name}.{spec.profile}.json"
    make = f"make it with: {COMMAND} {spec.name} --profile {spec.profile}"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        source, refused = described["source_sha256"], described.get("refused")
    except OSError as exc:
        raise ModelFileError(f"{path}: got {exc.strerror or exc}, expected the INT8 form of {spec.name}; "
                             f"{make}") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelFileError(f"{path}: got a file that does not describe a network ({type(exc).__name__}: {exc}), "
                             f"expected the INT8 form of {spec.name}; {make}") from exc
    if source != spec.sha256:
        raise ModelFileError(f"{path}: got the INT8 form of other weights ({str(source)[:12]}…), expected of "
                             f"{spec.sha256[:12]}…; {make}")
    return spec if refused else read_spec(spec.name, spec.profile, folder=path.parent)
