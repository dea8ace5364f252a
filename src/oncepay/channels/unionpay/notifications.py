"""What UnionPay tells us by itself: a form, verified, then read. Never raises.

Of a payment only success is announced; of a refund failure too. A message holds no time of its own, so an old one may
come again: it says what it said before. It does not hold the payment of a refund either, which comes back in our echo.
Answers are signed as notifications are, so one that somebody got hold of must not be read as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from oncepay.channels.texts import differing
from oncepay.channels.unionpay.accounts import Opened
from oncepay.channels.unionpay.codes import became_of_payment, became_of_refund
from oncepay.channels.unionpay.facts import PAYMENTS, REFUNDS, echo, of_transaction, words
from oncepay.channels.unionpay.keys import Doubt, verify
from oncepay.channels.unionpay.requests import VOID
from oncepay.channels.unionpay.wire import number_at, read_form, read_time
from oncepay.channels.verdicts import Verdict
from oncepay.domain.attempt import Direction, Fact, Road
from oncepay.ports import Notice, Refused

# What is said of a transaction that was carried out, and not of one that was merely taken on.
_CARRIED_OUT: Final = frozenset({"settleAmt", "settleDate", "traceNo"})
_TAKEN_ON: Final = Verdict(Fact.PENDING)


def read(body: bytes, opened: Opened, *, now_ms: int) -> Notice | Refused:
    """The headers say nothing that is signed."""
    try:
        fields = read_form(body)
    except ValueError as error:
        return Refused(why=f"unreadable: {error}")
    genuine = verify(fields, opened.chain, now_ms=now_ms)
    if isinstance(genuine, Doubt):
        return Refused(why=genuine.why)
    try:
        return _told(genuine.fields, opened)
    except ValueError as error:
        return Refused(why=f"signed, and unreadable: {error}")


def _told(fields: Mapping[str, str], opened: Opened) -> Notice:
    kind, code = fields.get("txnType", ""), fields.get("respCode", "")
    if kind not in PAYMENTS | REFUNDS:
        raise ValueError(f"neither a payment nor a refund: txnType {kind[:8]!r}")
    if not code or read_time(fields.get("txnTime", "")) is None:
        raise ValueError("respCode or txnTime is missing or malformed")
    if "origRespCode" in fields:  # signed alike, but there respCode is the query's own, 00 for what nobody has paid too
        raise ValueError("it is the answer to a query")
    number, sent = number_at(fields, "orderId"), echo(fields)
    paid = kind in PAYMENTS
    # Whether the time to pay is over is not known here, so a payment that failed is one that may still be tried again.
    verdict = became_of_payment(code, expired=False) if paid else became_of_refund(code, void=kind == VOID)
    if not paid and verdict.fact is Fact.MOVED and not fields.keys() & _CARRIED_OUT:
        verdict = _TAKEN_ON  # it may be the answer to the refund, where 00 says no more: its query tells
    evidence = of_transaction(
        fields,
        verdict,
        number=number,
        direction=Direction.IN if paid else Direction.OUT,
        road=Road.NOTIFICATION,
        words=words(code, fields.get("respMsg", "")),
        wrong=differing(merId=(fields.get("merId", ""), opened.mer_id)),
        of="" if paid else sent.of,
    )
    if paid and evidence.fact is Fact.MOVED and not evidence.trade_no:  # or it is the answer to an order: it was taken
        raise ValueError("queryId is missing")
    numbers = (sent.of, number) if evidence.of else (number,)
    return Notice(numbers=numbers, evidence=(evidence,), echo=sent.order)
