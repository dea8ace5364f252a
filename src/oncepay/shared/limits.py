"""Limits that all processes keep together: one round trip a turn, given up soon.

While the other side is away or slow nobody waits for it: after one failure it is not asked for some seconds, and each
process keeps the limit alone. What was in it is worth a second at most, so a wipe is a pause of one burst.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import redis

from oncepay.shared.link import client_of

log = logging.getLogger("oncepay.shared")

REST_S: Final = 5.0
BURST_MS: Final = 100

# When the next turn is, by the server's own clock: turns are spread evenly, and after a pause BURST_MS' worth may be
# taken at once. Answers the wait in microseconds, -1 when it would be too long: then no turn was taken. What lies
# further ahead than any turn can was left by a clock that was set back.
TURN: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local apart, burst, within = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local turn = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now - burst)
if turn > now + within + apart then turn = now end
local wait = math.max(0, turn - now)
if wait > within then return -1 end
redis.call('SET', KEYS[1], string.format('%.0f', turn + apart), 'PX', math.ceil((wait + apart + burst) / 1000))
return wait
"""


class RedisLimits:
    """The Limits on Redis. ``installation``: whose, since a Redis may serve several. ``rest_s``: how long it is not
    asked after a failure."""

    def __init__(self, url: str, *, installation: str, rest_s: float = REST_S) -> None:
        self._client = client_of(url)
        self._turn = self._client.register_script(TURN)
        self._prefix = f"oncepay:{installation}:turn:"
        self._rest_s = rest_s
        self._rest_until = float("-inf")

    async def turn_s(self, key: str, per_s: float, within_s: float) -> float | None:
        """As ``Limits.turn_s``."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._rest_until:
            return None
        arguments = [round(1_000_000 / per_s), BURST_MS * 1000, round(within_s * 1_000_000)]
        try:
            wait_us = int(await self._turn(keys=[self._prefix + key], args=arguments))
        except (redis.RedisError, OSError) as error:
            if loop.time() >= self._rest_until:
                log.warning("limits.alone for_s=%.0f why=%s", self._rest_s, error)
            self._rest_until = loop.time() + self._rest_s
            return None
        return float("inf") if wait_us < 0 else wait_us / 1_000_000

    async def close(self) -> None:
        """As ``Limits.close``."""
        await self._client.aclose()
