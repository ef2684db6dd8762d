"""WebSocket: the JSON of every frame (:mod:`rtface.io.frame_message`) as a text message.

Connects to a server of the user's, or serves on this machine when asked to. Everything that waits happens in a thread
of its own; a run only puts text into short queues.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from rtface.errors import InputError, OutputError
from rtface.io.atomic import output_error
from rtface.io.frame_message import frame_line
from rtface.io.stream_sink import Address, StreamSink, counted, parse_address
from rtface.types import FrameResult

QUEUE: Final = 8
"""Frames that wait for a slow receiver; then its oldest is dropped."""
RETRY_S: Final = 1.0
CLOSING_S: Final = 1.0
LOCAL_PAGES: Final = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Web pages that may listen in; others that happen to be open in a browser here must not see faces."""

Messages = asyncio.Queue[str | None]


class WebSocketSink(StreamSink):
    """Sends to ``ws://…`` or ``wss://…`` (tried again every second until it answers), or to all who connect.

    target: the URL, or ``serve:PORT`` to serve on 127.0.0.1, or ``serve:HOST:PORT`` for another address of this
    machine. Programs may connect to the served port, and pages of this machine's own web servers.
    """

    def __init__(self, target: str | None, names: Sequence[str]) -> None:
        """InputError for another target, OutputError without the package websockets or for a port that is taken."""
        super().__init__(f"websocket {target}")
        self._names = tuple(names)
        self._clients: set[Messages] = set()
        self._waiting = 0  # frames on their way into the thread
        self.frames, self.sent, self.unheard = 0, 0, 0
        self.dropped: Counter[str] = Counter()
        self._trouble = ""  # why the last attempt to connect failed
        work = self._work(target)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._live, args=(work,), name="rtface-websocket", daemon=True)
        self._thread.start()

    def _work(self, target: str | None) -> Callable[[], Coroutine[Any, Any, None]]:
        """What the thread shall do; errors of the user's are found here, before it starts."""
        try:
            import websockets  # noqa: F401
        except ImportError as exc:
            raise OutputError("websocket: got no package websockets, expected it for this stream; "
                              "pip install 'rtface[stream]'") from exc
        if target and target.startswith(("ws://", "wss://")):
            from websockets.exceptions import InvalidURI
            from websockets.uri import parse_uri
            try:
                parse_uri(target)
            except (InvalidURI, ValueError) as exc:
                raise InputError(f"websocket: got {target!r}, expected a URL such as ws://127.0.0.1:8765/") from exc
            return lambda: self._connect(target)
        if target and target.startswith("serve:") and target.removeprefix("serve:"):
            listener = _bound(parse_address(target.removeprefix("serve:"), 8765, stream="websocket"))
            self.address = listener.getsockname()[:2]
            return lambda: self._serve(listener)
        raise InputError(f"websocket: got {target or 'no address'!r}, expected ws://HOST:PORT/PATH to connect to, or "
                         f"serve:PORT to wait for receivers on this machine")

    def write(self, result: FrameResult) -> None:
        """Hand one frame to the thread."""
        if self._thread is None:
            raise InputError(f"{self.name}: got a frame after the stream was closed, expected none")
        self.frames += 1
        if not self._clients:
            self.unheard += 1
        elif self._waiting >= QUEUE:
            self.dropped["receiver too slow"] += 1
        else:
            self._waiting += 1
            self._loop.call_soon_threadsafe(self._offer, frame_line(result, self._names))

    def _offer(self, text: str) -> None:
        self._waiting -= 1
        for messages in self._clients:
            if messages.full():
                messages.get_nowait()
                self.dropped["receiver too slow"] += 1
            messages.put_nowait(text)

    def _live(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:  # cancels what is left, closes the loop
            runner.run(work())

    async def _serve(self, listener: socket.socket) -> None:
        from websockets.asyncio.server import serve
        async with serve(self._talk, sock=listener, origins=[None, LOCAL_PAGES], compression=None,
                         close_timeout=CLOSING_S):
            await self._stop.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    while self._clients:
                        await asyncio.sleep(0.01)

    async def _connect(self, url: str) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException
        while not self._stop.is_set():
            try:
                async with connect(url, compression=None, open_timeout=3 * RETRY_S, close_timeout=CLOSING_S,
                                   proxy=None) as connection:
                    await self._talk(connection)
            except (OSError, EOFError, WebSocketException) as exc:  # not there, or gone: try again
                self._trouble = " ".join(str(exc).split()) or type(exc).__name__
            if not self._stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), RETRY_S)

    async def _talk(self, connection: Any) -> None:
        """Send what is in this receiver's queue until it leaves or the run ends; what it says is not heard."""
        from websockets.exceptions import ConnectionClosed
        messages: Messages = asyncio.Queue(QUEUE)
        self._clients.add(messages)
        listening = asyncio.ensure_future(_drain(connection))
        ending = asyncio.ensure_future(self._stop.wait())
        try:
            while not listening.done():
                if messages.empty() and ending.done():
                    return
                taking = asyncio.ensure_future(messages.get())
                await asyncio.wait({taking, listening, ending} if not ending.done() else {taking, listening},
                                   return_when=asyncio.FIRST_COMPLETED)
                if not taking.done():
                    taking.cancel()
                    continue
                text = taking.result()
                if text is not None:
                    await connection.send(text)
                    self.sent += 1
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(messages)
            listening.cancel()
            ending.cancel()

    def close(self) -> None:
        """Send what waits, for a second, say farewell, and end the thread; at most four seconds."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(3 * CLOSING_S + 1)

    def report(self) -> str:
        why = f" ({self._trouble})" if self._trouble else ""
        lonely = f", {self.unheard} frames without a receiver{why}" if self.unheard else ""
        return f"{self.name}: {self.sent} messages sent{counted(self.dropped)}{lonely}"


async def _drain(connection: Any) -> None:
    """Read and forget, so that a receiver's farewell is noticed."""
    from websockets.exceptions import ConnectionClosed
    with contextlib.suppress(ConnectionClosed):
        async for _ in connection:
            pass


def _bound(address: Address) -> socket.socket:
    """A listening socket; OutputError when the port is taken or the address is not this machine's."""
    try:
        return socket.create_server((address.host, address.port),
                                    family=socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    except OSError as exc:
        raise OutputError(f"websocket: cannot listen on {address} ({exc.strerror or exc}); choose another port, such "
                          f"as serve:{address.port % 65_535 + 1}") from output_error(str(address), exc)
