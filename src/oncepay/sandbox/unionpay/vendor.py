"""UnionPay as the sandbox holds it: its API, with what the controls, the books and the front page ask of it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.routing import Route

from oncepay.sandbox.clock import rfc3339
from oncepay.sandbox.notices import Notice
from oncepay.sandbox.pages import Pages
from oncepay.sandbox.unionpay import orders, reversals
from oncepay.sandbox.unionpay.api import API, FILE, FRONT, Api
from oncepay.sandbox.unionpay.books import Books, Order
from oncepay.sandbox.unionpay.cashier import SHADES, WORDS, Cashier
from oncepay.sandbox.unionpay.desk import Desk
from oncepay.sandbox.unionpay.keys import COMPANY, P12_PASSWORD, KeyFile, Merchant, Ring
from oncepay.sandbox.unionpay.notify import Notifier
from oncepay.sandbox.unionpay.wire import Refusal
from oncepay.sandbox.vendor import Ground, Line, Refused, Row

DECLINED: Final = ("01", "30", "61", "64")  # what a query may say of a card that was tried


class UnionPay(Api):
    """One simulated UnionPay (an ``oncepay.sandbox.vendor.Vendor``)."""

    name = "unionpay"
    prefixes: tuple[bytes, ...] = (API.encode(), FILE.encode())
    pay_keys: tuple[str, ...] = ("number", "code_url", "tn", "form")

    def __init__(self, ground: Ground, keys: KeyFile | None) -> None:
        ring = Ring(keys, ground.clock, ground.dice)
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
        for order in desk.books.restore(kept.get("unionpay.order", {}).values()):
            for reversal in order.reversals:
                if reversal.state == "PROCESSING":
                    reversals.wait_for_outcome(desk, order, reversal)
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
        """``form``: what a shop's page would post, {"action", "fields"}; it is opened and paid in one.

        ``fail``: one of DECLINED; the try fails, and another may follow. The answer's ``return`` is
        what the payer's browser then posts to the shop's frontUrl.

        Raises Refused: form_refused, already_paid, expired.
        """
        order = self._opened(wanted["form"]) if "form" in wanted else self._named(wanted)
        if order is None:
            return None
        failing = wanted.get("fail")
        if failing is not None and failing not in DECLINED:
            raise Refused(400, "fail_invalid", f"a card is declined by one of {', '.join(DECLINED)}")
        try:
            if failing is not None:
                orders.fail(self.desk, order, failing)
            else:
                orders.pay(self.desk, order)
        except orders.CannotPay as error:
            raise Refused(409, error.reason, str(error)) from None
        return {
            "number": order.number,
            "state": order.state(self.desk.clock.now()),
            "amount": order.total,
            "transaction_id": order.query_id or None,
            "paid_at": None if order.paid is None else rfc3339(order.paid),
            "return": orders.brought_back(self.desk, order),
        }

    def refund(self, number: str, fen: int) -> dict[str, Any] | None:
        order = self.desk.books.find(number)
        if order is None:
            return None
        reversal = reversals.from_console(self.desk, order, fen)
        return {"number": order.number, "refund": reversal.number, "status": reversal.state, "amount": fen}

    def send_elsewhere(self, number: str) -> dict[str, Any] | None:  # noqa: ARG002 - no refund waits for a person here
        return None

    def notices(self) -> Iterable[Notice]:
        return self.desk.notifier.recent

    async def notify(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """Whatever the order's state: true, forged (another company's certificate) or wrong."""
        order = self._named({"number": wanted.get("number")})
        if order is None:
            return None
        told = orders.claimed(self.desk, order, wanted.get("amount", order.total))
        notifier = self.desk.notifier
        notice = notifier.compose(order.number, order.fields["backUrl"], told)
        status = await notifier.deliver_now(notice, forged=wanted.get("forged") is True)
        return {"id": notice.id, "status": status}

    def renew(self) -> dict[str, Any]:
        self.rotate()
        return {"sign_certificate_pem": self.keys().signers[-1].certificate_pem}

    def add_merchant(self, merchant: str | None) -> dict[str, Any]:
        if merchant is not None and (not merchant.isdecimal() or len(merchant) != 15):
            raise Refused(400, "mer_id_invalid", "a merId is 15 digits")
        if merchant is not None and self.desk.ring.merchant(merchant) is not None:
            raise Refused(409, "mer_id_taken", f"there is a merchant {merchant} already")
        added = self.desk.ring.add(merchant)
        self.desk.keys_changed()
        return self._block(added)

    def lines(self) -> Iterable[Line]:
        now = self.desk.clock.now()
        for order in self.desk.books.orders():
            state = order.state(now)
            yield Line(
                link=f"/unionpay/cashier/{order.code}",
                number=order.number,
                subject=orders.subject(order),
                channel=self.name,
                method=order.product,
                state=WORDS[state],
                shade=SHADES[state],
                amount=order.total,
                refunded=order.reserved,
                created=order.created,
            )

    def routes(self, pages: Pages) -> list[Route]:
        return Cashier(self.desk, pages).routes()

    def _named(self, wanted: Mapping[str, Any]) -> Order | None:
        key = next((wanted[name] for name in self.pay_keys if name in wanted), None)
        return self.desk.books.find(key) if isinstance(key, str) else None

    def _opened(self, form: Any) -> Order | None:
        """The payment a form opens, checked as the front page checks it; None for another vendor's form."""
        if not isinstance(form, dict) or urlsplit(str(form.get("action"))).path != API + FRONT:
            return None
        fields = form.get("fields")
        if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
            raise Refused(400, "form_invalid", '{"form": {"action": ..., "fields": {name: text}}}')
        try:
            fields = {name: value for name, value in fields.items() if value}
            done = self.act(self.admit(FRONT, fields), fields)
        except Refusal as refusal:
            raise Refused(409, "form_refused", refusal.fields["respMsg"]) from None
        assert isinstance(done, Order)
        return done

    def _block(self, merchant: Merchant) -> dict[str, Any]:
        keys, base_url = self.keys(), self.desk.base_url
        return {
            "base_url": base_url,
            "front_url": f"{base_url}{API}{FRONT}",
            "app_url": f"{base_url}{API}appTransReq.do",
            "back_url": f"{base_url}{API}backTransReq.do",
            "query_url": f"{base_url}{API}queryTrans.do",
            "file_url": f"{base_url}{FILE}",
            "merId": merchant.mer_id,
            "certId": merchant.cert_id,
            "merchant_private_key_pem": merchant.private_key_pem,
            "merchant_certificate_pem": merchant.certificate_pem,
            "merchant_p12_base64": merchant.p12_base64,
            "merchant_p12_password": P12_PASSWORD,
            "root_certificate_pem": keys.root_pem,
            "middle_certificate_pem": keys.middle.certificate_pem,
            "sign_certificate_pem": keys.signers[-1].certificate_pem,
            "company_name": COMPANY,
            "account": {
                "identity": {"merId": merchant.mer_id},
                "settings": {
                    "merchant_certificate_pem": merchant.certificate_pem,
                    "root_certificate_pem": keys.root_pem,
                    "middle_certificate_pem": keys.middle.certificate_pem,
                    "base_urls": [base_url],
                },
                "secrets": {"merchant_private_key_pem": merchant.private_key_pem},
            },
        }
