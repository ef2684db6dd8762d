"""The page of all protocols: what is on it, what failed, and that nothing else is loaded."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rtface.errors import InputError
from rtface.evaluate import commands, html
from rtface.evaluate.dataset import Problem, SampleSet
from rtface.evaluate.report import Report, Table
from rtface.figures import svg
from rtface.figures.plot import Curve, Plot
from tests import blobs
from tests.evaluate.packs import small_pack


class Tags(HTMLParser):
    """Collects tags and text; refuses tags that are closed in the wrong order."""

    VOID = frozenset({"meta", "img", "br", "!doctype"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def parse(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    return tags


def test_tables_problems_and_failures_are_on_the_page() -> None:
    found = SampleSet("faces", (), 3, problems={"a.jpg": Problem("a.jpg", "<missing> & gone")})
    table = Table("Title <1>", ("name", "value"), [["a & b", 1.234], ["c", None]])
    report = Report("one", [table], [{"x": 1}], [found], notes=["a note"])
    page = html.page([html.Section("one", report, pictures=("one/worst.jpg",)),
                      html.Section("two", None, "no such set <x>")])
    tags = parse(page)
    text = " ".join(tags.words)
    for word in ("Title <1>", "a & b", "1.23", "–", "a.jpg: <missing> & gone", "1 problem, left out", "a note",
                 "Not measured: no such set <x>", "one/worst.jpg"):
        assert word in text
    assert "script" not in tags.seen and not re.search(r"(src|href)=\"(https?:)?//", page)
    assert list(html.document([html.Section("two", None, "why")])["protocols"]) == ["two"]


def test_all_protocols_make_one_page_and_a_failing_one_does_not_stop_the_rest(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtface.evaluate.scenes.SCENES", ("still",))  # drawing takes its time
    monkeypatch.setattr("rtface.evaluate.scenes.PEOPLE", 1)
    monkeypatch.setattr("rtface.evaluate.scenes.FRAMES", 3)
    pack = small_pack(tmp_path / "pack")
    lines: list[str] = []
    sections = commands.evaluate_all(commands.EvaluateOptions(data=pack), tmp_path / "report", engines=blobs.engines(),
                                     progress=lines.append)
    assert [s.protocol for s in sections] == list(commands.PROTOCOLS) and len(lines) >= len(sections)
    failed = {s.protocol: s.error for s in sections if s.report is None}
    assert "verification" in failed and "lfw" in failed["verification"]
    assert {"videos"} <= {s.protocol for s in sections if s.report is not None}
    page = (tmp_path / "report/index.html").read_text()
    parse(page)
    for section in sections:
        assert f'id="{section.protocol}"' in page
        assert all((tmp_path / "report" / picture).is_file() for picture in section.pictures)
    written = json.loads((tmp_path / "report/results.json").read_text())
    assert set(written["protocols"]) == set(commands.PROTOCOLS)


def test_options_of_single_protocols_and_public_folders_are_refused(tmp_path: Path) -> None:
    pack = small_pack(tmp_path / "pack")
    with pytest.raises(InputError, match="--set"):
        commands.evaluate_all(commands.EvaluateOptions(data=pack, sets=("lfw",)), tmp_path / "report")
    (tmp_path / "work/.git").mkdir(parents=True)
    with pytest.raises(InputError, match="inside the git working tree"):
        commands.evaluate_all(commands.EvaluateOptions(data=pack), tmp_path / "work/report")


def test_all_needs_a_folder(tmp_path: Path) -> None:
    from rtface.cli import app
    done = CliRunner().invoke(app, ["evaluate", "all", "--data", str(tmp_path)])
    assert done.exit_code == 1 and "got all without --out" in done.output


def test_one_protocol_makes_a_page_too(tmp_path: Path) -> None:
    pack = small_pack(tmp_path / "pack")
    options = commands.EvaluateOptions(data=pack, sets=("helen_test",))
    report = commands.evaluate_page("landmarks", options, tmp_path / "report", engines=blobs.engines())
    page = (tmp_path / "report/index.html").read_text()
    parse(page)
    assert report.results and 'id="landmarks"' in page and 'src="landmarks/worst_network.jpg"' in page
    with pytest.raises(InputError, match="--sheet-all: got a value, but the protocol landmarks with --out"):
        commands.evaluate_page("landmarks", commands.EvaluateOptions(data=pack, sheet_all=tmp_path), tmp_path / "x")


def test_plots_of_a_group_are_small_and_share_a_legend() -> None:
    curves = [Curve("off <1>", (0.1, 0.2), (1, 2), (0.5, 1.5), (1.5, 2.5)), Curve("on", (), ())]
    plots = [Plot("all", "x", "y", curves), *(Plot(kind, "x", "mm", curves, (0, 1), (0, 3), group="By kind")
                                              for kind in ("hand", "mask"))]
    page = html.page([html.Section("one", Report("one", [], [], [], curves=plots))])
    text = " ".join(parse(page).words)
    assert text.count("By kind") == 1 and all(kind in text for kind in ("hand", "mask"))
    assert page.count('class="plot"') == 3 and page.count(f'width="{svg.SMALL_WIDTH}"') == 2
    assert page.count('class="legend"') == 1 and page.count("</svg>off &lt;1&gt;</span>") == 1
    alone = svg.draw(Plot("all", "x", "y", [Curve("one", (0.2,), (1,), (0.5,), (1.5,)),
                                            Curve("gap", (0.1, 0.2, 0.3), (1, float("nan"), 2)),
                                            Curve("many", range(40), range(40))], (0, 40), (0, 40)))
    assert alone.count("<circle") == 3 and alone.count('stroke-width="1.5"') == 1  # the interval of the only point
    assert plots[1].document()["group"] == "By kind" and "group" not in plots[0].document()
