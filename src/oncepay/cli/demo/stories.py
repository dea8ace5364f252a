"""The stories: what goes wrong between a shop, a payment centre and a channel, and how it is promised to end.

Each plays over real HTTP and ends with a promise that three ledgers must bear out. Nothing here waits for minutes of
the wall clock: time is let pass in the sandbox, and the centre follows it.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from oncepay.cli.demo.between import BETWEEN
from oncepay.cli.demo.check import Promise
from oncepay.cli.demo.process import Broken, until
from oncepay.cli.demo.shop import PRICE_MINOR
from oncepay.cli.demo.stage import PAID, Stage, Story, require
from oncepay.client import Conflict

DEADLINE_S: Final = 7200  # of a payment, when the shop names none
CLOSED: Final = Promise(status="closed", deeds=("cancel",))


async def paid(stage: Stage) -> str:
    """Nothing goes wrong."""
    await stage.submit()
    await stage.pay()
    await stage.ends(PAID)
    return "notified, shipped"


async def notification_lost(stage: Stage) -> str:
    """The channel never tells us; the centre asks."""
    await stage.submit()
    async with stage.world.faults(once=[{"fault": "notify_none", "number": stage.number}]):
        await stage.pay()
        require(await stage.has_status("open"), "it was paid without anybody having said so")
        passed_s = await stage.let_pass(lambda: stage.has_status("paid"), "paid", step_s=5, at_most_s=60)
    await stage.ends(PAID)
    return f"found by a query, {passed_s:.0f} s later"


async def prepay_answer_lost(stage: Stage) -> str:
    """The order is made at the channel, and its answer is lost on the way."""
    async with stage.world.faults(once=[{"fault": "drop_after", "call": "prepay"}]):
        await stage.submit()
    await stage.pay()
    await stage.ends(PAID)
    return "the same number again: one order there"


async def answer_5xx(stage: Stage) -> str:
    """The channel answers 500 although it made the order."""
    async with stage.world.faults(once=[{"fault": "http_500_after", "call": "prepay"}]):
        await stage.submit()
    await stage.pay()
    await stage.ends(PAID)
    return "not taken for a refusal: one order there"


async def submitted_twice(stage: Stage) -> str:
    """The payer clicks twice, or two servers of the shop do."""
    first, second = await asyncio.gather(*(stage.shop.order(stage.buyer) for _ in range(2)))
    require(first == second, f"two orders: {first} and {second}")
    stage.order_no = first
    codes = await asyncio.gather(*(stage.choose("wechat") for _ in range(2)))
    require(codes[0] == codes[1], "two codes to scan")
    require(len((await stage.payment())["attempts"]) == 1, "two attempts")
    await stage.pay()
    await stage.ends(PAID)
    return "one order, one payment, one code"


async def shop_down(stage: Stage) -> str:
    """The shop is away when the money comes."""
    await stage.submit()
    await stage.shop.shut()
    try:
        await stage.pay()
        await stage.is_paid()

        async def tried_thrice() -> bool:
            return bool((await stage.delivery())["tries"] >= 3)

        await stage.let_pass(tried_thrice, "a third try", step_s=5, at_most_s=120)
        require(stage.order.version < 0, "a shop that is shut was told")
    finally:
        await stage.shop.open()

    async def told() -> bool:
        return stage.order.status == "paid"

    await stage.let_pass(told, "news at the shop", step_s=10, at_most_s=600)
    await stage.ends(PAID)
    delivery = await until(stage.delivered, "the mark of its delivery")
    return f"told at try {delivery['tries']}, once"


async def never_told(stage: Stage) -> str:
    """Nothing that the centre tells ever arrives; the shop asks by itself."""
    await stage.submit()
    await stage.shop.shut()
    try:
        await stage.pay()
        await stage.is_paid()

        passed_s = 0
        while stage.order.status != "paid":
            require(passed_s < 120, "the shop did not learn of it within 120 s of its time")
            await stage.world.advance(10)
            passed_s += 10
            await stage.shop.watch()
        await stage.ends(PAID)
        require((await stage.delivery())["status"] == "due", "a shop that is shut was told")
    finally:
        await stage.shop.open()
    return f"asked {passed_s} s later, shipped once"


async def doubled_and_reordered(stage: Stage) -> str:
    """The notification of a refund overtakes that of the payment, and both come twice."""
    await stage.submit()
    once = [
        {"fault": "notify_reordered", "number": stage.number},
        {"fault": "notify_duplicate", "number": stage.number, "times": 4},
    ]
    async with stage.world.faults(once=once):
        await stage.pay()
        await stage.let_pass(lambda: stage.has_status("paid"), "paid", step_s=5, at_most_s=60)
        await stage.refund("back-1", 800)

        async def all_came() -> bool:
            if stage.world.silent:
                return True  # none will
            told = await stage.world.control("GET", f"notifications?number={stage.number}")
            return len(told["notifications"]) == 2 and all(notice["taken"] for notice in told["notifications"])

        await stage.let_pass(all_came, "both notifications", step_s=2, at_most_s=120)
    deeds = ("ship", "refund back-1")
    await stage.ends(Promise(status="paid", charged=PRICE_MINOR, returned=800, refunds=1, deeds=deeds))
    return "paid once, refunded once"


async def forged(stage: Stage) -> str:
    """Somebody who is not the channel says that it is paid; somebody who is not the centre says so to the shop."""
    await stage.submit()
    told = await stage.world.control("POST", "notify", {"number": stage.number, "forged": True})
    status = told["status"]
    require(status is not None and status >= 400, f"the forged notification was answered with {status}")
    lie = msgspec.json.encode({"data": {"order_no": stage.order_no, "version": 99, "status": "paid"}})
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(stage.world.now_ms() // 1000),
        "webhook-signature": "v1,AAAA",
    }
    async with stage.world.session.post(f"{stage.shop.url}/webhook", data=lie, headers=headers) as answer:
        require(answer.status == 400, f"the shop answered a forged message with {answer.status}")
    require(await stage.has_status("open"), "a forged notification paid it")
    require(not stage.order.deeds, "the shop acted on a lie")
    await stage.pay()
    await stage.ends(PAID)
    return f"refused with {status}; then paid for real"


async def paid_late(stage: Stage) -> str:
    """The payer pays although the deadline has passed and the order is closed at the channel."""
    await _never_paid(stage)
    async with stage.world.faults(once=[{"fault": "pay_after_close", "number": stage.number}]):
        await stage.pay()

    async def went_back() -> bool:
        return any(refund["status"] == "done" for refund in (await stage.payment())["refunds"])

    await stage.let_pass(went_back, "the late money's way back", step_s=5, at_most_s=300)
    told = Promise(status="closed", charged=PRICE_MINOR, returned=PRICE_MINOR, refunds=1, deeds=("cancel",))
    await stage.ends(told)
    return "sent back by itself, the shop was told"


async def killed(stage: Stage) -> str:
    """``kill -9`` after the channel has made the order and before its answer is known."""
    world = stage.world
    stage.order_no = await stage.shop.order(stage.buyer)
    async with world.faults(once=[{"fault": "slow", "call": "prepay", "seconds": 60}]):
        asking = asyncio.create_task(stage.choose("wechat"))

        async def is_made() -> bool:
            books = await world.control("GET", "books")
            return any((row["attach"] or "").endswith(f":{stage.order_no}") for row in books["orders"])

        await until(is_made, "the order at the channel")
        await world.centre.kill()
    await world.start_centre()
    await world.advance(15)  # what the dead process was doing is due now
    await asking  # the shop's client got no answer, and has asked again by itself
    await stage.pay()
    await stage.ends(PAID)
    return "restarted, the same number again: one order there"


async def partial_refunds(stage: Stage) -> str:
    """Money goes back in parts, up to all of it, and not a cent more."""
    await stage.submit(quantity=2)
    await stage.pay()
    await stage.is_paid()
    parts = {"part-1": 5_000, "part-2": 5_000, "part-3": 2 * PRICE_MINOR - 10_000}
    for refund_no, minor in parts.items():
        await stage.refund(refund_no, minor)
    try:
        await stage.refund("part-4", 1)
    except Conflict as error:
        require(error.code == "refund_too_large", f"refused for another reason: {error}")
    else:
        raise Broken("one cent more than was paid was taken for a refund")

    async def all_done() -> bool:
        refunds = (await stage.payment())["refunds"]
        return len(refunds) == 3 and all(refund["status"] == "done" for refund in refunds)

    await stage.let_pass(all_done, "all parts", step_s=10, at_most_s=600)
    deeds = ("ship", *(f"refund {refund_no}" for refund_no in parts))
    await stage.ends(Promise(status="paid", charged=2 * PRICE_MINOR, returned=2 * PRICE_MINOR, refunds=3, deeds=deeds))
    return "3 parts, then refund_too_large"


async def refund_in_doubt(stage: Stage) -> str:
    """A refund's answer is lost, nobody tells us of it, and then the channel turns our account away for a while."""
    await stage.submit()
    await stage.pay()
    await stage.is_paid()
    lost = [{"fault": "drop_after", "call": "refund"}, {"fault": "notify_none", "number": stage.number}]
    async with stage.world.faults(once=lost):
        await stage.refund("back-1", PRICE_MINOR)
        await stage.world.control("POST", "faults", {"on": {"refused_401": {}}})

        async def turned_away() -> bool:
            return "refused_401" in (await stage.world.control("GET", "faults"))["struck"]

        await stage.let_pass(turned_away, "the account's refusal", step_s=5, at_most_s=120)
        await stage.world.advance(40)
        refund = (await stage.payment())["refunds"][0]
        require(refund["status"] == "open", f"a refund in doubt was called {refund['status']}")

    async def done() -> bool:
        return bool((await stage.payment())["refunds"][0]["status"] == "done")

    await stage.let_pass(done, "the refund's end", step_s=20, at_most_s=900)
    deeds = ("ship", "refund back-1")
    await stage.ends(Promise(status="paid", charged=PRICE_MINOR, returned=PRICE_MINOR, refunds=1, deeds=deeds))
    return "in doubt until the account was mended, refunded once"


async def abandoned(stage: Stage) -> str:
    """The payer never comes back."""
    await _never_paid(stage)
    return "closed by itself at its deadline"


async def _never_paid(stage: Stage) -> None:
    """Until it is closed, for that."""
    await stage.submit()
    await stage.world.advance(DEADLINE_S)
    await stage.let_pass(lambda: stage.has_status("closed"), "closed", step_s=31, at_most_s=300)
    await stage.ends(CLOSED)


STORIES: Final = (
    Story("paid", "paid", paid),
    Story("lost", "notification lost (healed by query)", notification_lost),
    Story("prepay", "prepay answer lost", prepay_answer_lost),
    Story("5xx", "answer 5xx after the effect", answer_5xx),
    Story("twice", "submitted twice at once (one payment)", submitted_twice),
    Story("down", "shop down for a while (told later, once)", shop_down),
    Story("asks", "shop never told (it asks by itself)", never_told),
    Story("reordered", "notification doubled and reordered", doubled_and_reordered),
    Story("forged", "forged notification (refused)", forged),
    Story("late", "paid after the deadline (refunded by itself, shop told)", paid_late),
    Story("killed", "centre killed with kill -9 before our commit, restarted, finished", killed),
    Story("parts", "partial refunds up to the ceiling and one too many", partial_refunds),
    Story("doubt", "refund answer lost, account refused (401), mended: refunded once", refund_in_doubt),
    Story("abandoned", "abandoned checkout (closed by itself)", abandoned),
    *BETWEEN,
)
