"""A project that uses the plugin and nothing else: what passes."""

from __future__ import annotations

from pathlib import Path

import pytest

import oncepay as package
from oncepay.client import Attempt, PaymentStarted
from oncepay.testing import Oncepay

WAYS = ["wechat native", "alipay page", "alipay precreate", "unionpay front", "unionpay qr"]


def asked(oncepay: Oncepay, channel: str = "wechat", method: str = "native") -> PaymentStarted:
    attempt = Attempt(channel=channel, method=method)
    return oncepay.client().payments.create(order_no="A-1", minor=8800, currency="CNY", subject="Tea", attempt=attempt)


def test_it_is_the_installed_package() -> None:
    assert Path(package.__file__).parents[1].name == "site"


@pytest.mark.parametrize("way", WAYS)
def test_every_channel_is_paid_and_paid_back(oncepay: Oncepay, way: str) -> None:
    payment = asked(oncepay, *way.split())
    oncepay.pay(payment)
    oncepay.expect(payment, "paid", status="paid", kept_minor=8800)
    oncepay.client().refunds.create(payment.id, refund_no="R-1", minor=800)
    oncepay.advance(3600)
    assert oncepay.told(payment)[-1] == "refund.done"
    assert oncepay.kept("A-1") == 8000


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", ["notify_none", "notify_lost", "notify_duplicate", "notify_forged"])
def test_a_notification_that_goes_wrong_changes_nothing(oncepay: Oncepay, way: str, fault: str) -> None:
    oncepay.fault(fault)
    payment = asked(oncepay, *way.split())
    oncepay.pay(payment)
    oncepay.advance(120)
    assert oncepay.struck(fault) == 1
    oncepay.expect(payment, "paid", kept_minor=8800)


@pytest.mark.parametrize("first", ["unionpay front", "alipay page"])
def test_the_second_payment_goes_back(oncepay: Oncepay, first: str) -> None:
    channel, method = first.split()
    payment = asked(oncepay, channel, method)
    oncepay.fault("pay_after_close", always=True)
    oncepay.client().payments.start_attempt(payment.id, Attempt(channel="wechat", method="native"))
    oncepay.pay(payment)
    oncepay.pay(payment, channel=channel)
    oncepay.advance(3600)
    oncepay.expect(payment, "paid", "surplus.refunded", kept_minor=8800)
    assert oncepay.kept(payment) == 8800


def test_two_centres_share_nothing(oncepay: Oncepay) -> None:
    assert list(oncepay.client().payments.each()) == []
    assert oncepay.struck("notify_none") == 0
