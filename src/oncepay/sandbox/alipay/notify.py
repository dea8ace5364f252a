"""Notifications: a signed form, repeated on Alipay's own schedule until the body is exactly ``success``.

Payments and refunds are told at one address, the ``notify_url`` of the payment; there is no other. Each delivery has
its own ``notify_time`` and signature; ``notify_id`` stays.
"""

from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from oncepay.sandbox import notices
from oncepay.sandbox.alipay import wire
from oncepay.sandbox.alipay.books import CLOSED, Refund, Trade
from oncepay.sandbox.alipay.keys import Ring
from oncepay.sandbox.clock import beijing
from oncepay.sandbox.notices import Notice
from oncepay.sandbox.vendor import Ground

# Seconds between a failed delivery and the next. Source: Alipay's pages, 异步通知: 4m, 10m, 10m, 1h, 2h, 6h, 15h after
# the first; eight sends. (The same text calls that 24 h 22 min; the numbers add up to 24 h 24 min.)
GAPS_S: Final = (240, 600, 600, 3600, 7200, 21600, 54000)
ANSWER_S: Final = 5.0
TAKEN: Final = b"success"
_HEADERS: Final = {"User-Agent": "Mozilla/4.0", "Accept": "*/*"}


class Notifier(notices.Notifier):
    """Composes and signs what is delivered."""

    def __init__(self, ring: Ring, ground: Ground) -> None:
        super().__init__("alipay.notice", GAPS_S, ANSWER_S, ground)
        self._ring = ring
        self._counted = 0

    def payment(self, trade: Trade, total: int) -> None:
        """Tell the merchant that a trade was paid, with ``total`` fen."""
        self._tell(trade, paid(trade, total))

    def refund(self, trade: Trade, refund: Refund) -> None:
        """Tell the merchant that some of it went back; of a full refund only where closing is told."""
        if trade.state != CLOSED or self._tells_end(trade):
            self._tell(trade, refunded(trade, refund))

    def ended(self, trade: Trade) -> None:
        """Tell the merchant that a trade closed unpaid, or can no longer be refunded; where that is told."""
        if self._tells_end(trade):
            self._tell(trade, ended(trade))

    def compose(self, trade: Trade, told: dict[str, str]) -> Notice:
        """A notification of its own: ``told`` with an id; time and signature come with each delivery."""
        now = self._clock.now()
        self._counted += 1
        at = beijing(now)
        told["notify_id"] = f"{at:%Y%m%d}00222{at:%H%M%S}04107140{self._counted % 10**7:07d}"
        event = told["trade_status"]
        body = msgspec.json.encode(told).decode()
        offer = trade.offer
        return Notice(told["notify_id"], offer.seller_id, offer.number, event, offer.notify_url, body, due=now)

    def dress(self, notice: Notice, *, forged: bool) -> tuple[dict[str, str], bytes]:
        told = msgspec.json.decode(notice.body, type=dict[str, str])
        told["notify_time"] = wire.shown(self._clock.now())
        codec = wire.CODECS[told["charset"].lower()]
        text = wire.signed_text(told, "sign_type").encode(codec, "replace")
        told["sign"] = self._ring.forge(text) if forged else self._ring.sign(text)
        content_type = f"application/x-www-form-urlencoded; charset={told['charset'].upper()}"
        body = urlencode(told, encoding=codec, errors="replace").encode()
        return {**_HEADERS, "Content-Type": content_type}, body

    def took(self, status: int, body: bytes) -> bool:
        return status == 200 and body == TAKEN

    def _tells_end(self, trade: Trade) -> bool:
        rule = self.switches.alipay.closed_notices
        return rule == "all" or (rule == "wap_app" and trade.offer.method in ("wap", "app"))

    def _tell(self, trade: Trade, told: dict[str, str]) -> None:
        if trade.offer.notify_url:
            self.begin(self.compose(trade, told))


def paid(trade: Trade, total: int) -> dict[str, str]:
    """A payment as its notification tells it, in the order of members that captures show."""
    amount = wire.yuan(total)
    bill = msgspec.json.encode([{"amount": amount, "fundChannel": "ALIPAYACCOUNT"}]).decode()
    return _full(
        trade,
        ("invoice_amount", amount),
        ("notify_id", ""),
        ("fund_bill_list", bill),
        ("notify_type", "trade_status_sync"),
        ("trade_status", "TRADE_SUCCESS"),
        ("receipt_amount", amount),
        ("buyer_pay_amount", amount),
        total=amount,
        last=(("point_amount", "0.00"),),
    )


def refunded(trade: Trade, refund: Refund) -> dict[str, str]:
    """A refund as the payment's address is told of it: another set of members than a payment's."""
    done = refund.done or 0.0
    last = [
        ("gmt_refund", f"{wire.shown(done)}.{int(done * 1000) % 1000:03d}"),
        ("refund_fee", wire.yuan(trade.refunded)),
        ("out_biz_no", refund.number),
    ]
    if trade.state == CLOSED:
        last.append(("gmt_close", wire.shown(trade.closed or done)))
    return _full(
        trade,
        ("notify_id", ""),
        ("notify_type", "trade_status_sync"),
        ("trade_status", trade.state),
        total=wire.yuan(trade.offer.total),
        last=tuple(last),
    )


def ended(trade: Trade) -> dict[str, str]:
    """A trade that closed unpaid (with ``gmt_close``) or finished (with ``gmt_payment``)."""
    last = [("gmt_close", wire.shown(trade.closed))] if trade.closed is not None else []
    return _full(
        trade,
        ("notify_id", ""),
        ("notify_type", "trade_status_sync"),
        ("trade_status", trade.state),
        total=wire.yuan(trade.offer.total),
        last=tuple(last),
    )


def _full(
    trade: Trade,
    *news: tuple[str, str],
    total: str,
    last: tuple[tuple[str, str], ...],
) -> dict[str, str]:
    """What all notifications say, with what this one says; members without a value are left out."""
    offer = trade.offer
    pairs: list[tuple[str, Any]] = [
        ("gmt_create", wire.shown(trade.created)),
        ("charset", offer.charset),
        ("seller_email", offer.seller_email),
        ("subject", offer.subject),
        ("body", offer.body or None),
        ("buyer_id", trade.buyer_id),
        *news,
        ("app_id", offer.app_id),
        ("sign_type", "RSA2"),
        ("seller_id", offer.seller_id),
        ("gmt_payment", None if trade.paid is None else wire.shown(trade.paid)),
        ("notify_time", ""),
        ("passback_params", offer.passback or None),
        ("version", "1.0"),
        ("out_trade_no", offer.number),
        ("total_amount", total),
        ("trade_no", trade.trade_no),
        ("auth_app_id", offer.app_id),
        ("buyer_logon_id", trade.buyer_logon),
        *last,
    ]
    return {name: value for name, value in pairs if value is not None}
