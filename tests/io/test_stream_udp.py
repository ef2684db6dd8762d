"""Addresses and datagrams of streams: nothing waits, nothing fails, everything is counted."""

from __future__ import annotations

import socket
import time

import pytest

from rtface.errors import InputError
from rtface.io.stream_sink import Address, UdpSender, parse_address


@pytest.fixture
def sender(udp):
    made = UdpSender(Address(*udp.getsockname()), stream="x")
    yield made
    made.close()


@pytest.mark.parametrize(("text", "expected"), [
    (None, ("127.0.0.1", 7)), ("", ("127.0.0.1", 7)), ("9000", ("127.0.0.1", 9000)),
    ("192.168.0.5", ("192.168.0.5", 7)), ("192.168.0.5:11111", ("192.168.0.5", 11111)),
    ("studio.local:80", ("studio.local", 80)), ("[::1]:9000", ("::1", 9000)), ("[fe80::1%eth0]", ("fe80::1%eth0", 7))])
def test_addresses(text, expected):
    address = parse_address(text, 7, stream="vmc")
    assert (address.host, address.port) == expected


@pytest.mark.parametrize("text", ["a:b", "a:", ":80", "::1", "http://a", "a b", "1:2:3", "[::1"])
def test_bad_addresses_are_told_with_an_example(text):
    with pytest.raises(InputError, match=r"vmc: got the address .* expected HOST:PORT such as 192\.168\.0\.5:39539"):
        parse_address(text, 39539, stream="vmc")


@pytest.mark.parametrize("text", ["0", "65536", "a:0", "a:99999"])
def test_ports_out_of_range(text):
    with pytest.raises(InputError, match=r"got port \d+, expected 1 to 65535"):
        parse_address(text, 39539, stream="vmc")


def test_addresses_are_written_as_they_are_read():
    for text in ("10.0.0.1:5", "[::1]:5"):
        assert str(parse_address(text, 1, stream="x")) == text


def test_datagrams_arrive(udp, sender):
    sender.send(b"one")
    sender.send(bytearray(b"two"))
    assert [udp.recv(10), udp.recv(10)] == [b"one", b"two"]
    assert sender.report() == "2 packets sent"
    sender.close()
    sender.close()
    with pytest.raises(InputError, match="closed"):
        sender.send(b"three")


def test_a_receiver_that_is_missing_and_comes_later(udp):
    address = udp.getsockname()
    udp.close()
    sender = UdpSender(Address(*address), stream="x")
    for _ in range(20):
        sender.send(b"lost")
        time.sleep(0.001)
    assert sender.dropped["nobody listens"] >= 10
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(address)
        late.settimeout(15)
        sender.send(b"heard")
        assert late.recv(10) == b"heard"
    assert "dropped (nobody listens" in sender.report()
    assert sender.sent + sum(sender.dropped.values()) >= 21
    sender.close()


def test_a_receiver_that_does_not_read_never_makes_the_sender_wait(sender):
    start = time.perf_counter()
    for _ in range(5000):
        sender.send(b"x" * 1400)  # 7 MB, far beyond the receiver's buffer
    assert time.perf_counter() - start < 30  # busy machines included
    assert sender.sent + sum(sender.dropped.values()) == 5000


def test_a_full_buffer_and_a_network_that_is_gone_are_counted(monkeypatch, sender):
    errors = [BlockingIOError(11, "busy"), OSError(105, "no buffer"), OSError(101, "Network is unreachable")]

    class Broken:
        def connect(self, target):
            pass

        def send(self, packet):
            raise errors.pop(0)

    with monkeypatch.context() as patch:
        patch.setattr(sender, "_socket", Broken())
        for _ in range(3):
            sender.send(b"x")
    assert dict(sender.dropped) == {"buffer full": 2, "Network is unreachable": 1} and sender.sent == 0
    assert sender.report() == "0 packets sent, 3 dropped (buffer full 2, Network is unreachable 1)"


def test_what_is_too_large_for_udp_is_counted(sender):
    sender.send(bytes(70_000))
    assert sender.dropped["too large for UDP"] == 1


def test_unknown_hosts_are_told_when_the_stream_opens():
    with pytest.raises(InputError, match=r"vmc: got the host 'no-such-host\.invalid', expected one that is known"):
        UdpSender(Address("no-such-host.invalid", 5), stream="vmc")


def test_ipv4_is_preferred_as_receivers_mostly_know_nothing_else(monkeypatch, udp):
    port = udp.getsockname()[1]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [
        (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))])
    sender = UdpSender(Address("localhost", port), stream="x")
    sender.send(b"four")
    assert udp.recv(10) == b"four"
    sender.close()
