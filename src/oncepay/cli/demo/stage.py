"""What a story is played with: one order, the payer, time, and the promise that is checked at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import msgspec

from oncepay.cli.demo.books import Order
from oncepay.cli.demo.check import Promise, complaints
from oncepay.cli.demo.shop import PRICE_MINOR, Refused
from oncepay.cli.demo.world import Broken, World, until
from oncepay.client import PaymentStarted, Refund

AGREE_S: Final = 10.0  # real seconds for the three ledgers to agree
SILENT_S: Final = 900  # seconds of the centre's time in which it finds out by asking alone
STEP_S: Final = 0.1  # real seconds that the centre gets to act after each step of its time


PAID: Final = Promise(status="paid", charged=PRICE_MINOR, deeds=("shipped",))


class Story(msgspec.Struct, frozen=True):
    """``play`` returns, in a few words, what happened; it raises Broken when it did not end as promised."""

    name: str  # part of its order number
    title: str
    play: Callable[[Stage], Awaitable[str]]


class Stage:
    """One order in one world."""

    def __init__(self, world: World, order_no: str) -> None:
        self.world = world
        self.shop = world.shop
        self.order_no = order_no
        self.payment_id = ""
        self.number = ""  # of the attempt, as the channel knows it
        self.shown: dict[str, dict[str, Any]] = {}  # by channel: what the payer was given
        self.promise: Promise | None = None

    # -- what people do ------------------------------------------------------------------------------------------

    async def submit(self, *, way: str = "wechat", minor: int = PRICE_MINOR, deadline_s: int = 7200) -> PaymentStarted:
        """The shop orders the payment and has something to show."""
        payment = await self.shop.submit(self.order_no, way=way, minor=minor, deadline_s=deadline_s)
        require(self.learn(payment), "there is nothing to show")
        return payment

    async def switch(self, way: str) -> PaymentStarted:
        """The payer went back and chose another way."""
        payment = await self.shop.switch(self.payment_id, way)
        require(self.learn(payment), "there is nothing to show")
        return payment

    def learn(self, payment: PaymentStarted) -> bool:
        """Note what the centre calls it; whether there is something to show."""
        self.payment_id = payment.id
        attempt = payment.attempt
        if attempt is None:
            return False
        self.number = attempt.id.removeprefix("att_")
        if attempt.credential is not None:
            self.shown[attempt.channel] = attempt.credential
        return attempt.credential is not None

    async def pay(self, channel: str = "") -> None:
        """The payer scans or opens what was shown, the last or the channel's, and pays."""
        given = self.shown[channel] if channel else self.order.credential
        form = {"action": given.get("action"), "fields": given.get("fields")}
        await self.world.control("POST", "pay", {"form": form} if given["type"] == "form" else given)

    async def is_paid(self) -> None:
        """Until the centre knows: it is told, or it asks."""
        if self.world.silent:
            await self.let_pass(lambda: self.has_status("paid"), "paid", step_s=5, at_most_s=60)
        else:
            await until(lambda: self.has_status("paid"), "paid")

    async def refund(self, refund_no: str, minor: int) -> Refund:
        """The shop gives money back."""
        return await self.shop.refund(self.payment_id, refund_no, minor)

    # -- what there is to see ------------------------------------------------------------------------------------

    @property
    def order(self) -> Order:
        """As the shop has it."""
        order = self.shop.books.order(self.order_no)
        assert order is not None
        return order

    async def rows(self) -> list[dict[str, Any]]:
        """As the channels have it."""
        return await self.world.rows(self.payment_id)

    async def payment(self) -> dict[str, Any]:
        """As the centre has it."""
        return await self.shop.payment(self.payment_id)

    async def has_status(self, status: str) -> bool:
        """Whether the centre says so by now."""
        return bool((await self.payment())["status"] == status)

    async def delivery(self) -> dict[str, Any]:
        """The newest delivery to the shop."""
        listed = await self.shop.ask("GET", f"/v1/deliveries?payment={self.payment_id}")
        return max(listed["data"], key=lambda row: row["version"], default={"tries": 0, "status": "none"})

    async def delivered(self) -> dict[str, Any]:
        """The newest delivery once it is done; before, nothing."""
        delivery = await self.delivery()
        return delivery if delivery["status"] == "done" else {}

    # -- time ----------------------------------------------------------------------------------------------------

    async def let_pass(
        self, look: Callable[[], Awaitable[bool]], what: str, *, step_s: float, at_most_s: float
    ) -> float:
        """Let time pass, a step at a time, until something is so; how many seconds of it passed."""
        passed_s = 0.0
        while not await look():
            if passed_s >= at_most_s:
                raise Broken(f"{what} did not come within {at_most_s:g} s of the centre's time")
            await self.world.advance(step_s)
            passed_s += step_s
            await _moment(look)
        return passed_s

    # -- the end -------------------------------------------------------------------------------------------------

    async def ends(self, promise: Promise) -> None:
        """Wait for the three ledgers to say what was promised. Raises Broken with their complaints."""
        self.promise = promise
        found: list[str] = []

        async def agreed() -> bool:
            found[:] = await self.complaints()
            return not found

        try:
            if self.world.silent:
                await self.let_pass(agreed, "agreement", step_s=10, at_most_s=SILENT_S)
            else:
                await until(agreed, "agreement", seconds=AGREE_S)
        except Broken:
            raise Broken("; ".join(found)) from None

    async def complaints(self) -> list[str]:
        """What is not as promised now."""
        assert self.promise is not None
        try:
            payment = await self.payment()
        except (aiohttp.ClientError, TimeoutError, Refused) as error:
            return [f"the centre does not answer: {error!r}"]
        return complaints(self.promise, await self.rows(), payment, self.shop.books.order(self.order_no))


async def _moment(look: Callable[[], Awaitable[bool]]) -> None:
    """Give the centre a moment to notice the time, less if it is done sooner."""
    for _ in range(5):
        await asyncio.sleep(STEP_S / 5)
        if await look():
            return


def require(true: object, otherwise: str) -> None:
    """Raises Broken."""
    if not true:
        raise Broken(otherwise)
