"""The page: it holds the figures, stands alone, and its drawings add up."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from rtface.bench.options import BenchOptions
from rtface.bench.page import write_bench_page
from rtface.bench.waterfall import LEFT, RIGHT, WIDTH, colors_of, draw_waterfall
from rtface.errors import InputError
from rtface.figures import svg
from tests.bench.benchmarks import document

SVG = "{http://www.w3.org/2000/svg}"


class Tags(HTMLParser):
    """Refuses tags that are closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "!doctype"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    options = BenchOptions(faces=(1, 2), streams=(1, 4), backends=("onnx", "openvino"))
    return write_bench_page(document(options=options, samples=True, frames=30))


def test_the_page_shows_everything_and_loads_nothing(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    text = " ".join(tags.words)
    for word in ("Frames that are done within a time", "Histogram", "Latency over faces", "Dropped frames over streams",
                 "onnx auto compact mask, 1 face, 4 streams", "end to end", "handover", "a <processor>", "Over time"):
        assert word in text, word
    assert "<script" not in page and not re.search(r"(src|href)=|url\(|@import", page)


def test_every_drawing_is_well_formed_and_within_its_frame(page: str) -> None:
    drawings = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.S)]
    assert len(drawings) == 2 + 4 + 6 + 6  # distributions, loads, waterfalls, time-lines
    for drawing in drawings:
        width, height = (float(drawing.attrib[name]) for name in ("width", "height"))
        for line in drawing.iter(f"{SVG}polyline"):
            points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
            assert all(svg.LEFT - 1 <= x <= width - svg.RIGHT + 1 and -1 <= y <= height + 1 for x, y in points)


def test_bars_follow_each_other_and_end_where_the_whole_ends() -> None:
    paced = document(samples=False)["cases"][0]["paced"]
    root = ElementTree.fromstring(draw_waterfall("a <title>", paced["parts_ms"], paced["end_to_end_ms"],
                                             colors_of(paced["parts_ms"])))
    bars = [(float(r.attrib["x"]), float(r.attrib["width"])) for r in root.iter(f"{SVG}rect")]
    assert len(bars) == len(paced["parts_ms"]) + 1 and bars[0][0] == LEFT
    for (x, width), (after, _) in zip(bars[:-2], bars[1:-1], strict=True):
        assert x + width == pytest.approx(after, abs=1)
    whole = WIDTH - LEFT - RIGHT
    assert bars[-1] == pytest.approx((LEFT, whole), abs=0.5)
    assert bars[-2][0] + bars[-2][1] == pytest.approx(LEFT + whole, abs=1)


def test_a_document_without_samples_is_an_error() -> None:
    with pytest.raises(InputError, match="without samples"):
        write_bench_page(document())


def test_a_case_without_any_result_is_named_and_left_out() -> None:
    found = document(samples=True)
    found["cases"][0]["paced"].update(end_to_end_ms=None, parts_ms={}, faces_seen=None)
    found["cases"][0]["free"].update(work_ms=None, stages_ms={}, fps=None)
    assert "no result within a round" in write_bench_page(found)
