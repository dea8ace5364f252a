"""WeChat Pay as the sandbox holds it: its API, with what the controls, the books and the front page ask of it."""

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.routing import Route

from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.notices import Notice
from oncepay.sandbox.pages import Pages
from oncepay.sandbox.vendor import Ground, Line, Refused, Row
from oncepay.sandbox.wechat import orders, refunds
from oncepay.sandbox.wechat.api import Api
from oncepay.sandbox.wechat.books import Books, Order
from oncepay.sandbox.wechat.cashier import SHADES, WORDS, Cashier
from oncepay.sandbox.wechat.desk import Desk
from oncepay.sandbox.wechat.keys import KeyFile, Merchant, Ring, new_keys, new_merchant
from oncepay.sandbox.wechat.notify import Notifier


class WechatPay(Api):
    """One simulated WeChat Pay (an ``oncepay.sandbox.vendor.Vendor``)."""

    name: str = "wechat"
    prefixes: tuple[bytes, ...] = (b"/v3/",)
    pay_keys: tuple[str, ...] = ("number", "code_url", "h5_url", "prepay_id")

    def __init__(self, ground: Ground, keys: KeyFile | None) -> None:
        keys = keys or new_keys(ground.dice, ground.clock.now())
        ring = Ring(keys)
        desk = Desk(
            ring,
            Books(ground.clock, ground.journal),
            ground.clock,
            ground.dice,
            ground.faults,
            ground.switches,
            Notifier(ring, ground),
            "",
            ground.keys_changed,
        )
        super().__init__(desk)

    def open(self, base_url: str, kept: Mapping[str, Mapping[str, bytes]]) -> None:
        desk = self.desk
        desk.base_url = base_url
        for order in desk.books.restore(kept.get("wechat.order", {})):
            for refund in order.refunds:
                if refund.status == "PROCESSING":
                    refunds.wait_for_outcome(desk, order, refund)
        desk.notifier.restore(kept)

    async def settle(self) -> None:
        await self.desk.notifier.settle()

    async def close(self) -> None:
        await self.desk.notifier.close()

    def keys(self) -> KeyFile:
        return self.desk.ring.file

    def block(self) -> dict[str, Any]:
        return self._block(self.keys().merchants[0])

    def rows(self, number: str | None, since: float | None) -> Iterable[Row]:
        return self.desk.books.rows(number, since)

    def pay(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Raises Refused: already_paid, closed, expired, credential_expired."""
        key = next((wanted[name] for name in self.pay_keys if name in wanted), None)
        order = self.desk.books.find(key) if isinstance(key, str) else None
        if order is None:
            return None
        try:
            orders.pay(self.desk, order, wanted.get("payer", wanted.get("openid")))
        except orders.CannotPay as error:
            raise Refused(409, error.reason, str(error)) from None
        return {
            "number": order.number,
            "state": order.state,
            "amount": order.total,
            "transaction_id": order.transaction_id,
            "paid_at": rfc3339(order.paid or 0),
        }

    def refund(self, number: str, fen: int) -> dict[str, Any] | None:
        order = self._order(number)
        if order is None:
            return None
        refund = refunds.from_console(self.desk, order, fen)
        return {"number": order.number, "refund": refund.number, "status": refund.status, "amount": refund.amount}

    def send_elsewhere(self, number: str) -> dict[str, Any] | None:
        refund = refunds.send_elsewhere(self.desk, number)
        return None if refund is None else {"refund": refund.number, "status": refund.status, "amount": refund.amount}

    def notices(self) -> Iterable[Notice]:
        return self.desk.notifier.recent

    async def notify(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Whatever the order's state: true, forged or wrong."""
        order = self._order(wanted.get("number"))
        if order is None:
            return None
        told = orders.claimed(self.desk, order, wanted.get("amount", order.total))
        notifier = self.desk.notifier
        notice = notifier.compose(order, "TRANSACTION.SUCCESS", order.notify_url, "transaction", told)
        status = await notifier.deliver_now(notice, forged=wanted.get("forged") is True)
        return {"id": notice.id, "status": status}

    def renew(self) -> dict[str, Any]:
        return {"platform_serial_no": self.rotate()}

    def add_merchant(self, merchant: str | None) -> dict[str, Any]:
        if merchant is not None and (not merchant.isdecimal() or len(merchant) != 10):
            raise Refused(400, "mchid_invalid", "a mchid is 10 digits")
        if merchant in self.desk.ring.merchants:
            raise Refused(409, "mchid_taken", f"there is a merchant {merchant} already")
        added = new_merchant(self.desk.dice, self.desk.clock.now(), merchant)
        self.desk.ring.add(added)
        self.desk.keys_changed()
        return self._block(added)

    def lines(self) -> Iterable[Line]:
        for order in self.desk.books.orders():
            yield Line(
                link=f"/cashier/{order.code}",
                number=order.number,
                subject=order.description,
                channel=self.name,
                method=order.product,
                state=WORDS[order.state],
                shade=SHADES[order.state],
                amount=order.total,
                refunded=order.refunded,
                created=order.created,
            )

    def routes(self, pages: Pages) -> list[Route]:
        return Cashier(self.desk, pages).routes()

    def _order(self, number: Any) -> Order | None:
        return self.desk.books.find(number) if isinstance(number, str) else None

    def _block(self, merchant: Merchant) -> dict[str, Any]:
        ring, base_url = self.desk.ring, self.desk.base_url
        certificate = {"serial_no": ring.certificate_serial, "pem": ring.file.platforms[-1].certificate_pem}
        return {
            "base_url": base_url,
            "mchid": merchant.mchid,
            "appid": merchant.appid,
            "merchant_serial_no": merchant.serial_no,
            "merchant_private_key_pem": merchant.private_key_pem,
            "merchant_certificate_pem": merchant.certificate_pem,
            "apiv3_key": merchant.apiv3_key,
            "platform_certificate_pem": certificate["pem"],
            "platform_serial_no": certificate["serial_no"],
            "public_key_pem": ring.public_key_pem,
            "public_key_id": ring.file.public_key_id,
            "account": {
                "identity": {"mchid": merchant.mchid, "appid": merchant.appid},
                "settings": {
                    "merchant_serial_no": merchant.serial_no,
                    "public_key_id": ring.file.public_key_id,
                    "public_key_pem": ring.public_key_pem,
                    "platform_certificates": [certificate],
                    "base_urls": [base_url],
                },
                "secrets": {
                    "merchant_private_key_pem": merchant.private_key_pem,
                    "apiv3_key": merchant.apiv3_key,
                },
            },
        }
