"""Ways to pay, by name, for tests that play several channels."""

from __future__ import annotations

from oncepay.engine import pay
from tests.spec.centre import Town

HOUR_S = 3_600
DAY_S = 24 * HOUR_S

WAYS = [
    ("wechat", "native"), ("alipay", "page"), ("alipay", "wap"), ("alipay", "app"), ("alipay", "precreate"),
    ("unionpay", "front"), ("unionpay", "qr"), ("unionpay", "app"),
]  # fmt: skip
BY_METHOD = [f"{channel}-{method}" for channel, method in WAYS]
OPENERS = ["alipay-page", "unionpay-front"]


def way(name: str) -> tuple[str, str]:
    channel, _, method = name.partition("-")
    return channel, method


async def starts_with(town: Town, order_no: str, name: str, **more: int) -> pay.Shown:
    channel, method = way(name)
    shown = await town.pay(order_no, channel=channel, method=method, **more)
    assert shown.credential, "there is something to show"
    return shown


def live_in_books(town: Town, shown: pay.Shown) -> list[str]:
    """Numbers that somebody may still pay, as the channels have them."""
    rows = [row for row in town.sandbox.books() if row.number.startswith(shown.payment.id)]
    return [row.number for row in rows if row.state in {"NOTPAY", "WAIT_BUYER_PAY", "OPEN"}]
