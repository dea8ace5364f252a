"""A server that goes away and comes back: nothing acknowledged is lost, nothing hangs, nobody has to start anew."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from oncepay.domain.change import CaseOpened
from oncepay.domain.errors import Unavailable
from oncepay.domain.payment import Payment
from oncepay.ports import Page
from oncepay.store.postgres import PostgresLedger
from oncepay.testing.servers import PostgresServer
from tests.store.conftest import eventually
from tests.store.make import created, moved, paid, payment
from tests.store.postgres_kit import opened

BOUND_S = 5.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


CALLS: dict[str, Callable[[PostgresLedger], Coroutine[Any, Any, object]]] = {
    "load": lambda ledger: ledger.load(payment("A-1").id),
    "commit": lambda ledger: ledger.commit(created("A-2")),
    "claim_due": lambda ledger: ledger.claim_due(1, 2, 10),
    "claim_deliveries": lambda ledger: ledger.claim_deliveries(1, 2, ["e"], 10),
    "payments": lambda ledger: ledger.payments("shop", Page()),
    "events": lambda ledger: ledger.events("shop", Page()),
    "open_case": lambda ledger: ledger.open_case(CaseOpened(about="a", kind="k", text="t"), 1),
    "directory_stamp": lambda ledger: ledger.directory_stamp(),
    "ping": lambda ledger: ledger.ping(),
    "stats": lambda ledger: ledger.stats(1),
}


async def test_while_it_is_away_every_call_says_so_soon(server: PostgresServer) -> None:
    async with opened(server.url) as ledger:
        assert await ledger.commit(created("A-1"))
        server.stop()
        try:
            for _ in range(2):  # with the old connections, and without any
                for name, call in CALLS.items():
                    (said,) = await asyncio.gather(asyncio.wait_for(call(ledger), BOUND_S), return_exceptions=True)
                    assert isinstance(said, Unavailable), name
        finally:
            server.start()
        for call in CALLS.values():
            await call(ledger)


async def test_what_was_acknowledged_before_kill_9_is_there(server: PostgresServer) -> None:
    """Thirty workers commit as fast as they can; the server dies in the middle, twice."""
    acknowledged: dict[str, int] = {}
    intended: dict[str, int] = {}
    stopping, progress = asyncio.Event(), asyncio.Event()

    async def work(ledger: PostgresLedger, worker: int) -> None:
        n = 0
        while not stopping.is_set():
            n += 1
            change = created(f"W{worker}-{n}")
            now: Payment = change.payment
            try:
                intended[now.id] = 1
                if not await ledger.commit(change):
                    continue
                acknowledged[now.id] = 1
                for step in (moved(now), paid(moved(now).payment, endpoints=("e",))):
                    intended[now.id] = step.payment.rev
                    if not await ledger.commit(step):
                        break
                    acknowledged[now.id] = step.payment.rev
            except Unavailable:
                continue
            finally:
                progress.set()

    async def at_least(count: int) -> None:
        while len(acknowledged) < count:
            progress.clear()
            await progress.wait()

    async with opened(server.url) as ledger:
        workers = [asyncio.create_task(work(ledger, n)) for n in range(30)]
        for count in (300, 600):
            await asyncio.wait_for(at_least(count), 30)
            await asyncio.to_thread(server.kill9)
            await asyncio.to_thread(server.start)
        await asyncio.wait_for(at_least(len(acknowledged) + 300), 30)  # it goes on by itself
        stopping.set()
        await asyncio.gather(*workers)

    async with opened(server.url) as ledger:
        for id_, rev in acknowledged.items():
            stored = await ledger.load(id_)
            assert stored is not None
            assert rev <= stored.rev <= intended[id_]
            assert len(await ledger.payment_events(id_)) == stored.version  # all of a change, or nothing
            assert len(await ledger.evidence(id_)) == stored.version


async def test_a_server_that_came_back_unsafe_is_as_good_as_away(server: PostgresServer) -> None:
    async with opened(server.url) as ledger:
        assert await ledger.commit(created("U-1"))
        server.stop()
        server.settings["fsync"] = "off"
        server.start()
        try:
            with pytest.raises(Unavailable, match="fsync"):
                await ledger.commit(created("U-2"))
            with pytest.raises(Unavailable, match="fsync"):
                await ledger.load(payment("U-1").id)
        finally:
            server.stop()
            server.settings["fsync"] = "on"
            server.start()
        assert await ledger.commit(created("U-2"))


async def test_a_writer_that_is_never_answered_is_seen_in_the_ping(
    postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server froze behind a proxy, say, and everybody else is led to another."""
    async with opened(postgres_database) as ledger:
        assert await ledger.commit(created("A-1"))
        link = ledger._writer._link
        assert link is not None
        os.kill(link.get_server_pid(), signal.SIGSTOP)
        try:
            writing = asyncio.create_task(ledger.commit(created("A-2")))
            await ledger.ping()  # a commit may take a while
            monkeypatch.setattr("oncepay.store.postgres.HELD_MAX_S", 0.01)

            async def seen() -> bool:
                try:
                    await ledger.ping()
                except Unavailable as away:
                    return "not answered a commit" in str(away)
                return False

            await eventually(seen)
        finally:
            os.kill(link.get_server_pid(), signal.SIGCONT)
        assert await writing
        await ledger.ping()
