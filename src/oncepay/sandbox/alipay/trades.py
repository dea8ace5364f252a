"""The rules of a trade: offered, begun when its buyer is known, paid, closed, asked about.

Until a buyer has logged in there is no trade: query and close say TRADE_NOT_EXIST, while the payer may still follow
the page or scan the code. All pages of one number lead to one trade; nobody pays one number twice.
"""

import contextlib
import hashlib
from typing import Any, Final
from urllib.parse import urlencode

from oncepay.sandbox.alipay import shapes, wire
from oncepay.sandbox.alipay.books import CLOSED, CODE_URL, FINISHED, PAID, WAITING, Method, Offer, Trade
from oncepay.sandbox.alipay.desk import Desk
from oncepay.sandbox.alipay.keys import Merchant
from oncepay.sandbox.alipay.wire import Call, Refusal, failed
from oncepay.sandbox.vendor import autopay

BUYER_ID: Final = "2088102169481075"
BUYER_LOGON: Final = "188****0000"  # who pays, unless the payer says
FEE_BASIS_POINTS: Final = 60  # 0.60 %
TOO_LATE: Final = ("ACQ.TRADE_HAS_CLOSE", "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR", "ACQ.PAYMENT_FAIL")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def fee(amount: int) -> int:
    """The vendor's fee on an amount, fen, rounded half up."""
    return (amount * FEE_BASIS_POINTS + 5000) // 10000


# --- offers -----------------------------------------------------------------------------------


def open_page(desk: Desk, merchant: Merchant, method: Method, call: Call) -> Offer:
    """A payer follows a signed request, for the first time or once more. Raises Refusal."""
    known = desk.books.by_sign(call.get("sign"))
    offer = known or _offer(desk, merchant, method, call)
    if "pay_after_close" not in desk.ground.faults.rules:  # that one strikes when the payer pays
        check(desk, offer)
    if known is None:
        desk.books.offered(offer)
        _may_pay_itself(desk, offer)
    return offer


def precreate(desk: Desk, merchant: Merchant, call: Call) -> dict[str, Any]:
    """A QR code; the same one while the same request would still get it."""
    offer = _offer(desk, merchant, "precreate", call)
    check(desk, offer)
    known = desk.books.latest(offer.seller_id, offer.number)
    if known is not None and _same_code(known, offer) and _alive(desk, known):
        offer = known
    else:
        desk.books.offered(offer)
        _may_pay_itself(desk, offer)
    return {"out_trade_no": offer.number, "qr_code": CODE_URL + offer.code}


def _alive(desk: Desk, offer: Offer) -> bool:
    return desk.now < min(offer.expires, offer.code_until) and not offer.dead


def _same_code(known: Offer, offer: Offer) -> bool:
    """Whether two requests ask for one code, whatever their times."""
    return known.method == "precreate" and all(
        getattr(known, member) == getattr(offer, member)
        for member in ("total", "subject", "body", "passback", "notify_url", "app_id", "charset")
    )


def _offer(desk: Desk, merchant: Merchant, method: Method, call: Call) -> Offer:
    now = desk.now
    asked = shapes.pay(call, method, merchant.seller_id, now)
    drawn = "".join([_DIGITS[byte % 36] for byte in desk.ground.dice.randbytes(16)])
    return Offer(
        code=f"bax{drawn}",
        method=method,
        app_id=merchant.app_id,
        seller_id=merchant.seller_id,
        seller_email=merchant.seller_email,
        number=asked.number,
        total=asked.total,
        subject=asked.subject,
        body=asked.body,
        passback=asked.passback,
        notify_url=asked.notify_url,
        return_url=asked.return_url,
        charset=call.charset,
        sign="" if method == "precreate" else call.get("sign"),
        created=now,
        expires=asked.expires,
        code_until=asked.code_until,
    )


def check(desk: Desk, offer: Offer) -> None:
    """Whether this offer can still lead to a payment; refused in the words of the pay family."""
    trade = desk.books.of(offer)
    if trade is None:
        if desk.now >= offer.expires:
            raise failed("NOW_TIME_AFTER_EXPIRE_TIME_ERROR", "当前时间已超过允许支付的时间")
        if desk.now >= offer.code_until or offer.dead:
            raise failed("PAYMENT_FAIL", "二维码已失效")
        return
    if trade.state in (PAID, FINISHED):
        raise failed("TRADE_HAS_SUCCESS")
    if trade.state == CLOSED:
        raise failed("TRADE_HAS_CLOSE")
    first = trade.offer
    if (first.total, first.subject, first.app_id) != (offer.total, offer.subject, offer.app_id):
        raise failed("CONTEXT_INCONSISTENT")


# --- the payer --------------------------------------------------------------------------------


def buyer(account: str) -> tuple[str, str]:
    """The id and the masked name of a payer's account; of nobody in particular when it is empty."""
    if account in ("", BUYER_ID, BUYER_LOGON):
        return BUYER_ID, BUYER_LOGON
    if len(account) == 16 and account.startswith("2088") and account.isdecimal():
        return account, f"{account[4:7]}****{account[-4:]}"
    drawn = int.from_bytes(hashlib.sha256(account.encode()).digest()[:8], "big")
    return f"2088{drawn % 10**12:012d}", f"{account[:3]}****{account[-4:]}"


def log_in(desk: Desk, offer: Offer, account: str = "") -> Trade:
    """The buyer is known from here on: the trade exists. Raises Refusal."""
    check(desk, offer)
    return _begun(desk, offer, account)


def _begun(desk: Desk, offer: Offer, account: str) -> Trade:
    """The trade of an offer, begun now if this is its first buyer."""
    buyer_id, buyer_logon = buyer(account)
    trade = desk.books.of(offer)
    if trade is not None:
        if account and trade.buyer_id != buyer_id:
            raise failed("TRADE_BUYER_NOT_MATCH", "交易买家不匹配")
        return trade
    trade_no = desk.books.next_trade_no()
    trade = Trade(offer=offer, trade_no=trade_no, buyer_id=buyer_id, buyer_logon=buyer_logon, created=desk.now)
    desk.books.add(trade)
    watch(desk, trade)
    return trade


def pay(desk: Desk, offer: Offer, account: str = "") -> Trade:
    """The payer pays what is offered. Raises Refusal when Alipay would not let them."""
    try:
        check(desk, offer)
    except Refusal as refusal:
        too_late = refusal.sub_code in TOO_LATE
        if not too_late or not desk.ground.faults.strike("pay_after_close", "pay", offer.number):
            raise
    trade = _begun(desk, offer, account)
    settle(desk, trade)
    return trade


def settle(desk: Desk, trade: Trade) -> None:
    """The money moves, and the merchant is told."""
    number = trade.offer.number
    trade.state, trade.paid, trade.closed = PAID, desk.now, None
    trade.fee = fee(trade.offer.total)
    late = desk.ground.faults.strike("late_pay", "pay", number)
    if late is not None:
        trade.hidden_queries = 3 if late.queries is None else late.queries
    desk.books.moved(trade, trade.offer.total - trade.fee)
    desk.books.changed(trade)
    watch(desk, trade)
    total = trade.offer.total
    wrong = desk.ground.faults.strike("notify_wrong_amount", "notify", number)
    if wrong is not None:
        total = total + 1 if wrong.amount is None else wrong.amount
    desk.notifier.payment(trade, total)


def watch(desk: Desk, trade: Trade) -> None:
    """Let an unpaid trade close at its expiry, and a paid one finish at the end of its refund window."""
    if trade.state == WAITING:
        desk.ground.clock.at(trade.offer.expires, lambda: _expire(desk, trade))
    elif trade.state == PAID:
        end = (trade.paid or 0.0) + desk.switches.refund_window_s
        desk.ground.clock.at(end, lambda: _finish(desk, trade))


def _expire(desk: Desk, trade: Trade) -> None:
    if trade.state == WAITING:
        _close(desk, trade)


def _finish(desk: Desk, trade: Trade) -> None:
    if trade.state == PAID:
        trade.state = FINISHED
        desk.books.changed(trade)
        desk.notifier.ended(trade)


def _close(desk: Desk, trade: Trade) -> None:
    trade.state, trade.closed = CLOSED, desk.now
    desk.books.changed(trade)
    desk.notifier.ended(trade)


def _may_pay_itself(desk: Desk, offer: Offer) -> None:
    def run() -> None:
        if not offer.left:
            with contextlib.suppress(Refusal):  # expired or paid meanwhile, as in life
                pay(desk, offer)

    autopay(desk.ground.clock, desk.ground.dice, desk.ground.switches, run)


def returned(desk: Desk, trade: Trade, offer: Offer) -> str:
    """Where the payer's browser goes after paying: ``return_url`` with signed parameters, or nowhere."""
    if not offer.return_url:
        return ""
    told = {
        "charset": offer.charset,
        "out_trade_no": offer.number,
        "method": f"alipay.trade.{offer.method}.pay.return",
        "total_amount": wire.yuan(offer.total),
        "trade_no": trade.trade_no,
        "auth_app_id": offer.app_id,
        "version": "1.0",
        "app_id": offer.app_id,
        "sign_type": "RSA2",
        "seller_id": offer.seller_id,
        "timestamp": wire.shown(desk.now),
    }
    codec = wire.CODECS[offer.charset.lower()]
    told["sign"] = desk.ring.sign(wire.signed_text(told, "sign_type").encode(codec))
    joint = "&" if "?" in offer.return_url else "?"
    return offer.return_url + joint + urlencode(told, encoding=codec)


# --- the merchant -----------------------------------------------------------------------------


def find(desk: Desk, seller_id: str, named: shapes.Named) -> Trade | None:
    """The seller's trade of a number; ``trade_no`` wins."""
    if named.trade_no:
        return desk.books.by_trade_no(seller_id, named.trade_no)
    return desk.books.trade(seller_id, named.number)


def query(desk: Desk, merchant: Merchant, call: Call) -> dict[str, Any]:
    """What the merchant sees of a trade."""
    found = shapes.content(call)
    shapes.options(found)
    named = shapes.named(found)
    trade = find(desk, merchant.seller_id, named)
    nothing = dict.fromkeys(("buyer_pay_amount", "invoice_amount", "point_amount", "receipt_amount"), "0.00")
    if trade is None:
        raise failed("TRADE_NOT_EXIST", members=nothing | ({"out_trade_no": named.number} if named.number else {}))
    offer, state = trade.offer, trade.state
    told: dict[str, Any] = {
        "buyer_logon_id": trade.buyer_logon,
        "buyer_user_id": trade.buyer_id,
        "out_trade_no": offer.number,
        "total_amount": wire.yuan(offer.total),
        "trade_no": trade.trade_no,
    }
    if trade.hidden_queries > 0:
        trade.hidden_queries -= 1
        desk.books.changed(trade)
        state = WAITING
    if state == WAITING or trade.paid is None:
        return told | nothing | {"trade_status": state}
    amount = wire.yuan(offer.total)
    return told | {
        "buyer_pay_amount": amount,
        "fund_bill_list": [{"amount": amount, "fund_channel": "ALIPAYACCOUNT"}],
        "invoice_amount": amount,
        "point_amount": "0.00",
        "receipt_amount": amount,
        "send_pay_date": wire.shown(trade.paid),
        "trade_status": state,
    }


def close(desk: Desk, merchant: Merchant, call: Call) -> dict[str, Any]:
    """Close a trade that waits for its buyer; there is nothing to close before."""
    found = shapes.content(call)
    named = shapes.named(found)
    shapes.text(found, "operator_id", shapes.LENGTHS["operator_id"])
    trade = find(desk, merchant.seller_id, named)
    offer = trade.offer if trade is not None else desk.books.latest(merchant.seller_id, named.number)
    unpaid = trade.state == WAITING if trade is not None else offer is not None
    if offer is not None and unpaid and desk.ground.faults.strike("paid_during_close", "close", offer.number):
        trade = _begun(desk, offer, "")
        settle(desk, trade)
    if trade is None:
        if offer is not None and desk.switches.close_kills_code:
            offer.dead = True
            desk.books.offered(offer)
        raise failed("TRADE_NOT_EXIST")
    if trade.state != WAITING:
        raise failed(desk.switches.unclosable_code, "交易状态不合法")
    _close(desk, trade)
    return {"out_trade_no": trade.offer.number, "trade_no": trade.trade_no}


def cancel_unpaid(desk: Desk, trade: Trade) -> None:
    """Close a trade because its payment is called off."""
    if trade.state == WAITING:
        _close(desk, trade)
