"""Several processes on one SQLite file, and processes that are killed: what was acknowledged is there, once and whole."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from oncepay.domain.errors import Unavailable
from oncepay.ports import Ledger, Page
from oncepay.store.open import open_ledger
from oncepay.store.sqlite_link import Settings, connect
from tests.store.conftest import TOKEN

ROOT = Path(__file__).parents[2]
PAYMENTS = 12


@asynccontextmanager
async def racing(url: str, names: list[str], rounds: int) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Processes that were let go at the same moment."""
    racers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.store.racer", url, name, str(PAYMENTS), str(rounds), cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        for name in names
    ]  # fmt: skip
    try:
        for racer in racers:
            assert racer.stdout is not None
            assert await racer.stdout.readline() == b"ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write(b"go\n")
        yield racers
    finally:
        for racer in racers:
            if racer.returncode is None:
                racer.kill()
                await racer.wait()


def acknowledged(said: bytes) -> list[tuple[str, int]]:
    """The whole lines of what a process said."""
    lines = said.decode().split("\n")[:-1]
    return [(id_, int(rev)) for id_, rev in (line.split() for line in lines if line != "end")]


async def check_whole(ledger: Ledger) -> dict[str, int]:
    """Every payment is what its revisions made it, with exactly their rows; the revision of each."""
    payments, _ = await ledger.payments("shop", Page(limit=1000))
    for payment in payments:
        paid = payment.rev // 2  # racer: every second change is a notification
        assert payment.version == paid
        assert [event.version for event in await ledger.payment_events(payment.id)] == list(range(1, paid + 1))
        assert [row.rev for row in await ledger.evidence(payment.id)] == [2 * n for n in range(1, paid + 1)]
        deliveries, _ = await ledger.deliveries("shop", Page(limit=1000), payment_id=payment.id)
        assert len(deliveries) == paid
    return {payment.id: payment.rev for payment in payments}


@pytest.mark.parametrize("processes", [2, 4])
async def test_every_revision_was_won_by_one_process(tmp_path: Path, processes: int) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    async with racing(url, [f"P{n}" for n in range(processes)], rounds=12) as racers:
        said = await asyncio.gather(*(racer.communicate() for racer in racers))
        assert [racer.returncode for racer in racers] == [0] * processes, said
    won = Counter(win for out, _ in said for win in acknowledged(out))
    assert set(won.values()) == {1}, "nobody won what another had won"
    ledger = await open_ledger(url, token=lambda: TOKEN)
    revisions = await check_whole(ledger)
    assert revisions == Counter(id_ for id_, _ in won)
    await ledger.close()


async def test_what_a_killed_process_had_acknowledged_is_there(tmp_path: Path) -> None:
    """Killed at any instruction, again and again, on one file."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    highest: dict[str, int] = {}
    for round_ in range(6):
        async with racing(url, [f"K{round_}"], rounds=10_000) as (racer,):
            assert racer.stdout is not None
            said = await racer.stdout.readexactly(2_000 + 300 * round_)
            racer.kill()
            said += await racer.stdout.read()
            await racer.wait()
        for id_, rev in acknowledged(said):
            highest[id_] = max(rev, highest.get(id_, 0))
        ledger = await open_ledger(url, token=lambda: TOKEN)
        revisions = await check_whole(ledger)
        assert all(revisions[id_] >= rev for id_, rev in highest.items())
        await ledger.close()
    link = apsw.Connection(f"{tmp_path}/ledger.db")
    assert link.pragma("integrity_check") == "ok"
    link.close()


def test_a_new_file_that_another_process_is_just_setting_up_is_waited_for(tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "new.db"))
    other.execute("BEGIN IMMEDIATE")
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            other.execute("COMMIT")

    link = connect(Settings(path=str(tmp_path / "new.db")), writer=True, pause=pause)
    assert link.pragma("journal_mode") == "wal"
    assert len(pauses) == 3
    link.close()
    other.close()
    with_one_held = apsw.Connection(str(tmp_path / "held.db"))
    with_one_held.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="another process holds"):
        connect(Settings(path=str(tmp_path / "held.db"), busy_timeout_ms=50), writer=True, pause=pauses.append)
    assert len(pauses) == 3 + 5, "but not for ever"
    with_one_held.close()
