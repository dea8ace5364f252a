"""Alipay as the sandbox holds it: its API, with what the controls, the books and the front page ask of it."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote_plus, urlsplit

from starlette.routing import Route

from oncepay.sandbox.alipay import notify, refunds, trades, wire
from oncepay.sandbox.alipay.api import PATH, Api
from oncepay.sandbox.alipay.books import Books, Offer, Trade
from oncepay.sandbox.alipay.cashier import Cashier, shade_of, word_of
from oncepay.sandbox.alipay.desk import Desk
from oncepay.sandbox.alipay.keys import KeyFile, Merchant, Ring, new_keys, new_merchant
from oncepay.sandbox.alipay.notify import Notifier
from oncepay.sandbox.alipay.wire import Call, Refusal
from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.notices import Notice
from oncepay.sandbox.pages import Pages
from oncepay.sandbox.rsakeys import load_private, public_pem
from oncepay.sandbox.server import Reply, Request
from oncepay.sandbox.vendor import Ground, Line, Refused, Row


class Alipay:
    """One simulated Alipay (an ``oncepay.sandbox.vendor.Vendor``). Its keys are made when they are first needed."""

    name: str = "alipay"
    prefixes: tuple[bytes, ...] = (PATH.encode(),)
    pay_keys: tuple[str, ...] = ("number", "code_url", "url", "order_string", "trade_no")

    def __init__(self, ground: Ground, keys: KeyFile | None) -> None:
        self._ground = ground
        self._keys = keys
        self._desk: Desk | None = None
        self._api: Api | None = None
        self._base_url = ""

    @property
    def desk(self) -> Desk:
        """Books, keys and notifier; made at the first use, since making keys takes a moment."""
        if self._desk is None:
            keys = self._keys or new_keys(self._ground.dice, self._ground.clock.now())
            ring = Ring(keys)
            books = Books(self._ground.clock, self._ground.journal)
            self._desk = Desk(self._ground, ring, books, Notifier(ring, self._ground), self._base_url)
        return self._desk

    @property
    def api(self) -> Api:
        if self._api is None:
            self._api = Api(self.desk)
        return self._api

    def open(self, base_url: str, kept: Mapping[str, Mapping[str, bytes]]) -> None:
        self._base_url = base_url
        if self._desk is None and not any(kind.startswith("alipay.") for kind in kept):
            return
        desk = self.desk
        desk.base_url = base_url
        for trade in desk.books.restore(kept):
            trades.watch(desk, trade)
            for refund in trade.refunds:
                if refund.status == "PENDING":
                    refunds.wait_for(desk, trade, refund)
        desk.notifier.restore(kept)

    async def settle(self) -> None:
        if self._desk is not None:
            await self._desk.notifier.settle()

    async def close(self) -> None:
        if self._desk is not None:
            await self._desk.notifier.close()

    def keys(self) -> KeyFile:
        return self.desk.ring.file

    def block(self) -> dict[str, Any]:
        return self._block(self.keys().merchants[0])

    def reply(self, request: Request) -> Reply:
        return self.api.reply(request)

    def rows(self, number: str | None, since: float | None) -> Iterable[Row]:
        return [] if self._desk is None else self._desk.books.rows(number, since)

    def pay(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Pay what is known, or what is signed: ``url`` (a form's members in ``form``), ``order_string``.

        ``payer``: the buyer's account. Raises Refused: already_paid, closed, expired, or Alipay's own sub_code.
        """
        try:
            offer = self._offer(wanted)
            if offer is None:
                return None
            account = wanted.get("payer")
            trade = trades.pay(self.desk, offer, account if isinstance(account, str) else "")
        except Refusal as refusal:
            raise cannot(refusal) from None
        return {
            "number": offer.number,
            "state": trade.state,
            "amount": offer.total,
            "transaction_id": trade.trade_no,
            "paid_at": rfc3339(trade.paid or 0),
            "return_url": trades.returned(self.desk, trade, offer),
        }

    def refund(self, number: str, fen: int) -> dict[str, Any] | None:
        trade = self._trade(number)
        if trade is None:
            return None
        refund = refunds.from_console(self.desk, trade, fen)
        return {
            "number": trade.offer.number,
            "refund": refund.number,
            "status": refund.status,
            "amount": refund.amount,
        }

    def send_elsewhere(self, number: str) -> dict[str, Any] | None:  # noqa: ARG002 - no refund waits for a person here
        return None

    def notices(self) -> Iterable[Notice]:
        return [] if self._desk is None else self._desk.notifier.recent

    async def notify(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Whatever the trade's state, and before there is one: true, forged or wrong."""
        number = wanted.get("number")
        offer = self.desk.books.offer(number) if isinstance(number, str) and self._desk is not None else None
        if offer is None:
            return None
        desk = self.desk
        trade = desk.books.of(offer) or claimed(offer, desk.now)
        total = wanted.get("amount", offer.total)
        told = notify.paid(trade, total)
        told.setdefault("gmt_payment", wire.shown(desk.now))
        notice = desk.notifier.compose(trade, told)
        status = await desk.notifier.deliver_now(notice, forged=wanted.get("forged") is True)
        return {"id": notice.id, "status": status}

    def renew(self) -> dict[str, Any]:
        self.api.renew()
        block = self.block()
        return {name: block[name] for name in ("alipay_cert_sn", "alipay_cert_pem")}

    def add_merchant(self, merchant: str | None) -> dict[str, Any]:
        ring = self.desk.ring
        if merchant is not None and (not merchant.isdecimal() or len(merchant) != 16):
            raise Refused(400, "app_id_invalid", "an app_id is 16 digits")
        if merchant in ring.merchants:
            raise Refused(409, "app_id_taken", f"there is an app {merchant} already")
        added = new_merchant(ring.file, self._ground.dice, self._ground.clock.now(), merchant)
        ring.add(added)
        self._ground.keys_changed()
        return self._block(added)

    def lines(self) -> Iterable[Line]:
        if self._desk is None:
            return
        books = self._desk.books
        for offer in books.offers():
            trade = books.of(offer)
            yield Line(
                link=f"/alipay/cashier/{offer.code}",
                number=offer.number,
                subject=offer.subject,
                channel=self.name,
                method=offer.method,
                state=word_of(trade),
                shade=shade_of(trade),
                amount=offer.total,
                refunded=0 if trade is None else trade.refunded,
                created=offer.created,
            )

    def routes(self, pages: Pages) -> list[Route]:
        return Cashier(self, pages).routes()

    def opened(self, text: str, form: Mapping[str, Any] | None = None) -> Offer:
        """Follow a signed request: the URL of a page, or an app's order string. Raises Refusal."""
        query = urlsplit(text).query if "?" in text else text
        fields = [f"{name}={quote_plus(str(value))}" for name, value in (form or {}).items()]
        call: Call = wire.read_text("&".join([query, *fields]))
        return self.api.open(call)

    def _offer(self, wanted: Mapping[str, Any]) -> Offer | None:
        key = next((wanted[name] for name in self.pay_keys if name in wanted), None)
        if not isinstance(key, str):
            return None
        if "sign=" in key:
            form = wanted.get("form")
            return self.opened(key, form if isinstance(form, Mapping) else None)
        return None if self._desk is None else self._desk.books.offer(key)

    def _trade(self, number: str) -> Trade | None:
        offer = None if self._desk is None else self._desk.books.offer(number)
        return None if offer is None else self.desk.books.of(offer)

    def _block(self, merchant: Merchant) -> dict[str, Any]:
        ring = self.desk.ring
        return {
            "gateway_url": self._base_url + PATH,
            "app_id": merchant.app_id,
            "seller_id": merchant.seller_id,
            "seller_email": merchant.seller_email,
            "app_private_key_pem": merchant.private_key_pem,
            "app_public_key_pem": public_pem(load_private(merchant.private_key_pem)),
            "alipay_public_key_pem": ring.alipay_public_key_pem,
            "app_cert_pem": ring.chained(merchant.cert_pem),
            "alipay_cert_pem": ring.chained(ring.certs[ring.alipay_cert_sn]),
            "alipay_root_cert_pem": ring.file.root_bundle_pem,
            "app_cert_sn": ring.app_certs[merchant.app_id][0],
            "alipay_cert_sn": ring.alipay_cert_sn,
            "alipay_root_cert_sn": ring.root_cert_sn,
            "account": {
                "identity": {"app_id": merchant.app_id, "seller_id": merchant.seller_id},
                "settings": {
                    "alipay_public_key": ring.alipay_public_key_pem,
                    "base_urls": [self._base_url + PATH],
                },
                "secrets": {"app_private_key": merchant.private_key_pem},
            },
        }


def claimed(offer: Offer, now: float) -> Trade:
    """A trade as somebody might claim it, where there is none."""
    buyer_id, buyer_logon = trades.buyer("")
    return Trade(offer=offer, trade_no="0" * 28, buyer_id=buyer_id, buyer_logon=buyer_logon, created=now)


def cannot(refusal: Refusal) -> Refused:
    """A refusal of Alipay's as the controls say it."""
    reasons = {
        "ACQ.TRADE_HAS_SUCCESS": "already_paid",
        "ACQ.TRADE_HAS_CLOSE": "closed",
        "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR": "expired",
        "ACQ.PAYMENT_FAIL": "credential_expired",
    }
    word = reasons.get(refusal.sub_code, refusal.sub_code)
    return Refused(409 if refusal.sub_code.startswith("ACQ.") else 400, word, f"{refusal.sub_code} {refusal.text}")
