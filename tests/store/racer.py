"""A process of its own that changes payments which others change too, and says what it won, each at once.

``python -m tests.store.racer URL NAME PAYMENTS ROUNDS``: says "ready", waits for a line, then for every commit that was
acknowledged one line "payment-id revision", and "end". What was said must be there, whenever the process is killed.
"""

from __future__ import annotations

import asyncio
import random
import sys

import msgspec

from oncepay.domain.change import Change
from oncepay.domain.errors import Busy
from oncepay.domain.payment import Payment
from oncepay.ports import Ledger
from oncepay.store.open import open_ledger
from tests.store.make import T0, created, moved, paid, payment

AT_ONCE = 16


def next_change(now: Payment | None, order_no: str, by: str) -> Change:
    """A creation, a notification with all its rows, or a plain move, in turn. ``by``: nobody else's, ever."""
    if now is None:
        change = created(order_no, due_ms=T0)
    elif now.rev % 2:
        change = paid(now, endpoints=("e",))
    else:
        change = moved(now, due_ms=T0 + now.rev)
    return msgspec.structs.replace(change, change_id=by)


def say(line: str) -> None:
    """To whoever started this process, before anything else happens."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def work(ledger: Ledger, name: str, dice: random.Random, payments: int, rounds: int) -> None:
    """Load, decide, commit, on a payment drawn anew each time; claims in between."""
    for round_ in range(rounds):
        order_no = f"R-{dice.randrange(payments)}"
        change = next_change(await ledger.load(payment(order_no).id), order_no, f"{name}-{round_}")
        try:
            if await ledger.commit(change):
                say(f"{change.payment.id} {change.payment.rev}")
        except Busy:
            continue
        if dice.random() < 0.05:
            await ledger.claim_due(T0, T0 + dice.randrange(1_000), 5)


async def race(url: str, name: str, payments: int, rounds: int) -> None:
    """Several workers in this process."""
    dice = random.Random(name)
    ledger = await open_ledger(url, token=lambda: "t" * 32)
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.gather(*(work(ledger, f"{name}-{n}", dice, payments, rounds) for n in range(AT_ONCE)))
    await ledger.close()
    say("end")


if __name__ == "__main__":
    asyncio.run(race(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
