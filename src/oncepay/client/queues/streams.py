"""A stream in Redis (7.0 or newer) or Valkey, read by a consumer group. Needs the extra ``redis``.

What a consumer was handed stays under its name until it is acknowledged: after a lost connection that is asked for
first, and what a dead consumer left is claimed by the others once it has been idle for a while.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from oncepay.client.around import Around
from oncepay.client.queues.places import TAKE_MAX, TAKE_S, Got, Place, Source, message_of, text_of

CONNECT_S: Final = 10.0
ANSWER_S: Final = 10.0
TRIM_S: Final = 60.0
# Not for the library: what is for who publishes, and what would change the form of the answers that are read here.
NOT_PASSED_ON: Final = ("stream", "replicas", "protocol", "decode_responses")
NEW: Final = ">"
START: Final = "0-0"


class Streams:
    """A stream by its URL. ``group``: consumers of one group share it. ``claim_s``: what a consumer has held so long
    without a word, it is dead or will be; if it is not, both hold it, and the inbox takes it once."""

    has_dead_letters = False

    def __init__(self, place: Place, group: str, claim_s: float, around: Around) -> None:
        self._place = place
        self._group = group
        self._claim_s = claim_s
        self._around = around
        self._consumer = f"consumer-{around.token()}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Source]:
        """Connect, and make the group if it is not there; it begins at the first message that the stream has."""
        client = redis.asyncio.Redis.from_url(
            self._place.without(*NOT_PASSED_ON),
            protocol=2,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=TAKE_S + ANSWER_S,
            retry=Retry(NoBackoff(), 0),  # what was lost is asked for by who opens anew
        )
        async with client:
            source = _Stream(
                client,
                self._place.name,
                group=self._group,
                consumer=self._consumer,
                claim_s=self._claim_s,
                clock=self._around.clock,
            )
            await source.join()
            yield source
            await source.leave()


class _Stream:
    def __init__(
        self, client: Any, name: str, *, group: str, consumer: str, claim_s: float, clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._name = name
        self._group = group
        self._consumer = consumer
        self._claim_s = claim_s
        self._clock = clock
        self._from = START  # what we hold already comes first
        self._claim_from = START
        self._claim_at = clock()
        self._trim_at = clock() + TRIM_S

    async def join(self) -> None:
        try:
            await self._client.xgroup_create(self._name, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def leave(self) -> None:
        """Take our name out of the group, unless something stands under it: that is for the others to claim."""
        for one in await self._client.xinfo_consumers(self._name, self._group):
            if text_of(one["name"]) == self._consumer and one["pending"] == 0:
                await self._client.xgroup_delconsumer(self._name, self._group, self._consumer)

    async def take(self) -> list[Got]:
        if self._clock() >= self._trim_at:
            await self._trim()
        if self._from == NEW and self._clock() >= self._claim_at and (claimed := await self._claim()):
            return claimed
        if self._from == NEW:
            return _got(await self._read(NEW, round(TAKE_S * 1000)))
        entries = await self._read(self._from, None)
        self._from = entries[-1][0] if entries else NEW
        return _got(entries) if entries else await self.take()

    async def _read(self, start: Any, block_ms: int | None) -> list[Any]:
        said = await self._client.xreadgroup(
            self._group, self._consumer, {self._name: start}, count=TAKE_MAX, block=block_ms
        )
        streams = list(said.values()) if isinstance(said, dict) else [entries for _, entries in said or ()]
        return list(streams[0]) if streams else []

    async def _claim(self) -> list[Got]:
        """What others have held for too long; none when there is no more of it for now."""
        said = await self._client.xautoclaim(
            self._name,
            self._group,
            self._consumer,
            min_idle_time=round(self._claim_s * 1000),
            start_id=self._claim_from,
            count=TAKE_MAX,
        )
        self._claim_from = text_of(said[0])
        if self._claim_from == START:
            self._claim_at = self._clock() + self._claim_s / 2
        return _got(said[1])

    async def done(self, got: list[Got]) -> None:
        await self._client.xack(self._name, self._group, *(one.tag for one in got))

    async def reject(self, got: list[Got]) -> None:
        await self.done(got)

    async def _trim(self) -> None:
        """Take away what no group of the stream needs any more. A group only goes forward, so it does not matter what
        happens between the question and the act."""
        self._trim_at = self._clock() + TRIM_S
        needed: list[tuple[int, int]] = []
        for group in await self._client.xinfo_groups(self._name):
            held = await self._client.xpending(self._name, text_of(group["name"]))
            lowest = held["min"] if held["pending"] else group["last-delivered-id"]
            first, _, second = text_of(lowest).partition("-")
            needed.append((int(first), int(second)))
        if needed:
            await self._client.xtrim(self._name, minid="{}-{}".format(*min(needed)), approximate=True)


def _got(entries: list[Any]) -> list[Got]:
    """Entries as messages. One that was deleted meanwhile has no fields any more: as a message it is refused."""
    found = []
    for tag, fields in entries:
        named = {text_of(name): value for name, value in (fields or {}).items()}
        body = named.pop("body", b"")
        found.append(Got(message_of(named.items(), body), tag))
    return found
