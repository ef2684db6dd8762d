"""What sends results to other programs while a run is going on: the base of its sinks, addresses, UDP."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rtface.errors import InputError
from rtface.types import FrameResult

LOCALHOST: Final = "127.0.0.1"
_REFUSED: Final = (errno.ECONNREFUSED, errno.ECONNRESET)
_FULL: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS)
_UDP_LIMIT: Final = 65_507  # bytes that one IPv4 datagram can carry


class StreamSink(ABC):
    """Sends every result to another program; a :class:`rtface.io.Sink`, and a context manager.

    A receiver that is missing, slow or gone never makes ``write`` wait or fail: what cannot be sent at once is dropped
    and counted, see :meth:`report`. Live frames age quickly; nothing is sent twice.
    """

    needs_mesh: bool = False

    def __init__(self, name: str) -> None:
        self.name = name
        """Protocol and address, such as ``vmc 127.0.0.1:39539``."""

    @abstractmethod
    def write(self, result: FrameResult) -> None:
        """Send one frame."""

    @abstractmethod
    def close(self) -> None:
        """Send what still can be sent at once, and let go of the connection; a second call does nothing."""

    @abstractmethod
    def report(self) -> str:
        """One line for the user: what was sent where, and what was dropped why."""

    def finish(self) -> list[Path]:
        """Close; there are no files."""
        self.close()
        return []

    def abort(self) -> None:
        """Close; what was sent cannot be taken back."""
        self.close()

    def __enter__(self) -> StreamSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str | None, port: int, *, stream: str) -> Address:
    """``HOST:PORT``, ``HOST``, ``PORT`` or ``[IPV6]:PORT``; what is left out is 127.0.0.1 and the protocol's port.

    stream: name for the error. Raises :class:`InputError`; nothing is looked up.
    """
    if not text:
        return Address(LOCALHOST, port)
    if text.isdecimal():
        host, number = LOCALHOST, text
    else:
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\[\]:/\s]+))(?::(\d+))?", text)
        if match is None:
            raise InputError(f"{stream}: got the address {text!r}, expected HOST:PORT such as 192.168.0.5:{port}")
        host, number = match.group(1) or match.group(2), match.group(3) or str(port)
    if not 1 <= int(number) <= 65_535:
        raise InputError(f"{stream}: got port {number}, expected 1 to 65535")
    return Address(host, int(number))


class UdpSender:
    """Datagrams to one address that are sent at once or dropped; never listens, never waits.

    The socket is connected, so that the system tells when nobody listens on a port of this machine (counted as
    ``nobody listens``; receivers may come later). Names are looked up once, here, IPv4 before IPv6 (receivers of
    these protocols mostly know IPv4 only): InputError when that fails.
    """

    def __init__(self, address: Address, *, stream: str) -> None:
        try:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
        except OSError as exc:
            raise InputError(f"{stream}: got the host {address.host!r}, expected one that is known here "
                             f"({exc.strerror or exc}); check the spelling or give its number") from exc
        family, _, _, _, target = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        self._target: Any = target
        self._socket: socket.socket | None = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._connected = False
        self.sent = 0
        self.dropped: Counter[str] = Counter()

    def send(self, packet: bytes | bytearray) -> None:
        """Send one datagram, or count why it was dropped."""
        if self._socket is None:
            raise InputError("got a frame for a stream that is closed, expected none after close()")
        if len(packet) > _UDP_LIMIT:
            self.dropped["too large for UDP"] += 1
            return
        try:
            if not self._connected:
                self._socket.connect(self._target)
                self._connected = True
            try:
                self._socket.send(packet)
            except ConnectionRefusedError:  # tells of the packet before; this one was not sent yet
                self.dropped["nobody listens"] += 1
                self.sent -= 1
                self._socket.send(packet)
            self.sent += 1
        except OSError as exc:
            if exc.errno in _FULL:
                reason = "buffer full"
            elif exc.errno in _REFUSED:
                reason = "nobody listens"
            else:
                reason = exc.strerror or str(exc)
            self.dropped[reason] += 1

    def close(self) -> None:
        """Let go of the socket."""
        sender, self._socket = self._socket, None
        if sender is not None:
            with contextlib.suppress(OSError):
                sender.close()

    def report(self) -> str:
        """``12 packets sent, 3 dropped (nobody listens 3)``."""
        return f"{self.sent} packets sent{counted(self.dropped)}"


def counted(dropped: Counter[str]) -> str:
    """``, 3 dropped (nobody listens 2, buffer full 1)``; nothing when nothing was dropped."""
    total = sum(dropped.values())
    return f", {total} dropped ({', '.join(f'{k} {n}' for k, n in dropped.most_common())})" if total else ""
