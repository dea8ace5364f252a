"""A project that uses the plugin and nothing else: every test fails, and what it then says is looked at."""

from __future__ import annotations

from oncepay.client import Attempt, PaymentStarted
from oncepay.testing import Oncepay


def asked(oncepay: Oncepay) -> PaymentStarted:
    attempt = Attempt(channel="wechat", method="native")
    return oncepay.client().payments.create(order_no="A-1", minor=8800, currency="CNY", subject="Tea", attempt=attempt)


def test_other_changes(oncepay: Oncepay) -> None:
    oncepay.pay(asked(oncepay))
    oncepay.expect("A-1", "paid", "refund.done")


def test_other_fields(oncepay: Oncepay) -> None:
    oncepay.pay(asked(oncepay))
    oncepay.expect("A-1", "paid", kept_minor=8000)


def test_other_order(oncepay: Oncepay) -> None:
    asked(oncepay)
    oncepay.expect("B-1", "paid")


def test_other_channel(oncepay: Oncepay) -> None:
    oncepay.pay(asked(oncepay), channel="alipay")


def test_paid_twice(oncepay: Oncepay) -> None:
    oncepay.pay(asked(oncepay))
    oncepay.pay("A-1")


def test_other_fault(oncepay: Oncepay) -> None:
    oncepay.fault("notify_never")


def test_handler_that_raises(oncepay: Oncepay) -> None:
    def webhook(headers: dict[str, str], body: bytes) -> int:
        raise ZeroDivisionError("a fault of the app")

    oncepay.forward(webhook)
    oncepay.pay(asked(oncepay))


def test_handler_that_says_nothing(oncepay: Oncepay) -> None:
    oncepay.forward(lambda headers, body: None)  # type: ignore[arg-type,return-value]
    oncepay.pay(asked(oncepay))


def test_handler_that_uses_a_verb(oncepay: Oncepay) -> None:
    def webhook(headers: dict[str, str], body: bytes) -> int:
        oncepay.advance(1)
        return 204

    oncepay.forward(webhook)
    oncepay.pay(asked(oncepay))
