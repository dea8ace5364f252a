"""From what UnionPay says of a transaction to one piece of evidence: what must agree, how much, when.

Whether the amount is right the core decides.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Final, NamedTuple

from oncepay.channels.texts import CNY, WORDS_MAX, differing, printable
from oncepay.channels.unionpay.accounts import Opened
from oncepay.channels.unionpay.requests import REFUND, VOID
from oncepay.channels.unionpay.wire import amount, currency, nearest, number_at, read_time, time_text
from oncepay.channels.verdicts import Verdict
from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Road
from oncepay.domain.change import Evidence

PAYMENTS: Final = frozenset({"01"})
REFUNDS: Final = frozenset({REFUND, VOID})
_PLAIN: Final = frozenset({"00", "05"})  # codes that add nothing to their fact


class Echo(NamedTuple):
    """What we sent along: app, order number, and of a refund the number that it reverses."""

    order: str = ""
    of: str = ""


def echo(fields: Mapping[str, str]) -> Echo:
    """What stands in ``reqReserved``, if it is ours: other programs of the merchant send what they like."""
    try:
        text = binascii.a2b_base64(fields.get("reqReserved", ""), strict_mode=True).decode()
    except ValueError:
        return Echo()
    app, _, rest = text.partition(":")
    order_no, _, of = rest.partition(":")
    if not text.isprintable() or not order_no or (of and not of.isalnum()):
        return Echo()
    return Echo(f"{app}:{order_no}", of)


def differs(fields: Mapping[str, str], attempt: Attempt, opened: Opened, kinds: frozenset[str]) -> str:
    """Which identities are not the attempt's. Raises ValueError when one is not said: then it is about nothing."""
    for name in ("merId", "orderId", "txnTime"):
        if name not in fields:
            raise ValueError(f"{name} is missing")
    kind = fields.get("txnType", "")
    found = differing(
        merId=(fields["merId"], opened.mer_id),
        orderId=(fields["orderId"], attempt.no),
        txnTime=(fields["txnTime"], time_text(attempt.created_ms)),
    )
    if not found and kind and kind not in kinds:
        found = f"txnType is {kind!r}, not {' or '.join(sorted(kinds))}"
    return found


def words(code: str, says: str) -> str:
    """The code first, then what UnionPay says to people about it, fit for logs and databases."""
    return "" if code in _PLAIN else printable(f"{code} {says}".strip())[:WORDS_MAX]


def of_transaction(
    fields: Mapping[str, str],
    verdict: Verdict,
    *,
    number: str,
    direction: Direction,
    road: Road,
    words: str,
    wrong: str,
    of: str,
    call: Call | None = None,
) -> Evidence:
    """``fields``: signed by UnionPay; ``number``: of the attempt that it is about. Raises ValueError when they cannot
    be read. Refunds are answered without a currency: these are domestic ones, which know only one."""
    fact = verdict.fact
    moved, out = fact is Fact.MOVED, direction is Direction.OUT
    minor, code = (amount(fields), currency(fields)) if moved or (out and fact is Fact.PENDING) else (None, None)
    began = read_time(fields.get("txnTime", "")) if moved else None
    at = nearest(fields.get("traceTime", ""), began) if began else None
    day = nearest(fields.get("settleDate", ""), began) if began else None
    return Evidence(
        number=number,
        fact=fact,
        road=road,
        direction=direction,
        call=call,
        reason=verdict.reason,
        words=words,
        fault=verdict.fault,
        attention=verdict.attention,
        minor=minor,
        currency=CNY if out and minor is not None and code is None else code,
        wrong=wrong,
        of=of,
        trade_no=number_at(fields, "queryId") if moved and "queryId" in fields else "",
        channel_ms=int(at.timestamp() * 1000) if at else 0,
        channel_day=int(f"{day:%Y%m%d}") if day else 0,
    )
