"""The command ``rtface doctor``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rtface.cli_options import Debug, told_errors


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds that one look may take.")] = 60.0,
    debug: Debug = False,
) -> None:
    """Say what of this machine rtface can use, and how to mend the rest; exit code 1 when no video can be converted."""
    with told_errors(debug):
        from rtface.doctor import looks

        diagnosis = looks.examine(timeout)
        print(json.dumps(diagnosis.to_dict()) if as_json else "\n".join(diagnosis.lines()))
        if not diagnosis.able:
            raise typer.Exit(1)
