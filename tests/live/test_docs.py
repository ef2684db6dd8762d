"""docs/live.md says what the commands and the window say."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from rtface.cli import app
from rtface.live.streams import STREAMS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "live.md").read_text(encoding="utf-8")


def options(command: str) -> set[str]:
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    return {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)
            if name.startswith("--")} - {"--help"}


def test_every_option_of_live_is_named_and_no_other() -> None:
    section = TEXT[TEXT.index("## Options"):TEXT.index("## Measured")]
    named = set(re.findall(r"(?<!-)--[a-z][a-z-]*", section)) - {"--help"}
    assert named == options("live")
    allowed = options("live") | options("convert") | options("cameras")
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]*", TEXT)) - {"--help"} <= allowed


def test_every_key_is_in_the_table() -> None:
    from rtface.live.screen import Screen, ViewState

    screen = Screen.__new__(Screen)
    screen.state, screen._pipeline = ViewState(), None  # type: ignore[assignment]
    table = TEXT[TEXT.index("## Keys"):TEXT.index("A calibration belongs")]
    named = {key.strip().lower() for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
             for key in row.split(",")} - {"key", "esc", "space"}
    assert named == set(screen._actions())


def test_streams_are_named() -> None:
    section = TEXT[TEXT.index("## Streams"):TEXT.index("## The end")]
    assert all(f"`{name}`" in section for name in STREAMS)
