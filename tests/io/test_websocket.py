"""WebSocket stream: as a client and as a server, with receivers that are late, slow, gone or not welcome."""

from __future__ import annotations

import builtins
import json
import queue
import socket
import statistics
import threading
import time
from contextlib import nullcontext

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from rtface.errors import InputError, OutputError
from rtface.io.websocket import WebSocketSink


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def until(condition, seconds=20.0):
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def receiver():
    """A server of the user's; gives its URL and what it heard."""
    heard = queue.Queue()

    def listen(connection):
        for message in connection:
            heard.put(json.loads(message))

    with serve(listen, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/faces", heard
        server.shutdown()
        thread.join()


def test_connects_and_sends_every_frame(receiver, model, person):
    url, heard = receiver
    sink = WebSocketSink(url, model.expression_names)
    until(lambda: sink._clients)
    for k in range(5):
        sink.write(person(k, jawOpen=0.5))
        time.sleep(0.01)
    sink.close()
    messages = [heard.get(timeout=15) for _ in range(5)]
    assert [m["index"] for m in messages] == [0, 1, 2, 3, 4]
    assert messages[0]["faces"][0]["curves"]["jawOpen"] == 0.5
    assert sink.report() == f"websocket {url}: 5 messages sent"


def test_what_waits_at_the_end_is_sent(receiver, model, person):
    url, heard = receiver
    sink = WebSocketSink(url, model.expression_names)
    until(lambda: sink._clients)
    for k in range(4):
        sink.write(person(k))
    sink.close()
    assert [heard.get(timeout=15)["index"] for _ in range(4)] == [0, 1, 2, 3]


def test_a_server_that_is_not_there_is_tried_again(monkeypatch, model, person):
    monkeypatch.setattr("rtface.io.websocket.RETRY_S", 0.1)
    port = free_port()
    sink = WebSocketSink(f"ws://127.0.0.1:{port}", model.expression_names)
    for k in range(10):
        sink.write(person(k))
    until(lambda: sink._trouble)
    heard = queue.Queue()
    with serve(lambda connection: [heard.put(m) for m in connection], "127.0.0.1", port) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        until(lambda: sink._clients)
        sink.write(person(99))
        assert json.loads(heard.get(timeout=15))["index"] == 99
        sink.close()
        server.shutdown()
        thread.join()
    assert "1 messages sent, 10 frames without a receiver (" in sink.report() and str(port) in sink.report()


def test_closing_without_a_receiver_is_quick(model, person):
    sink = WebSocketSink(f"ws://127.0.0.1:{free_port()}", model.expression_names)
    sink.write(person())
    start = time.perf_counter()
    sink.close()
    sink.close()
    assert time.perf_counter() - start < 10
    with pytest.raises(InputError, match="closed"):
        sink.write(person())


def test_a_server_that_refuses_says_why_in_the_report(monkeypatch, model, person):
    monkeypatch.setattr("rtface.io.websocket.RETRY_S", 0.1)

    def refuse(connection, request):
        return connection.respond(404, "no faces here")

    with serve(lambda connection: None, "127.0.0.1", 0, process_request=refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        sink = WebSocketSink(f"ws://127.0.0.1:{server.socket.getsockname()[1]}", model.expression_names)
        until(lambda: sink._trouble)
        sink.write(person())
        sink.close()
        server.shutdown()
        thread.join()
    assert "1 frames without a receiver (" in sink.report() and "404" in sink.report()


def test_serves_those_who_connect(model, person):
    port = free_port()
    with WebSocketSink(f"serve:{port}", model.expression_names) as sink:
        assert sink.address == ("127.0.0.1", port)
        with connect(f"ws://127.0.0.1:{port}") as one, connect(f"ws://127.0.0.1:{port}") as two:
            until(lambda: len(sink._clients) == 2)
            sink.write(person(4))
            assert json.loads(one.recv(timeout=15))["index"] == json.loads(two.recv(timeout=15))["index"] == 4
            one.close()
            until(lambda: len(sink._clients) == 1)
            sink.write(person(5))
            assert json.loads(two.recv(timeout=15))["index"] == 5


def test_a_receiver_that_does_not_read_never_makes_the_run_wait(model, person):
    port = free_port()
    result = person(0, range(8))
    with WebSocketSink(f"serve:{port}", model.expression_names) as sink:
        with connect(f"ws://127.0.0.1:{port}", max_queue=1, compression=None):
            until(lambda: sink._clients)
            times = []
            for _ in range(1500):  # 18 MB, beyond what sockets hold
                start = time.perf_counter()
                sink.write(result)
                times.append(time.perf_counter() - start)
            assert statistics.median(times) < 0.05 and max(times) < 5  # one that waited would wait for ever
            assert sink.dropped["receiver too slow"] > 100
        start = time.perf_counter()
    assert time.perf_counter() - start < 15
    assert "dropped (receiver too slow" in sink.report()


@pytest.mark.parametrize(("origin", "welcome"), [
    (None, True), ("http://localhost:8000", True), ("http://127.0.0.1", True), ("https://[::1]:3000", True),
    ("https://example.com", False), ("http://localhost.example.com", False), ("null", False)])
def test_pages_of_other_sites_may_not_listen_in(model, origin, welcome):
    port = free_port()
    with WebSocketSink(f"serve:{port}", model.expression_names):
        with nullcontext() if welcome else pytest.raises(InvalidStatus, match="403"), \
                connect(f"ws://127.0.0.1:{port}", origin=origin) as connection:
            assert connection.response.status_code == 101


def test_a_port_that_is_taken_is_told(model):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OutputError, match=rf"cannot listen on 127\.0\.0\.1:{port} \(.*\); choose another port"):
            WebSocketSink(f"serve:{port}", model.expression_names)


@pytest.mark.parametrize("target", [None, "", "serve:", "localhost:80", "http://localhost", "ws://", "serve:a:b"])
def test_bad_targets_are_told(model, target):
    with pytest.raises(InputError, match=r"websocket: got .*, expected (ws://HOST|a URL such as ws://|HOST:PORT)"):
        WebSocketSink(target, model.expression_names)


def test_without_websockets_the_package_is_named(model, monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **options):
        if name.startswith("websockets"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(OutputError, match=r"websockets.*pip install 'rtface\[stream\]'"):
        WebSocketSink("serve:8765", model.expression_names)
