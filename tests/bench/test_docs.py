"""The docs name every option that the commands have, and no other."""

import re
from pathlib import Path

import pytest
import typer

from rtface.bench.commands import app
from rtface.bench.document import SCHEMA, SCHEMA_FILE

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks-latency.md"
GROUP = typer.main.get_command(app)


def options(*names: str) -> set[str]:
    return {option for name in names for parameter in GROUP.commands[name].params
            for option in parameter.opts if option.startswith("--")} - {"--help"}


def documented(heading: str) -> set[str]:
    """Options in the table that begins with this heading."""
    table = PAGE.read_text().split(f"| `rtface bench {heading}")[1].split("\n\n")[0]
    cells = " ".join(line.split("|")[1] for line in table.splitlines()[2:])
    return set(re.findall(r"--[a-z-]+", cells)) - {"--backend all"}


@pytest.mark.parametrize(("heading", "names"), [
    ("[run]", ["run"]), ("compare", ["compare"]), ("engines", ["engines"]), ("clock", ["clock", "glass"])])
def test_options_and_docs_agree(heading: str, names: list[str]) -> None:
    assert documented(heading) == options(*names)


def test_every_command_is_on_the_page() -> None:
    text = PAGE.read_text()
    assert all(f"rtface bench {name}" in text or name == "run" for name in GROUP.commands)
    assert SCHEMA in text and SCHEMA_FILE.name in text and SCHEMA in SCHEMA_FILE.read_text()
    assert "python -m rtface.bench.ops" in text and "python -m rtface.bench.synth" in text


@pytest.mark.parametrize("line", re.findall(r"^rtface bench.*", PAGE.read_text() if PAGE.exists() else "", re.M))
def test_commands_on_the_page_can_be_parsed(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = line.partition("#")[0].split()[2:]
    called: list[str] = []
    for name, command in GROUP.commands.items():
        monkeypatch.setattr(command, "callback", lambda name=name, **values: called.append(name))
    with pytest.raises(SystemExit) as ended:
        GROUP(arguments, prog_name="rtface bench")
    assert ended.value.code in (0, None) and len(called) == 1
