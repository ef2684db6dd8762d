"""Opening streams by name: together, with faults, and without listening."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rtface.errors import InputError, OutputError
from rtface.io import STREAMS, Sink, StreamSink, open_streams

EVERYWHERE = ["vmc", "vmc-presets", "livelink", "openseeface"]


def test_streams_are_sinks(model, person, tmp_path):
    sinks: list[Sink] = list(open_streams([*EVERYWHERE, f"jsonl={tmp_path / 'x.jsonl'}"], model))
    for sink in sinks:
        assert sink.needs_mesh is False
        sink.write(person())
    assert [path for sink in sinks for path in sink.finish()] == [tmp_path / "x.jsonl"]
    for sink in sinks:
        sink.abort()


def test_names_lead_to_the_protocols_addresses(model):
    sinks = open_streams(["vmc", "vmc-presets=9000", "livelink=127.0.0.2", "openseeface=localhost:5"], model)
    assert [sink.name for sink in sinks] == ["vmc 127.0.0.1:39539", "vmc-presets 127.0.0.1:9000",
                                             "livelink 127.0.0.2:11111", "openseeface localhost:5"]
    for sink in sinks:
        sink.close()


@pytest.mark.parametrize("spec", ["", "osc", "=127.0.0.1", "VMC"])
def test_unknown_names_are_told_with_the_known_ones(model, spec):
    with pytest.raises(InputError, match=r"stream: got .* expected NAME or NAME=ADDRESS with a name of vmc, vmc"):
        open_streams([spec], model)


def test_what_was_opened_before_a_fault_is_closed(model, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr("rtface.io.vmc.VmcSink.close", lambda self: (closed.append(self.name), self._udp.close()))
    with pytest.raises(OutputError):
        open_streams(["vmc", f"jsonl={tmp_path / 'no' / 'x'}"], model)
    assert closed == ["vmc 127.0.0.1:39539"]


def test_places_are_shared_by_all_streams_of_a_run(model, person, udp):
    port = udp.getsockname()[1]
    first, second = open_streams([f"openseeface={port}", "vmc"], model)
    first.write(person(0, (5,)))
    second.write(person(0, (5,)))
    assert first._faces is second._faces
    for sink in (first, second):
        sink.close()


def listening() -> set[str]:
    """Local addresses of this process's listening TCP and bound UDP sockets, by the kernel's tables."""
    inodes = {str(path.readlink())[8:-1] for path in Path("/proc/self/fd").iterdir()
              if path.is_symlink() and str(path.readlink()).startswith("socket:[")}
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            unconnected = fields[2].endswith(":0000")
            if fields[9] in inodes and unconnected:
                found.add(f"{table} {fields[1]}")
    return found


def test_nothing_listens_unless_it_is_asked_for(model, person, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        assert any(f":{port:04X}" in address for address in listening())  # the test can see
    before = listening()
    sinks = open_streams([*EVERYWHERE, f"jsonl={tmp_path / 'x'}", f"websocket=ws://127.0.0.1:{port}"], model)
    for sink in sinks:
        sink.write(person())
    assert listening() == before
    for sink in sinks:
        sink.close()


def test_serving_listens_on_this_machine_only(model):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    before = listening()
    (sink,) = open_streams([f"websocket=serve:{port}"], model)
    assert listening() - before == {f"tcp 0100007F:{port:04X}"}
    sink.close()
    assert listening() == before


def test_every_stream_has_a_help_text():
    assert set(EVERYWHERE) < set(STREAMS) and all(STREAMS.values())
    assert isinstance(StreamSink, type)


def test_streams_load_their_packages_only_when_opened():
    program = ("import sys, rtface.io; "
               "sys.exit(any(m in sys.modules for m in ('pythonosc', 'websockets', 'pyvirtualcam', 'asyncio')))")
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=root,
                          env={"PYTHONPATH": str(root)}).returncode == 0
