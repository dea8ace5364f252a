"""What a broker's library writes to a connection that has just been broken: it is dropped, and nothing is raised into
the loop. How the message fared is for whoever waits for its confirm."""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop

from oncepay.publishers.links import Bounded, Gathering


class Ended(asyncio.StreamReaderProtocol):
    """Says when the connection is gone."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.gone = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone.set()


async def _broken_then_written() -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    raised: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: raised.append(context))
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
    try:
        reader = Bounded(loop=loop)
        protocol = Ended(reader)
        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", port)
        writer = Gathering(transport, protocol, reader, loop)
        transport.abort()
        await asyncio.wait_for(protocol.gone.wait(), 5)
        writer.write(b"one")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return raised
    finally:
        server.close()


def test_a_write_after_the_connection_broke_raises_nothing() -> None:
    assert uvloop.run(_broken_then_written()) == []
    assert asyncio.run(_broken_then_written()) == []
