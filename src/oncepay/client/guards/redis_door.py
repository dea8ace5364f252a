"""A door that all processes share, in Redis (7.0 or newer) or Valkey: one round trip for a submission, two when nothing
came of it. Needs the extra ``redis``.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import redis
import redis.asyncio

from oncepay.client.around import AROUND, Around
from oncepay.client.guards.doors import MAKING_S
from oncepay.client.guards.errors import GuardUnavailable
from oncepay.client.guards.inbox import log

WhenDown = Literal["refuse", "database"]

PREFIX: Final = "oncepay:submission:"
# Take the key away if it is ours still: one that ran out may be somebody else's by now.
LEAVE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class _Keys:
    """What both doors are made of. ``when_down``: what to do when Redis does not answer. ``refuse``: nobody gets
    through, GuardUnavailable. ``database``: everybody does, and the primary key in the database decides alone, as it
    does without a door; repeats then wait there for the first. ``making_s``: longer than it takes to make an order."""

    def __init__(self, *, when_down: WhenDown, making_s: float, prefix: str, around: Around) -> None:
        if when_down not in {"refuse", "database"}:
            raise ValueError(f"when_down is refuse or database, not {when_down!r}")
        self.making_s = making_s
        self._when_down = when_down
        self._prefix = prefix
        self._px = max(1, round(making_s * 1000))
        self._around = around

    def _claim(self, digest: str) -> tuple[str, dict[str, Any]]:
        """A token, and the arguments of SET with it: only if the key is not there, and answer what was."""
        token = self._around.token()
        return token, {"name": self._prefix + digest, "value": token, "nx": True, "px": self._px, "get": True}

    def _judge(self, token: str, there: Any) -> str | None:
        """The token if the key is ours: also when the answer to an earlier try of ours was lost."""
        owner = there.decode() if isinstance(there, bytes) else there
        return token if owner in {None, token} else None

    def _down(self, error: redis.RedisError) -> str:
        if self._when_down == "refuse":
            raise GuardUnavailable("Redis does not answer, and without it no order is taken: submit again") from error
        log.warning("door.down error=%s", error)
        return ""


class RedisDoor(_Keys):
    """A door in Redis or Valkey, for threads. Give the client a ``socket_timeout`` of a fraction of a second."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        when_down: WhenDown,
        making_s: float = MAKING_S,
        prefix: str = PREFIX,
        around: Around = AROUND,
    ) -> None:
        super().__init__(when_down=when_down, making_s=making_s, prefix=prefix, around=around)
        self._client = client

    def enter(self, digest: str) -> str | None:
        """As ``Door.enter``."""
        token, claim = self._claim(digest)
        try:
            return self._judge(token, self._client.set(**claim))
        except redis.RedisError as error:
            return self._down(error)

    def leave(self, digest: str, token: str) -> None:
        """As ``Door.leave``."""
        if not token:
            return
        try:
            self._client.eval(LEAVE, 1, self._prefix + digest, token)
        except redis.RedisError as error:
            log.warning("door.not_left error=%s", error)


class AsyncRedisDoor(_Keys):
    """A door in Redis or Valkey, for asyncio."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        when_down: WhenDown,
        making_s: float = MAKING_S,
        prefix: str = PREFIX,
        around: Around = AROUND,
    ) -> None:
        super().__init__(when_down=when_down, making_s=making_s, prefix=prefix, around=around)
        self._client = client

    async def enter(self, digest: str) -> str | None:
        """As ``Door.enter``."""
        token, claim = self._claim(digest)
        try:
            return self._judge(token, await self._client.set(**claim))
        except redis.RedisError as error:
            return self._down(error)

    async def leave(self, digest: str, token: str) -> None:
        """As ``Door.leave``."""
        if not token:
            return
        try:
            await self._client.eval(LEAVE, 1, self._prefix + digest, token)
        except redis.RedisError as error:
            log.warning("door.not_left error=%s", error)
