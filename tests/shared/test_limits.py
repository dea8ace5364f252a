"""A ceiling that processes keep together, and alone when nobody can be asked."""

from __future__ import annotations

import asyncio
import math
import os
import signal

import redis

from oncepay.domain.change import Fault
from oncepay.engine.ceiling import BURST_S, WITHIN_S, Ceiling
from oncepay.engine.deliver import Rest
from oncepay.engine.pauses import REFUND, Pauses
from oncepay.shared.limits import RedisLimits
from oncepay.testing.services import Service
from tests.shared.test_wake import _pid

PER_S = 20.0
BOUND_S = 10.0
AT_ONCE = round(PER_S * (WITHIN_S + BURST_S)) + 1  # turns in one moment: of the past tenth, and as far as a call waits


class Still:
    """A clock that stands; to sleep is to be told how long."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def turns(limits: list[RedisLimits], count: int) -> list[float | None]:
    """So many turns, asked for by all in turn."""
    return [await limits[n % len(limits)].turn_s("wx", PER_S, WITHIN_S) for n in range(count)]


def taken(said: list[float | None]) -> int:
    return sum(wait is not None and wait <= WITHIN_S for wait in said)


async def test_a_clock_that_is_set_back_stops_nobody() -> None:
    """It was a day ahead when the last turn was taken."""
    clock = Still()
    alone = Ceiling(clock, PER_S, None)
    assert [await alone.admits("wx") for _ in range(AT_ONCE + 1)] == [*(True for _ in range(AT_ONCE)), False]
    clock.ms -= 86_400_000
    assert await alone.admits("wx")
    assert [await alone.admits("wx") for _ in range(AT_ONCE)].count(False) > 0, "there is a ceiling all the same"
    pauses = Pauses()
    pauses.pause("wx", REFUND, Fault.BALANCE, clock.ms)
    assert pauses.until_ms("wx", REFUND, clock.ms) == clock.ms + 60_000
    assert pauses.until_ms("wx", REFUND, clock.ms - 86_400_000) == 0
    rest = Rest(until_ms=clock.ms + 1_000, times=0)
    assert (rest.lasts(clock.ms), rest.lasts(clock.ms + 1_000), rest.lasts(clock.ms - 86_400_000)) == (
        True,
        False,
        False,
    )


async def test_a_shared_clock_that_is_set_back_stops_nobody(redis_server: Service) -> None:
    limits = RedisLimits(redis_server.url, installation="back")
    assert await limits.turn_s("wx", PER_S, WITHIN_S) == 0
    (key,) = await limits._client.keys("*back*")
    await limits._client.incrby(key, 86_400_000_000)
    assert await limits.turn_s("wx", PER_S, WITHIN_S) == 0
    await limits.close()


async def test_processes_share_one_ceiling(redis_server: Service) -> None:
    three = [RedisLimits(redis_server.url, installation="i") for _ in range(3)]
    loop = asyncio.get_running_loop()
    started = loop.time()
    said = await turns(three, 3 * AT_ONCE)
    passed_s = loop.time() - started
    assert None not in said
    assert AT_ONCE <= taken(said) <= AT_ONCE + math.ceil(passed_s * PER_S)
    assert said[-1] == math.inf or passed_s > WITHIN_S
    assert await three[0].turn_s("another account", PER_S, WITHIN_S) == 0
    elsewhere = RedisLimits(redis_server.url, installation="another")
    assert await elsewhere.turn_s("wx", PER_S, WITHIN_S) == 0
    for each in (*three, elsewhere):
        await each.close()


async def test_turns_are_spread_evenly(redis_server: Service) -> None:
    limits = RedisLimits(redis_server.url, installation="i")
    loop = asyncio.get_running_loop()
    at = []  # the earliest and the latest that each may be: a busy machine hears an answer late
    for _ in range(AT_ONCE):
        asked = loop.time()
        wait_s = await limits.turn_s("wx", PER_S, WITHIN_S)
        assert wait_s is not None
        at.append((asked + wait_s, loop.time() + wait_s))
    burst = round(PER_S * BURST_S) + 1
    for (earlier, _), (_, later) in zip(at, at[burst:], strict=False):
        assert later - earlier > 0.9 * burst / PER_S - BURST_S
    await limits.close()


async def test_wiped_in_the_middle_it_allows_one_moment_more_and_goes_on(redis_server: Service) -> None:
    limits = [RedisLimits(redis_server.url, installation="i")]
    loop = asyncio.get_running_loop()
    started = loop.time()
    said = await turns(limits, AT_ONCE)
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.script_flush()
    said += await turns(limits, 2 * AT_ONCE)
    assert None not in said
    passed_s = loop.time() - started
    assert taken(said) <= 2 * AT_ONCE + math.ceil(passed_s * PER_S)
    assert math.inf in said or passed_s > WITHIN_S
    await limits[0].close()


async def test_killed_in_the_middle_each_goes_on_alone_and_comes_back(redis_server: Service) -> None:
    limits = RedisLimits(redis_server.url, installation="i", rest_s=0.0)
    clock = Still()
    ceiling = Ceiling(clock, PER_S, limits)
    together = [await ceiling.admits("wx") for _ in range(AT_ONCE // 2)]
    assert all(together)
    await asyncio.to_thread(redis_server.kill9)
    assert await limits.turn_s("wx", PER_S, WITHIN_S) is None
    alone = [await ceiling.admits("wx") for _ in range(2 * AT_ONCE)]
    assert sum(together) + sum(alone) == AT_ONCE, "what was taken together counts for the one who goes on alone"
    clock.ms += 1000
    assert sum([await ceiling.admits("wx") for _ in range(2 * AT_ONCE)]) == PER_S
    assert max(clock.slept) <= WITHIN_S
    await asyncio.to_thread(redis_server.start)
    assert await limits.turn_s("wx", PER_S, WITHIN_S) == 0
    await ceiling.close()


async def test_one_that_stands_still_is_not_waited_for_and_not_asked_again_for_a_while(redis_server: Service) -> None:
    limits = RedisLimits(redis_server.url, installation="i")
    pid = _pid(redis_server.port)
    assert await limits.turn_s("wx", PER_S, WITHIN_S) == 0
    os.kill(pid, signal.SIGSTOP)
    try:
        said = await asyncio.wait_for(
            asyncio.gather(*(limits.turn_s("wx", PER_S, WITHIN_S) for _ in range(50))), BOUND_S
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    assert set(said) == {None}
    assert await limits.turn_s("wx", PER_S, WITHIN_S) is None  # it could answer now
    await limits.close()


async def test_what_a_channel_declares_counts_where_nothing_is_set() -> None:
    clock = Still()
    unset, set_ = Ceiling(clock, 0.0, None), Ceiling(clock, 2.0, None)
    assert all([await unset.admits("wx") for _ in range(500)])
    assert sum([await unset.admits("declared", PER_S) for _ in range(500)]) == AT_ONCE
    assert sum([await set_.admits("wx", PER_S) for _ in range(500)]) == 3
