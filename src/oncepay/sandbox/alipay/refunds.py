"""The rules of a refund: keyed by trade and ``out_request_no``, done at once, told with the sum of what went back."""

from typing import Any, Final

from oncepay.sandbox.alipay import shapes, trades, wire
from oncepay.sandbox.alipay.books import CLOSED, FINISHED, PAID, WAITING, Refund, Trade
from oncepay.sandbox.alipay.desk import Desk
from oncepay.sandbox.alipay.keys import Merchant
from oncepay.sandbox.alipay.wire import Call, Refusal, failed
from oncepay.sandbox.vendor import Refused

LATE_S: Final = 3600.0


def apply(desk: Desk, merchant: Merchant, call: Call) -> dict[str, Any]:
    """Give some of a payment back, once for each ``out_request_no``."""
    asked = shapes.refund(call)
    trade = trades.find(desk, merchant.seller_id, asked.named)
    if trade is None:
        raise failed("TRADE_NOT_EXIST")
    number = asked.request_no or trade.trade_no
    known = trade.refund(number)
    if known is not None and known.status != "NEVER":
        if known.amount != asked.fen:
            raise failed("DISCORDANT_REPEAT_REQUEST")
        return view(trade, known, moved=False, options=asked.options)
    _check(desk, trade, asked)
    refund = Refund(number=number, amount=asked.fen, created=desk.now)
    faults, numbers = desk.ground.faults, (number, trade.offer.number)
    late = faults.strike("refund_late", "refund", *numbers)
    if faults.strike("refund_closed", "refund", *numbers):
        refund.status = "NEVER"
    elif late is not None:
        refund.status, refund.due = "PENDING", desk.now + (late.seconds or LATE_S)
    if known is not None:
        trade.refunds.remove(known)
    desk.books.add_refund(trade, refund)
    if refund.status == "PENDING":
        wait_for(desk, trade, refund)
    elif refund.status == "SUCCESS":
        settle(desk, trade, refund)
    return view(trade, refund, moved=refund.status == "SUCCESS", options=asked.options)


def _check(desk: Desk, trade: Trade, asked: shapes.Refund) -> None:
    """Whether this much can go back now."""
    if trade.state == FINISHED:
        raise failed("TRADE_HAS_FINISHED")
    if trade.paid is None or trade.state == WAITING:
        raise failed("TRADE_STATUS_ERROR")
    if not asked.request_no and asked.fen != trade.offer.total:
        raise failed("REFUND_AMT_NOT_EQUAL_TOTAL", "部分退款必须传入out_request_no")
    if asked.fen > trade.refundable:
        raise failed("REASON_TRADE_REFUND_FEE_ERR", "退款金额无效")
    gap_s = desk.ground.switches.refund_gap_s or 0.0
    last = max((refund.created for refund in trade.refunds), default=None)
    if last is not None and desk.now < last + gap_s:
        raise Refusal("40005", "isv.method-call-limited", "同一笔交易的多次退款间隔过短")
    numbers = (asked.request_no, trade.offer.number)
    if desk.ground.faults.strike("not_enough", "refund", *numbers) or balance(desk, trade) < asked.fen:
        raise failed("SELLER_BALANCE_NOT_ENOUGH")


def balance(desk: Desk, trade: Trade) -> int:
    """The seller's balance, fen: what came in less fees, less what went back."""
    return desk.ground.switches.balance_fen + desk.books.net(trade.offer.seller_id)


def wait_for(desk: Desk, trade: Trade, refund: Refund) -> None:
    """Let a refund that is on its way move the money when its time has come."""
    desk.ground.clock.at(refund.due, lambda: settle(desk, trade, refund))


def settle(desk: Desk, trade: Trade, refund: Refund) -> None:
    """The money goes back, and the merchant is told."""
    refund.status, refund.done = "SUCCESS", desk.now
    refund.fee = trades.fee(refund.amount)
    desk.books.moved(trade, refund.fee - refund.amount)
    if trade.refunded == trade.offer.total:
        trade.state, trade.closed = CLOSED, desk.now
    desk.books.changed(trade)
    desk.notifier.refund(trade, refund)


def from_console(desk: Desk, trade: Trade, fen: int) -> Refund:
    """A refund that the merchant makes in the console; told at the payment's address like any other."""
    if trade.state not in (PAID, CLOSED) or trade.paid is None:
        raise Refused(409, "not_paid", "this trade is not paid, or can no longer be refunded")
    if not 0 < fen <= trade.refundable:
        raise Refused(409, "refund_invalid", f"between 1 and {trade.refundable} fen can go back")
    refund = Refund(number=f"console{desk.ground.dice.randbytes(8).hex()}", amount=fen, created=desk.now)
    desk.books.add_refund(trade, refund)
    settle(desk, trade, refund)
    return refund


def view(trade: Trade, refund: Refund, *, moved: bool, options: list[str]) -> dict[str, Any]:
    """What a refund answers: ``refund_fee`` is the sum of all that went back of this trade."""
    told: dict[str, Any] = {
        "buyer_logon_id": trade.buyer_logon,
        "buyer_user_id": trade.buyer_id,
        "fund_change": "Y" if moved else "N",
        "out_trade_no": trade.offer.number,
        "refund_fee": wire.yuan(trade.refunded),
        "trade_no": trade.trade_no,
    }
    if refund.done is not None:
        told["gmt_refund_pay"] = wire.shown(refund.done)
    if "refund_detail_item_list" in options:
        told["refund_detail_item_list"] = [{"amount": wire.yuan(refund.amount), "fund_channel": "ALIPAYACCOUNT"}]
        told["send_back_fee"] = wire.yuan(refund.amount)
    return told


def query(desk: Desk, merchant: Merchant, call: Call) -> dict[str, Any]:
    """How a refund stands; one that is not done, or not known, is answered without ``refund_status``."""
    found = shapes.content(call)
    asked = shapes.options(found)
    named = shapes.named(found)
    number = shapes.text(found, "out_request_no", 64, least=1)
    trade = trades.find(desk, merchant.seller_id, named)
    if trade is None:
        raise failed("TRADE_NOT_EXIST")
    refund = trade.refund(number)
    if refund is None and number == trade.offer.number:
        refund = trade.refund(trade.trade_no)  # made without a number of its own
    if refund is None or refund.done is None:
        return {}
    told = {
        "out_request_no": number,
        "out_trade_no": trade.offer.number,
        "refund_amount": wire.yuan(refund.amount),
        "refund_status": "REFUND_SUCCESS",
        "total_amount": wire.yuan(trade.offer.total),
        "trade_no": trade.trade_no,
    }
    if "gmt_refund_pay" in asked:
        told["gmt_refund_pay"] = wire.shown(refund.done)
    return told


def cancel(desk: Desk, merchant: Merchant, call: Call) -> dict[str, Any]:
    """Call a payment off: closed when it was not paid, refunded in full when it was."""
    named = shapes.named(shapes.content(call))
    trade = trades.find(desk, merchant.seller_id, named)
    told: dict[str, Any] = {"retry_flag": "N"}
    if trade is None:
        return told | ({"out_trade_no": named.number} if named.number else {})
    told |= {"out_trade_no": trade.offer.number, "trade_no": trade.trade_no}
    if trade.paid is None:
        trades.cancel_unpaid(desk, trade)
        return told | {"action": "close"}
    if trade.state == FINISHED:
        raise failed("TRADE_HAS_FINISHED")
    if desk.now > trade.paid + desk.switches.cancel_window_s:
        raise failed("TRADE_CANCEL_TIME_OUT", "超过撤销时间范围")
    if trade.refundable:
        refund = Refund(number=trade.trade_no, amount=trade.refundable, created=desk.now)
        desk.books.add_refund(trade, refund)
        settle(desk, trade, refund)
    return told | {"action": "refund"}
