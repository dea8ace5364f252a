"""Wake-ups by publish and subscribe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import redis

from oncepay.shared.link import ALIVE_S, client_of, listener_of

log = logging.getLogger("oncepay.shared")

AGAIN_S: Final = 0.1  # before the first try to connect again; then longer
AGAIN_MAX_S: Final = 5.0


class RedisWake:
    """The Wake on Redis. ``installation``: whose processes these are, since a Redis may serve several. ``me``: what no
    other process is called."""

    def __init__(self, url: str, *, installation: str, me: str) -> None:
        self._client = client_of(url)
        self._listener = listener_of(url)
        self._channel = f"oncepay:{installation}:wake"
        self._me = me
        self._rest_until = float("-inf")  # a server that is away is not asked with each word

    async def tell(self, words: Sequence[str]) -> None:
        """As ``Wake.tell``."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._rest_until:
            return
        try:
            await self._client.publish(self._channel, " ".join([self._me, *words]))
        except (redis.RedisError, OSError) as error:
            self._rest_until = loop.time() + AGAIN_S
            log.info("wake.untold why=%s", error)

    async def listen(self, hear: Callable[[str], None], caught_up: Callable[[], None]) -> None:
        """As ``Wake.listen``."""
        again_s = AGAIN_S

        def heard_from_now_on() -> None:
            nonlocal again_s
            again_s = AGAIN_S
            self._rest_until = float("-inf")
            log.info("wake.listening")
            caught_up()

        while True:
            try:
                await self._hear(hear, heard_from_now_on)
            except (redis.RedisError, OSError) as error:
                log.warning("wake.deaf why=%s", error)
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, AGAIN_MAX_S)

    async def _hear(self, hear: Callable[[str], None], subscribed: Callable[[], None]) -> None:
        """Until the connection breaks: it raises then."""
        async with self._listener.pubsub() as pubsub:
            async with asyncio.timeout(ALIVE_S):
                await pubsub.subscribe(self._channel)
            reading = asyncio.ensure_future(pubsub.get_message(timeout=None))
            asked = False  # whether it is there still
            try:
                while True:
                    await asyncio.wait((reading,), timeout=ALIVE_S)
                    if reading.done():
                        self._take(reading.result(), hear, subscribed)
                        reading = asyncio.ensure_future(pubsub.get_message(timeout=None))
                        asked = False
                    elif asked:
                        raise redis.ConnectionError("it does not answer")
                    else:
                        await pubsub.ping()
                        asked = True
            finally:
                reading.cancel()

    def _take(
        self, said: Mapping[str, Any] | None, hear: Callable[[str], None], subscribed: Callable[[], None]
    ) -> None:
        if said is None:
            return
        if said["type"] == "subscribe":
            subscribed()
        elif said["type"] == "message":
            sender, *words = said["data"].decode("ascii", "replace").split()
            for word in words if sender != self._me else ():
                hear(word)

    async def close(self) -> None:
        """As ``Wake.close``."""
        await self._client.aclose()
        await self._listener.aclose()
