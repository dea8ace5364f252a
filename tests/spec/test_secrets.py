"""What must not be read in a log: a whole story is told at the lowest level, and what is secret is looked for in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from oncepay.engine.intake import notification
from tests.spec.centre import Town

PAYER = "oTEST-0000000000000000000001"


def secrets(town: Town) -> Iterator[tuple[str, str]]:
    """Name and text: keys of apps and accounts, whatever signs, and who paid."""
    yield "the app's key", town.key
    yield "the endpoint's secret", town.shop.secret
    yield "the payer", PAYER
    for account in town.engine.directory.accounts():
        for name, text in account.secrets.items():
            lines = [line for line in text.splitlines() if line and not line.startswith("-----")]
            yield f"{account.id} {name}", lines[len(lines) // 2]


async def test_no_secret_stands_in_the_log_of_a_story(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    town.faults({"fault": "garbage", "call": "prepay"}, {"fault": "http_502", "call": "refund"})
    shown = await town.pay("A-1", method="jsapi")
    await notification(town.engine, "wechat", "wx", {"wechatpay-signature": "forged"}, b"{}")
    await town.payer_pays(shown)
    await town.refunds(shown.payment, "r1", 100)
    town.shop.status = 500
    for channel, method in (("alipay", "precreate"), ("unionpay", "qr")):
        await town.payer_pays(await town.pay(f"A-{channel}", channel=channel, method=method))
    await town.passes(60)
    log = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    assert "evidence.taken" in log
    assert "notification.refused" in log
    assert [name for name, text in secrets(town) if text in log] == []
