"""What a story is played with: one order, the payer, time, and the promise that is checked at the end."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import msgspec

from oncepay.cli.demo.books import Order
from oncepay.cli.demo.check import Promise, complaints
from oncepay.cli.demo.process import Broken, until
from oncepay.cli.demo.shop import PRICE_MINOR, Refused
from oncepay.cli.demo.world import World
from oncepay.client import Refund

AGREE_S: Final = 10.0  # real seconds for the three ledgers to agree
SILENT_S: Final = 900  # seconds of the centre's time in which it finds out by asking alone
STEP_S: Final = 0.1  # real seconds that the centre gets to act after each step of its time
CODE: Final = re.compile(r"weixin://[^\s<]+")
LINK: Final = re.compile(r'href="(https?://[^"]+)"')
FORM: Final = re.compile(r'action="(https?://[^"]+)"')
FIELD: Final = re.compile(r'<input type="?hidden"? name="([^"]+)" value="([^"]*)"')

PAID: Final = Promise(status="paid", charged=PRICE_MINOR, deeds=("ship",))


class Story(msgspec.Struct, frozen=True):
    """``play`` returns, in a few words, what happened; it raises Broken when it did not end as promised."""

    name: str  # the buyer's, too
    title: str
    play: Callable[[Stage], Awaitable[str]]


class Stage:
    """One order in one world."""

    def __init__(self, world: World, buyer: str) -> None:
        self.world = world
        self.shop = world.shop
        self.buyer = buyer
        self.order_no = ""
        self.payment_id = ""
        self.number = ""  # of the newest attempt, as the channel knows it
        self.shown: dict[str, dict[str, Any]] = {}  # by channel: what the payer was given, as the sandbox takes it
        self.promise: Promise | None = None

    # -- what people do ------------------------------------------------------------------------------------------

    async def submit(self, way: str = "wechat", *, quantity: int = 1) -> None:
        """Buy tea and choose a way to pay it."""
        self.order_no = await self.shop.order(self.buyer, quantity)
        await self.choose(way)

    async def choose(self, way: str) -> dict[str, Any]:
        """Choose this way to pay, or go back and choose it instead of another; what the page has to pay by."""

        async def to_pay_by() -> dict[str, Any]:
            page = await self.shop.pay(self.order_no, way)
            require(page.status == 200, f"the shop answered with {page.status}: {page.text}")
            return on_page(page.text)

        self.shown.pop(way, None)
        self.shown[way] = await until(to_pay_by, "something to pay by", seconds=20)
        payment = await self.shop.client.payments.of_order(self.order_no)
        assert payment is not None
        self.payment_id = payment.id
        self.number = payment.attempts[-1].id.removeprefix("att_")
        return self.shown[way]

    async def pay(self, way: str = "") -> None:
        """The payer scans or opens what was shown, the last or that way's, and pays."""
        await self.world.control("POST", "pay", self.shown[way or [*self.shown][-1]])

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
        return await self.shop.ask("GET", f"/v1/payments/{self.payment_id}")

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


def on_page(text: str) -> dict[str, Any]:
    """What a page of the shop has to pay by: a code, a link or a form, as the sandbox takes it; nothing, if nothing."""
    if code := CODE.search(text):
        return {"code_url": html.unescape(code[0])}
    if form := FORM.search(text):
        fields = {name: html.unescape(value) for name, value in FIELD.findall(text)}
        return {"form": {"action": html.unescape(form[1]), "fields": fields}}
    link = LINK.search(text)
    return {"url": html.unescape(link[1])} if link else {}


def require(true: object, otherwise: str) -> None:
    """Raises Broken."""
    if not true:
        raise Broken(otherwise)
