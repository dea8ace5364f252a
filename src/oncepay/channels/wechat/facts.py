"""From what WeChat Pay says of an order or a refund to one piece of evidence: the states, and what must agree.

The states are those of the official tables 交易状态 and 退款状态. Whether the amount is right the core decides.
"""

from __future__ import annotations

from typing import Final

from oncepay.channels.texts import CNY, WORDS_MAX, differing, printable, read_time
from oncepay.channels.wechat.accounts import Opened
from oncepay.channels.wechat.wire import Refunded, RefundNotified, Trade
from oncepay.domain.attempt import Call, Direction, Fact, Reason, Road
from oncepay.domain.change import Evidence

TRADE_STATES: Final = {
    "SUCCESS": Fact.MOVED,
    "REFUND": Fact.MOVED,  # it moved; that some went back later is another number's news
    "NOTPAY": Fact.PENDING,  # also after a wrong password, a refused card, and past time_expire
    "USERPAYING": Fact.PENDING,
    "PAYERROR": Fact.PENDING,  # this try failed; the payer may try again until the close
    "CLOSED": Fact.OVER,
    "REVOKED": Fact.OVER,
}
REFUND_STATES: Final = {
    "PROCESSING": Fact.PENDING,
    "ABNORMAL": Fact.PENDING,  # the payer's card is gone; a person has to send it elsewhere, it may still succeed
    "SUCCESS": Fact.MOVED,
    "CLOSED": Fact.OVER,
}
_PLAIN: Final = frozenset({"SUCCESS", "NOTPAY", "PROCESSING"})  # states that add nothing to their fact


def of_trade(
    trade: Trade, opened: Opened, *, number: str, road: Road, said_ms: int, call: Call | None = None
) -> Evidence:
    """``number``: of the attempt that it should be about; in a notification, the one it names."""
    state = trade.trade_state
    fact = TRADE_STATES.get(state, Fact.SILENT)  # a word that is new tomorrow must not fail a payment today
    moved = fact is Fact.MOVED
    channel_ms, day = read_time(trade.success_time) if moved else (0, 0)
    amount = trade.amount if moved else None
    wrong = ""
    if (trade.mchid, trade.appid, trade.out_trade_no) != (opened.mchid, opened.appid, number):
        wrong = differing(
            mchid=(trade.mchid, opened.mchid),
            appid=(trade.appid, opened.appid),
            out_trade_no=(trade.out_trade_no, number),
        )
    return Evidence(
        number=number,
        fact=fact,
        road=road,
        call=call,
        reason=Reason.CLOSED if fact is Fact.OVER else Reason.NONE,
        words="" if state in _PLAIN else printable(state)[:WORDS_MAX],
        minor=amount.total if amount else None,
        currency=amount.currency if amount else None,
        wrong=wrong,
        trade_no=trade.transaction_id or "",
        channel_ms=channel_ms,
        said_ms=said_ms,
        channel_day=day,
        refunded=state == "REFUND",
    )


def of_refund(
    refund: Refunded | RefundNotified,
    *,
    number: str,
    road: Road,
    said_ms: int,
    wrong: str,
    call: Call | None = None,
) -> Evidence:
    """``number``: of the out attempt that it should be about. Notifications carry no currency: these are domestic
    refunds, which know only one."""
    notified = isinstance(refund, RefundNotified)
    state = refund.refund_status if isinstance(refund, RefundNotified) else refund.status
    fact = REFUND_STATES.get(state, Fact.SILENT)
    told = fact is not Fact.SILENT
    channel_ms, day = read_time(refund.success_time) if fact is Fact.MOVED else (0, 0)
    currency = CNY if notified else refund.amount.currency
    return Evidence(
        number=number,
        fact=fact,
        road=road,
        direction=Direction.OUT,
        call=call,
        reason=Reason.CLOSED if fact is Fact.OVER else Reason.NONE,
        words="" if state in _PLAIN else printable(state)[:WORDS_MAX],
        attention="refund_abnormal" if state == "ABNORMAL" else "",
        minor=refund.amount.refund if told else None,
        currency=currency if told else None,
        wrong=wrong,
        of=refund.out_trade_no,
        trade_no=refund.refund_id,
        channel_ms=channel_ms,
        said_ms=said_ms,
        channel_day=day,
    )
