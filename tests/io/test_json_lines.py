"""JSON of frames: valid by its schema, and lines that never make a run wait."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import rtface.io
from rtface.errors import InputError, OutputError
from rtface.io.frame_message import frame_line, frame_message
from rtface.io.json_lines import JsonLinesSink
from rtface.types import Completion, FaceCrops, FaceStatus, Occlusion, Structure

SCHEMA = json.loads((Path(rtface.io.__file__).parent / "frame_stream.schema.json").read_text())


@pytest.fixture(scope="module")
def validator():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


def with_occlusion(result, fractions, completed=()):
    n = len(fractions)
    transform = np.zeros((n, 2, 3), np.float32)
    occlusion = Occlusion(np.zeros((n, 3, 4, 4), np.float32), np.zeros((n, 1, 4, 4), np.float32),
                          np.array(fractions, np.float32), transform)
    m = len(completed)
    crops = FaceCrops(np.zeros((m, 3, 4, 4), np.float32), transform[:m], np.array(completed, np.int32))
    hole = np.zeros((m, 1, 4, 4), np.float32)
    completion = Completion(crops, hole, Structure(hole), crops) if m else None
    return replace(result, occlusion=occlusion, completion=completion)


def test_messages_are_valid_and_hold_what_the_result_holds(validator, model, person):
    result = replace(with_occlusion(person(7, (3, 5), pitch=5, yaw=-20, jawOpen=0.5, captured_ns=time.monotonic_ns()),
                                    (0.75, 1.0), completed=(3,)), dropped_before=2, cut=True)
    message = json.loads(frame_line(result, model.expression_names))
    validator.validate(message)
    assert (message["schema"], message["version"], message["index"], message["pts_s"]) == ("rtface.frame", 1, 7, 0.28)
    assert (message["width"], message["height"], message["cut"], message["dropped_before"]) == (640, 480, True, 2)
    assert message["captured_unix_s"] == pytest.approx(time.time(), abs=5)
    face, other = message["faces"]
    assert (face["id"], other["id"], face["status"]) == (3, 5, "tracked")
    assert face["rotation_rad"] == pytest.approx({"pitch": np.deg2rad(5), "yaw": np.deg2rad(-20), "roll": 0}, abs=1e-5)
    assert face["confidence"] == pytest.approx(0.8) and face["translation_px"] == [330, 230]
    assert face["visibility"] == {"brows": 1, "eyes": 0.5, "nose": 1, "mouth": 0.25, "jaw": 1, "cheeks": 1}
    assert face["occlusion"] == {"visible_fraction": 0.75, "completed": True}
    assert other["occlusion"] == {"visible_fraction": 1, "completed": False}
    assert list(face["curves"]) == list(model.expression_names[:52]) and face["curves"]["jawOpen"] == 0.5


def test_unknown_things_are_null_and_absent_faces_bare(validator, model, person):
    message = frame_message(person(), model.expression_names)
    assert message["captured_unix_s"] is None and message["faces"][0]["occlusion"] is None
    held = frame_message(with_occlusion(person(status=FaceStatus.HELD), (0.0,)), model.expression_names)
    assert held["faces"][0]["status"] == "held" and held["faces"][0]["occlusion"] is None
    absent = frame_message(person(status=FaceStatus.ABSENT), model.expression_names)
    assert absent["faces"] == [{"id": 0, "status": "absent"}]
    empty = frame_message(person(0, ()), model.expression_names)
    assert empty["faces"] == []
    broken = person()
    broken.coefficients.rotation[0, 0] = np.nan
    nan = frame_message(broken, model.expression_names)
    assert nan["faces"] == [{"id": 0, "status": "absent"}]
    for each in (message, held, absent, empty, nan):
        validator.validate(json.loads(json.dumps(each, allow_nan=False)))


@pytest.mark.parametrize("spoil", [
    lambda m: m.pop("version"), lambda m: m.update(version=2), lambda m: m.update(extra=1),
    lambda m: m["faces"][0].update(status="lost"), lambda m: m["faces"][0]["curves"].pop("jawOpen"),
    lambda m: m["faces"][0]["curves"].update(jawOpen=1.5), lambda m: m["faces"][0]["visibility"].pop("jaw"),
    lambda m: m["faces"][0].pop("occlusion"), lambda m: m["faces"][0]["rotation_rad"].update(yaw="left")])
def test_the_schema_notices_what_is_wrong(validator, model, person, spoil):
    message = frame_message(person(), model.expression_names)
    validator.validate(message)
    spoil(message)
    assert not validator.is_valid(message)


def test_every_result_of_random_numbers_is_valid(validator, media, model):
    for seed in range(5):
        result = media.make_result(seed, range(seed), seed=seed)
        validator.validate(json.loads(frame_line(result, model.expression_names)))


def test_a_file_holds_every_line(tmp_path, model, person):
    path = tmp_path / "faces.jsonl"
    with JsonLinesSink(str(path), model.expression_names) as sink:
        for k in range(5):
            sink.write(person(k))
        assert len(path.read_text().splitlines()) == 5  # each line is there at once
        assert sink.finish() == [path]
    assert [json.loads(line)["index"] for line in path.read_text().splitlines()] == [0, 1, 2, 3, 4]
    assert sink.report() == f"jsonl {path}: 5 lines"
    with pytest.raises(InputError, match="closed"):
        sink.write(person())


def test_files_that_are_there_are_kept(tmp_path, model):
    path = tmp_path / "mine.txt"
    path.write_text("precious")
    with pytest.raises(OutputError, match=r"mine\.txt is there already; move it away"):
        JsonLinesSink(str(path), model.expression_names)
    assert path.read_text() == "precious"
    with pytest.raises(OutputError, match="folder is missing"):
        JsonLinesSink(str(tmp_path / "no" / "x"), model.expression_names)


def test_a_full_disk_is_an_error_and_keeps_the_lines_before(full_disk, model, person):
    path = full_disk.folder / "x.jsonl"
    sink = JsonLinesSink(str(path), model.expression_names)
    sink.write(person())
    full_disk()
    with pytest.raises(OutputError, match=full_disk.message):
        for k in range(1000):
            sink.write(person(k))
    sink.close()
    assert json.loads(path.read_text().splitlines()[0])["index"] == 0


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    ends = {"reader": reader, "writer": writer}
    yield ends
    for end in ends.values():
        if end is not None:
            os.close(end)


def test_a_reader_that_stops_reading_never_makes_the_run_wait(pipe, model, person):
    result = person(0, range(4))
    sink = JsonLinesSink("-", model.expression_names, handle=pipe["writer"])
    start = time.perf_counter()
    for _ in range(400):
        sink.write(result)  # 3 MB into a pipe of 64 kB that nobody empties
    assert time.perf_counter() - start < 30  # a write that waited would wait for ever
    assert sink.dropped > 50
    start = time.perf_counter()
    sink.close()
    assert time.perf_counter() - start < 10
    assert "dropped (reader too slow)" in sink.report() and sink.lines + sink.dropped == 400
    os.set_blocking(pipe["reader"], False)
    *whole, _ = os.read(pipe["reader"], 1 << 20).split(b"\n")
    assert whole and all(json.loads(line)["index"] == 0 for line in whole)


def test_lines_that_waited_are_written_whole_when_the_reader_is_back(pipe, model, person):
    result = person(0, range(4))
    sink = JsonLinesSink("-", model.expression_names, handle=pipe["writer"])
    for _ in range(60):
        sink.write(result)
    os.set_blocking(pipe["reader"], False)
    text = bytearray()
    for _ in range(200):
        try:
            text += os.read(pipe["reader"], 1 << 20)
        except BlockingIOError:
            pass
        sink._push(0.0)
    sink.close()
    assert text.count(b"\n") == sink.lines == 60 and sink.dropped == 0
    assert all(json.loads(line) for line in text.decode().splitlines())


def test_a_reader_that_goes_is_counted_and_the_run_goes_on(pipe, model, person):
    sink = JsonLinesSink("-", model.expression_names, handle=pipe["writer"])
    sink.write(person(0))
    os.close(pipe["reader"])
    pipe["reader"] = None
    for k in range(10):
        sink.write(person(k))
    sink.close()
    assert sink.report() == "jsonl -: 1 lines, 10 dropped (reader gone)"


def test_named_pipes(tmp_path, model, person):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OutputError, match="which nobody reads; start its reader first"):
        JsonLinesSink(str(path), model.expression_names)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with JsonLinesSink(str(path), model.expression_names) as sink:
        sink.write(person(3))
        assert json.loads(os.read(reader, 1 << 16))["index"] == 3
        assert sink.finish() == []
    os.close(reader)
