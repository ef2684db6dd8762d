"""docs/streaming.md says what the code does, and the measurement behind its table runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rtface.bench import streams
from rtface.io import STREAMS, livelink, openseeface, vmc

PAGE = (Path(__file__).parents[2] / "docs" / "streaming.md").read_text(encoding="utf-8")


def test_every_stream_is_in_the_table():
    rows = set(re.findall(r"^\| `([a-z-]+)` \|.*05_stream_out\.py clip\.mp4 \1", PAGE, re.M))
    assert rows == set(STREAMS)


def test_ports_are_those_of_the_code():
    for stream, port in (("vmc", vmc.PORT), ("livelink", livelink.PORT), ("openseeface", openseeface.PORT)):
        assert re.search(rf"^\| `{stream}` \|.*UDP 127\.0\.0\.1:{port}", PAGE, re.M)
        assert str(port) in STREAMS[stream]


def test_sizes_are_those_that_other_tests_hold():
    assert "A VMC bundle is 2808 bytes, a Live Link packet 312, an OpenSeeFace face 1785." in PAGE
    assert openseeface.FACE_BYTES == 1785


def test_the_json_members_named_are_those_of_the_schema():
    schema = json.loads((Path(vmc.__file__).parent / "frame_stream.schema.json").read_text())
    for name in [*schema["properties"], *schema["$defs"]["face"]["properties"]]:
        assert f"`{name}`" in PAGE


def test_python_of_the_page_runs():
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "docs/streaming.md", "exec"), {})


def test_the_measurement_runs(capsys):
    streams.main(["--frames", "20", "--rate", "500"])
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["benchmark"] == "streams" and len(report["results"]) == 12
    assert all(row["median_us"] > 0 and "20 " in row["report"] or "80 " in row["report"] for row in report["results"])
