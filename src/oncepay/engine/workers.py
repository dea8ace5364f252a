"""The loops of a process, of which any number may run beside each other: what is due of payments, what is due of
deliveries, upkeep, a look at the directory. Each is a function that does one round, which tests call, and a loop that
only adds waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from oncepay.domain.errors import Busy, OncepayError, Unavailable
from oncepay.domain.payment import Payment
from oncepay.engine.core import Engine, log, month_of
from oncepay.engine.deliver import Deliverer
from oncepay.engine.held import give_back_held
from oncepay.engine.intake import back_off, take_in_kept
from oncepay.engine.metrics import POISONED
from oncepay.engine.step import next_step, run_due
from oncepay.engine.wake import DELIVERIES, DIRECTORY, PAYMENTS, Bell
from oncepay.ports import Due, UnappliedRow

CLAIM_MAX: Final = 200
AT_ONCE: Final = 64  # payments of one channel
PATIENCE_S: Final = 1.0  # for the slowest, before more is claimed
POLL_S: Final = 0.5
UNAVAILABLE_S: Final = 1.0
DIRECTORY_S: Final = 0.3
UPKEEP_S: Final = 6 * 3_600.0


class Places:
    """Who is being brought on in a process: so many of each channel at once, so that one that does not answer holds up
    no other. What finds no place was only lent, and comes again when its lease is over."""

    def __init__(self) -> None:
        self._rooms: dict[str, asyncio.Semaphore] = {}
        self._inside: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def take(self, engine: Engine, due: Due, kept: list[UnappliedRow]) -> asyncio.Task[None] | None:
        """Begin with one; None when too many of its channel wait already."""
        channel = due.payment.attempts[-1].channel if due.payment.attempts else ""
        if self._inside[channel] >= CLAIM_MAX:
            return None
        self._inside[channel] += 1
        task = asyncio.create_task(self._one(engine, channel, due, kept))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _one(self, engine: Engine, channel: str, due: Due, kept: list[UnappliedRow]) -> None:
        try:
            async with self._rooms.setdefault(channel, asyncio.Semaphore(AT_ONCE)):
                # Past its lease another process may have it.
                if due.lease_until_ms > engine.clock.now_ms() and not self._closing:
                    await _bring_on(engine, due, kept)
        except Exception:
            log.exception("worker.failed payment=%s", due.payment.id)
        finally:
            self._inside[channel] -= 1

    async def finish(self, seconds: float) -> None:
        """Give the calls under way a moment, for an answer that is not heard is a doubt; what is left is due again."""
        self._closing = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def run_due_once(
    engine: Engine, *, limit: int = CLAIM_MAX, places: Places | None = None, patience_s: float | None = None
) -> int:
    """Claim what is due and bring each payment as far as it goes now; how many were claimed. ``patience_s``: how long
    to wait for the slowest of them (None: until all are done); those that take longer go on meanwhile."""
    places = places or Places()
    now_ms = engine.clock.now_ms()
    claimed = await engine.ledger.claim_due(now_ms, now_ms + engine.settings.lease_ms, limit)
    if not claimed:
        return 0
    kept: dict[str, list[UnappliedRow]] = {}
    for row in await engine.ledger.unapplied([due.payment.id for due in claimed]):
        kept.setdefault(row.payment_id, []).append(row)
    begun = [places.take(engine, due, kept.get(due.payment.id, [])) for due in claimed]
    tasks = [task for task in begun if task is not None]
    if tasks:
        await asyncio.wait(tasks, timeout=patience_s)
    else:  # of a channel that does not answer: there may be others behind them, but not at once
        await engine.clock.sleep(PATIENCE_S)
    return len(claimed)


async def _bring_on(engine: Engine, due: Due, kept: list[UnappliedRow]) -> None:
    payment = due.payment
    try:
        payment, poison = await _take_kept(engine, payment, kept)
        try:
            payment = await run_due(engine, payment, budget_ms=engine.settings.lease_ms // 3)
        except (Unavailable, Busy):  # of the store, and of now: its lease ends, and it comes again
            raise
        except Exception as error:
            POISONED.inc()
            log.exception("payment.poisoned payment=%s", payment.id)
            poison = error
        if poison is not None:
            await back_off(engine, payment.id, poison)
        elif payment.rev == due.payment.rev:
            await _give_back(engine, due)
    except OncepayError as error:
        log.warning("payment.postponed payment=%s why=%s", payment.id, error.detail)


async def _take_kept(engine: Engine, payment: Payment, kept: list[UnappliedRow]) -> tuple[Payment, Exception | None]:
    """Take in what could not be taken in before. What still cannot be stays kept, and holds up nothing else of its
    payment: that is how what it says is found out in another way."""
    poison: Exception | None = None
    for row in kept:
        try:
            payment = await take_in_kept(engine, payment, [row])
        except (Unavailable, Busy):
            raise
        except Exception as error:
            POISONED.inc()
            log.exception("message.kept payment=%s", payment.id)
            poison = error
    return payment, poison


async def _give_back(engine: Engine, due: Due) -> None:
    """Nothing was done: another road was faster, or the account is paused."""
    now_ms = engine.clock.now_ms()
    step = next_step(engine, due.payment, now_ms)
    at_ms = step.at_ms if step else None
    if at_ms is None or at_ms > now_ms:
        await engine.ledger.postpone(due.payment.id, due.lease_until_ms, at_ms)


async def loop(engine: Engine, name: str, run_once: Callable[[], Awaitable[int]], poll_s: float) -> None:
    """Run for ever; wait only when there was little to do, and until the bell of this name at most. A store that does
    not answer is waited for."""
    bell: Bell = engine.waking.bell(name)
    while True:
        try:
            done = await run_once()
        except OncepayError as error:
            log.warning("worker.waiting name=%s why=%s", name, error.detail)
            await engine.clock.sleep(UNAVAILABLE_S)
            continue
        except Exception:
            log.exception("worker.failed name=%s", name)
            await engine.clock.sleep(UNAVAILABLE_S)
            continue
        if done == 0:
            await bell.wait(engine.clock.sleep(poll_s))


async def upkeep(engine: Engine) -> int:
    """Forget the raw bytes of long ago (the facts stay); send back what was held for too long, also when the bytes
    cannot be forgotten: a channel takes refunds only for so long."""
    month = month_of(engine.clock.now_ms() - engine.settings.raw_days * 86_400_000)
    try:
        await engine.ledger.forget_raw(month)
    except OncepayError as error:  # next time: it is not what anybody waits for
        log.warning("raw.kept before=%d why=%s", month, error.detail)
    await give_back_held(engine)
    return 0


async def look_at_directory(engine: Engine) -> int:
    """Notice apps, accounts and endpoints that another process changed."""
    await engine.directory.refresh()
    return 0


def start(engine: Engine, deliverer: Deliverer, places: Places) -> list[asyncio.Task[None]]:
    """All loops of a process that works; to stop, cancel the tasks, then ``finish`` the places and the deliverer."""
    loops = (
        (PAYMENTS, partial(run_due_once, engine, places=places, patience_s=PATIENCE_S), POLL_S),
        (DELIVERIES, deliverer.claim, POLL_S),
        ("upkeep", lambda: upkeep(engine), UPKEEP_S),
    )
    tasks = [asyncio.create_task(loop(engine, name, once, poll_s), name=name) for name, once, poll_s in loops]
    return [*tasks, *start_watching(engine)]


def start_watching(engine: Engine) -> list[asyncio.Task[None]]:
    """What every process runs, also one that does not work: the directory is looked at, other processes are heard."""
    look = loop(engine, DIRECTORY, lambda: look_at_directory(engine), DIRECTORY_S)
    hear = engine.waking.listen()
    return [asyncio.create_task(look, name=DIRECTORY), asyncio.create_task(hear, name="wake")]
