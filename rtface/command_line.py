"""What all commands of ``rtface`` share: errors as one line, and the option that shows more of them."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from rtface.errors import RtfaceError

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@contextmanager
def told_errors(debug: bool, *, interrupted: str = "") -> Iterator[None]:
    """Known errors become one line on stderr and exit code 1; Ctrl-C exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"rtface: interrupted{interrupted}", file=sys.stderr)
        sys.exit(130)
    except RtfaceError as exc:
        if debug:
            traceback.print_exc()
        print(f"rtface: {' '.join(str(exc).split())}", file=sys.stderr)
        sys.exit(1)
