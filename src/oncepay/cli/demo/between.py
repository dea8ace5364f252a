"""Stories between channels: other ways to pay, and what happens when a payer takes two of them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from oncepay.cli.demo.check import Promise
from oncepay.cli.demo.process import until
from oncepay.cli.demo.shop import PRICE_MINOR
from oncepay.cli.demo.stage import PAID, Stage, Story, require
from oncepay.client import Attempt


async def by_alipay(stage: Stage) -> str:
    """The payer is led to Alipay's page and pays there."""
    await stage.submit("alipay")
    await stage.pay()
    await stage.ends(PAID)
    return "a signed page, notified, shipped"


async def by_unionpay(stage: Stage) -> str:
    """The payer's browser posts a signed form to UnionPay, and the payer pays there."""
    await stage.submit("unionpay")
    await stage.pay()
    await stage.ends(PAID)
    return "a signed form, notified, shipped"


async def switched(stage: Stage) -> str:
    """The payer logs in at Alipay, goes back, and pays by WeChat Pay."""
    await stage.submit("alipay")
    async with stage.world.session.get(stage.shown["alipay"]["url"]) as cashier:
        await cashier.read()
    async with stage.world.session.post(f"{cashier.url}/login", data={"account": "payer@example.test"}) as entered:
        require(entered.status == 200, f"the login was answered with {entered.status}")
    require([row["state"] for row in await stage.rows()] == ["WAIT_BUYER_PAY"], "Alipay has no trade to be paid")
    await stage.choose("wechat")
    states = {row["channel"]: row["state"] for row in await stage.rows()}
    require(states["alipay"] == "TRADE_CLOSED", f"Alipay's trade is still {states['alipay']}")
    await stage.pay()
    await stage.ends(Promise(status="paid", charged=PRICE_MINOR, deeds=("ship",), orders=2))
    return "closed at Alipay before WeChat Pay was asked"


async def paid_twice(stage: Stage) -> str:
    """Two people pay the same order, one on Alipay's page that was still open."""
    await stage.submit("alipay")
    await stage.choose("wechat")
    code = Attempt(channel="wechat", method="native")
    told = await stage.shop.client.payments.start_attempt(stage.payment_id, code)  # which it is already
    risk = told.attempt.risk if told.attempt else None
    require("alipay does not know it yet" in (risk or ""), "the risk is not named")
    await stage.pay("wechat")
    await stage.is_paid()
    await stage.pay("alipay")

    async def went_back() -> bool:
        return any(refund["status"] == "done" for refund in (await stage.payment())["refunds"])

    await stage.let_pass(went_back, "the second payment's way back", step_s=5, at_most_s=3600)
    charged, returned = 2 * PRICE_MINOR, PRICE_MINOR
    await stage.ends(Promise(status="paid", charged=charged, returned=returned, refunds=1, deeds=("ship",), orders=2))
    return "the second went back by itself, to Alipay"


async def paid_while_closing(stage: Stage) -> str:
    """The payer pays by WeChat Pay in the very moment in which the shop switches to UnionPay."""
    await stage.submit()
    fault = {"fault": "paid_during_close", "number": stage.number}
    async with stage.world.faults(once=[fault]):
        page = await stage.shop.pay(stage.order_no, "unionpay")
        require((page.status, "paid" in page.text) == (409, True), f"answered with {page.status}: {page.text}")
    await stage.ends(PAID)
    return "it is paid: nothing was started at UnionPay"


async def refund_answer_lost(stage: Stage) -> str:
    """Alipay sends money back, and its answer is lost."""
    await stage.submit("alipay")
    await stage.pay()
    await stage.is_paid()
    async with stage.world.faults(once=[{"fault": "drop_after", "call": "refund"}]):
        await stage.refund("back-1", PRICE_MINOR)

    async def done() -> bool:
        return bool((await stage.payment())["refunds"][0]["status"] == "done")

    await stage.let_pass(done, "the refund's end", step_s=5, at_most_s=900)
    deeds = ("ship", "refund back-1")
    await stage.ends(Promise(status="paid", charged=PRICE_MINOR, returned=PRICE_MINOR, refunds=1, deeds=deeds))
    return "asked about under its number: one refund there"


async def wrong_amount(stage: Stage) -> str:
    """A validly signed notification names another amount. Nothing is believed of it; a person looks."""
    await stage.submit("alipay")
    await stage.world.control("POST", "notify", {"number": await _opened(stage), "amount": 1})

    async def raised() -> list[dict[str, Any]]:
        listed = await stage.shop.ask("GET", f"/v1/cases?payment={stage.payment_id}")
        return [case for case in listed["data"] if case["kind"] == "wrong_content"]

    cases = await until(raised, "a case")
    require(await stage.has_status("open"), "a wrong amount paid it")
    await stage.pay()
    await stage.is_paid()
    resolved = await stage.world.command(
        "cases", "resolve", cases[0]["id"], "--note", "a forged amount; it was paid in full since", "--json"
    )
    require(msgspec.json.decode(resolved)["status"] == "resolved", f"not resolved: {resolved}")
    await stage.ends(PAID)
    require(not await raised(), "the case is still open")
    return "a case, resolved on the command line; then paid for real"


async def _opened(stage: Stage) -> str:
    """The payer opens the page, so that the channel knows of the number."""
    async with stage.world.session.get(stage.shown["alipay"]["url"]) as cashier:
        await cashier.read()
    return stage.number


BETWEEN: Final = (
    Story("alipay", "paid by Alipay", by_alipay),
    Story("unionpay", "paid by UnionPay", by_unionpay),
    Story("switched", "switched from Alipay to WeChat Pay (only one live)", switched),
    Story("both", "paid on both phones (second one refunded by itself)", paid_twice),
    Story("closing", "paid while closing (no second attempt)", paid_while_closing),
    Story("back", "refund with its answer lost (one refund)", refund_answer_lost),
    Story("wrong", "wrong amount in a valid notification (a case, resolved by CLI)", wrong_amount),
)
