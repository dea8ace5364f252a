"""The sandbox's HTTP server: uvicorn inside our own loop, with the connection within reach.

Faults such as "processed, then the connection closed without an answer" need the transport, which
ASGI hides; a small protocol subclass puts it into the scope.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from oncepay.sandbox.faults import Rule

Scope = MutableMapping[str, Any]
Receive = Callable[[], Any]
Send = Callable[[MutableMapping[str, Any]], Any]
TRANSPORT: Final = "oncepay.sandbox.transport"
BODY_MAX: Final = 1 << 20
KEEP_ALIVE_S: Final = 8  # as the vendor's own Keep-Alive header says
GARBAGE: Final = bytes(range(128, 256)) + b"\r\n\r\n"


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which hands its transport to the application."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class Server(uvicorn.Server):
    """A server that leaves the process's signals to whoever runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening address; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


def server(app: Any) -> Server:
    """A quiet server for ``app``: no access log, no header of its own."""
    return Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
            backlog=2048,
        )
    )


async def read_body(receive: Receive) -> bytes | None:
    """The whole body; None when it is too long or the client went away."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_MAX:
            return None
        parts.append(part)
    return b"".join(parts)


async def answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """A whole answer at once."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def drop(scope: Scope, receive: Receive) -> None:
    """Close the connection without another byte."""
    scope["extensions"][TRANSPORT]["transport"].abort()
    while (await receive())["type"] != "http.disconnect":
        pass


async def suffer(
    rule: Rule,
    scope: Scope,
    receive: Receive,
    send: Send,
    reply: tuple[int, list[tuple[bytes, bytes]], bytes],
) -> None:
    """Carry out a fault of the connection on a reply that was ready to go."""
    status, headers, body = reply
    if rule.fault == "slow":
        await asyncio.sleep(30.0 if rule.seconds is None else rule.seconds)
        await answer(send, status, headers, body)
    elif rule.fault == "slow_drip":
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for at in range(len(body)):
            await send({"type": "http.response.body", "body": body[at : at + 1], "more_body": True})
            await asyncio.sleep(0.5 if rule.seconds is None else rule.seconds)
        await send({"type": "http.response.body", "body": b""})
    elif rule.fault == "garbage":
        scope["extensions"][TRANSPORT]["transport"].write(GARBAGE)
        await _hang_up(scope, receive)
    elif rule.fault == "truncated":
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await _hang_up(scope, receive)
    else:
        await drop(scope, receive)


async def _hang_up(scope: Scope, receive: Receive) -> None:
    """Close after what is written has left."""
    scope["extensions"][TRANSPORT]["transport"].close()
    while (await receive())["type"] != "http.disconnect":
        pass
