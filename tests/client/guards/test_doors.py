"""Doors by themselves: one is let in at a time, and whoever forgot to leave, or cannot be asked, keeps nobody out for
long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from oncepay.client.around import Around
from oncepay.client.guards import GuardUnavailable, LocalDoor
from oncepay.client.guards.redis_door import AsyncRedisDoor, RedisDoor
from oncepay.testing.servers import wait_until
from oncepay.testing.services import Service
from tests.client.guards.apps import Clock


class EitherDoor:
    """One way to ask both doors in Redis."""

    def __init__(self, door: RedisDoor | AsyncRedisDoor) -> None:
        self._door = door

    async def enter(self, digest: str) -> str | None:
        said = self._door.enter(digest)
        return said if said is None or isinstance(said, str) else await said

    async def leave(self, digest: str, token: str) -> None:
        done = self._door.leave(digest, token)
        if done is not None:
            await done


@pytest.fixture(params=["threads", "asyncio"])
async def doors(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Callable[..., EitherDoor]]:
    """Makes doors of one kind on an empty Redis."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        if request.param == "threads":
            yield lambda **options: EitherDoor(RedisDoor(client, **options))
        else:
            async with redis.asyncio.Redis.from_url(redis_url) as other:
                yield lambda **options: EitherDoor(AsyncRedisDoor(other, **options))


async def test_one_is_let_in_at_a_time(doors: Callable[..., EitherDoor]) -> None:
    door = doors(when_down="refuse")
    token = await door.enter("digest")
    assert token
    assert await door.enter("digest") is None
    assert await door.enter("other") is not None
    await door.leave("digest", token)
    assert await door.enter("digest") is not None


async def test_who_comes_back_late_does_not_open_the_door_of_somebody_else(doors: Callable[..., EitherDoor]) -> None:
    door = doors(when_down="refuse")
    assert await door.enter("digest")
    await door.leave("digest", "a token of before")
    assert await door.enter("digest") is None


async def test_a_key_that_a_crash_left_runs_out(doors: Callable[..., EitherDoor], redis_url: str) -> None:
    assert await doors(when_down="refuse", making_s=17).enter("digest")
    with redis.Redis.from_url(redis_url) as client:
        assert 16_000 < client.pttl("oncepay:submission:digest") <= 17_000
    door = doors(when_down="refuse", making_s=0.001)
    assert await door.enter("other")
    with redis.Redis.from_url(redis_url) as client:
        wait_until(lambda: not client.exists("oncepay:submission:other"), 60)
    assert await door.enter("other")


async def test_an_answer_that_was_lost_does_not_shut_us_out(doors: Callable[..., EitherDoor]) -> None:
    """The driver asks again by itself, and finds our own token."""
    steady = doors(when_down="refuse", around=Around(token=lambda: "the same"))
    assert await steady.enter("digest") == "the same"
    assert await steady.enter("digest") == "the same"
    assert await doors(when_down="refuse").enter("digest") is None


@pytest.mark.parametrize("when_down", ["refuse", "database"])
async def test_a_door_without_redis_does_as_was_chosen(redis_server: Service, when_down: Any) -> None:
    redis_server.kill9()
    with redis.Redis.from_url(redis_server.url) as client:
        async with redis.asyncio.Redis.from_url(redis_server.url) as other:
            for door in (
                EitherDoor(RedisDoor(client, when_down=when_down)),
                EitherDoor(AsyncRedisDoor(other, when_down=when_down)),
            ):
                if when_down == "refuse":
                    with pytest.raises(GuardUnavailable, match="submit again"):
                        await door.enter("digest")
                else:
                    assert await door.enter("digest") == ""
                    await door.leave("digest", "")
                await door.leave("digest", "token")  # nobody hears of it: it runs out


def test_the_choice_has_to_be_made() -> None:
    client = redis.Redis()
    with pytest.raises(TypeError, match="when_down"):
        RedisDoor(client)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="refuse or database, not 'open'"):
        RedisDoor(client, when_down="open")  # type: ignore[arg-type]


def test_the_local_door_forgets_in_time() -> None:
    clock = Clock()
    door = LocalDoor(making_s=30, around=clock.around)
    first = door.enter("digest")
    assert first is not None
    assert door.enter("digest") is None
    clock.advance(30)
    second = door.enter("digest")
    assert second is not None
    door.leave("digest", first)
    assert door.enter("digest") is None
    door.leave("digest", second)
    assert door.enter("digest") is not None
    assert len(door._inside) == 1
