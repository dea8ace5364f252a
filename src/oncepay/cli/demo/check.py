"""The judge of the stories: three ledgers that know nothing of each other must tell the same, and what was promised.

The sandbox's books say what money moved, the centre's API what it made of that, the shop's own books what the shop did.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from oncepay.cli.demo.books import Order

UNPAID: Final = frozenset({"NOTPAY", "WAIT_BUYER_PAY"})  # in the vendors' words: somebody may still pay it


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """How a story is to end. Amounts in minor units.

    ``charged``: what the payer paid in all; ``returned``: what went back. ``refunds``: how many refunds the channel
    carried out. ``deeds``: what the shop did, each once. ``orders``: how many orders the channel has for it.
    """

    status: str
    charged: int = 0
    returned: int = 0
    refunds: int = 0
    deeds: tuple[str, ...] = ()
    orders: int = 1


def complaints(
    promise: Promise, rows: Sequence[dict[str, Any]], payment: dict[str, Any], order: Order | None
) -> list[str]:
    """What is not as promised, or not the same in all three; empty when all is well.

    rows: the sandbox's orders of this payment. payment: as the API shows it. order: as the shop has it.
    """
    return [
        *_of_the_channel(promise, rows),
        *_of_the_centre(promise, payment),
        *_of_the_shop(promise, payment, order),
        *_between(rows, payment, order),
    ]


def _of_the_channel(promise: Promise, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if len(rows) != promise.orders:
        yield f"the channel has {len(rows)} orders, not {promise.orders}"
    yield from _differs("the channel's charges", sum(row["paid"] for row in rows), promise.charged)
    yield from _differs("what the channel returned", sum(row["refunded"] for row in rows), promise.returned)
    refunds = [refund for row in rows for refund in row["refunds"]]
    yield from _differs("refunds at the channel", len(refunds), promise.refunds)
    for row in rows:
        if sum(refund["amount"] for refund in row["refunds"]) != row["refunded"]:
            yield f"a refund of {row['number']} is not carried out: {[refund['status'] for refund in row['refunds']]}"
        if not row["paid"] and row["state"] in UNPAID:
            yield f"the channel's order {row['number']} is still to be paid"


def _of_the_centre(promise: Promise, payment: dict[str, Any]) -> Iterator[str]:
    yield from _differs("the centre's status", payment["status"], promise.status)
    if payment["closing"]:
        yield "the centre is still closing it"
    for refund in payment["refunds"]:
        if refund["status"] == "open":
            yield f"the centre has refund {refund['refund_no']} still open"


def _of_the_shop(promise: Promise, payment: dict[str, Any], order: Order | None) -> Iterator[str]:
    if order is None:
        yield "the shop does not know the order"
        return
    yield from _differs("what the shop did", sorted(deed.what for deed in order.deeds), sorted(promise.deeds))
    yield from _differs("the shop's version", order.version, payment["version"])
    yield from _differs("the shop's status", order.status, payment["status"])


def _between(rows: Sequence[dict[str, Any]], payment: dict[str, Any], order: Order | None) -> Iterator[str]:
    """To the fen: what the channel holds for us, what the centre says is kept, what is in the shop's cash book."""
    held = sum(row["paid"] - row["refunded"] for row in rows)
    kept = payment["kept_minor"]
    cash = order.cash if order else 0
    if not held == kept == cash:
        yield f"the channel holds {held}, the centre keeps {kept}, the shop has {cash}"


def _differs(what: str, found: object, wanted: object) -> Iterator[str]:
    if found != wanted:
        yield f"{what}: {found}, not {wanted}"
