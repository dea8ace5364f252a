"""From what Alipay says of a trade to one piece of evidence: the states, and what must agree.

``TRADE_CLOSED`` alone says nothing: unpaid and closed, or paid and then refunded in full. A time of payment, a refund,
or that we know of the payment already, says which. Whether the amount is right the core decides.
"""

from __future__ import annotations

from typing import Final

from oncepay.channels.alipay.wire import Trade, minor_of
from oncepay.channels.texts import CNY, WORDS_MAX, printable, read_time
from oncepay.domain.attempt import Call, Fact, Reason, Road
from oncepay.domain.change import Evidence

CLOSED: Final = "TRADE_CLOSED"
STATES: Final = {
    "WAIT_BUYER_PAY": Fact.PENDING,
    "TRADE_SUCCESS": Fact.MOVED,  # also after a part of it went back
    "TRADE_FINISHED": Fact.MOVED,  # and no more refunds
    CLOSED: Fact.OVER,
}
_PLAIN: Final = frozenset({"WAIT_BUYER_PAY", "TRADE_SUCCESS"})  # states that add nothing to their fact


def of_trade(
    trade: Trade,
    *,
    number: str,
    road: Road,
    wrong: str,
    call: Call | None = None,
    known: bool = False,
    said_ms: int = 0,
) -> Evidence:
    """``number``: of the attempt that it should be about. ``known``: we know already that it was paid. Raises
    ValueError when an amount that counts cannot be read."""
    state = trade.trade_status
    fact = STATES.get(state, Fact.SILENT)  # a word that is new tomorrow must not fail a payment today
    returned = minor_of(trade.refund_fee) if trade.refund_fee else None
    if state == CLOSED and (known or trade.gmt_payment or trade.send_pay_date or trade.gmt_refund or returned):
        fact = Fact.MOVED
    moved = fact is Fact.MOVED
    minor = minor_of(trade.total_amount) if moved else None
    channel_ms, day = read_time(trade.gmt_payment or trade.send_pay_date) if moved else (0, 0)
    return Evidence(
        number=number,
        fact=fact,
        road=road,
        call=call,
        reason=Reason.CLOSED if fact is Fact.OVER else Reason.NONE,
        words="" if state in _PLAIN else printable(state)[:WORDS_MAX],
        minor=minor,
        currency=CNY if moved else None,
        wrong=wrong,
        trade_no=trade.trade_no,
        channel_ms=channel_ms,
        said_ms=said_ms,
        channel_day=day,
        returned_minor=(minor if state == CLOSED else returned) if moved else None,
    )
