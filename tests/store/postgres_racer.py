"""A process of its own that changes payments others change too; its last line says what it won."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections import Counter

import msgspec

from oncepay.domain.change import Change
from oncepay.domain.errors import Busy
from oncepay.domain.payment import Payment
from oncepay.store.postgres import PostgresLedger
from tests.store.make import created, moved, paid, payment
from tests.store.postgres_kit import opened


def next_change(now: Payment | None, order_no: str, change_id: str) -> Change:
    """A creation, an event with its delivery, or a plain move: what a process does to a payment."""
    if now is None:
        change = created(order_no)
    elif now.rev % 2:
        change = paid(now, endpoints=("e",))
    else:
        change = moved(now, due_ms=now.rev)
    return msgspec.structs.replace(change, change_id=change_id)


def say(line: str) -> None:
    """To whoever started this process."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def race(url: str, name: str, payments: int, rounds: int) -> dict[str, dict[str, int]]:
    """Forty workers, each on a payment drawn anew: load, decide, commit; claims in between."""
    dice, serial = random.Random(name), itertools.count()
    won: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()

    async def work(ledger: PostgresLedger) -> None:
        for _ in range(rounds):
            order_no = f"R-{dice.randrange(payments)}"
            change = next_change(await ledger.load(payment(order_no).id), order_no, f"{name}-{next(serial)}")
            try:
                if await ledger.commit(change):
                    won[change.payment.id] += 1
                    outcomes["won"] += 1
                else:
                    outcomes["lost"] += 1
            except Busy:
                outcomes["busy"] += 1
            if dice.random() < 0.02:
                await ledger.claim_due(10**6, 10**6 + dice.randrange(10**6), 10)

    async with opened(url, links=2) as ledger:
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(work(ledger) for _ in range(40)))
    return {"won": won, "outcomes": outcomes}


if __name__ == "__main__":
    _, url, name, payments, rounds = sys.argv
    say(json.dumps(asyncio.run(race(url, name, int(payments), int(rounds)))))
