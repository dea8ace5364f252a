"""Brokers that an app names and that mean ill."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from tests.wire.broker_kit import roads, tell
from tests.wire.loopback import serving

ENDLESS = {
    "amqp://127.0.0.1:{}/?queue=q": b"\x01\x00\x00\xff\xff\xff\xf0",  # a frame of 4 GB
    "redis://127.0.0.1:{}/0?stream=s": b"$4000000000\r\n",
}


@pytest.mark.parametrize("url", ENDLESS)
async def test_a_broker_that_does_not_end_is_cut_off(url: str) -> None:
    """What it says is kept until it is whole, and that is for it to say."""
    piece, taken = bytes(65_536), 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await reader.read(1)
        writer.write(ENDLESS[url])
        with suppress(ConnectionError):
            while True:
                writer.write(piece)
                await writer.drain()
                taken += len(piece)

    async with serving(talk) as port, roads(timeout_s=1.0) as way:
        outcome = await tell(way, url.format(port))
    assert outcome.down
    assert "the broker says more than it was asked" in outcome.why
    assert taken < 32 << 20  # what the kernel's buffers took
