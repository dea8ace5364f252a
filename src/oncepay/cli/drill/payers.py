"""A storm of payers over all channels: they switch, pay twice, leave, come late; a shop that asks again and refunds;
every fault of the sandbox at some rate. Then peace, and three books that share no code must agree to the fen.

The drill is one, and so is ``make storm``. The seed decides what payers and faults do; how it interleaves is the
machine's.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Protocol

import aiohttp

from oncepay.cli.demo.books import Order
from oncepay.cli.demo.process import Broken
from oncepay.cli.demo.shop import PRICE_MINOR, Refused, Shop
from oncepay.client import CallFailed
from oncepay.sandbox.faults import MENU

WAYS: Final = (
    ("wechat", "native"), ("alipay", "page"), ("alipay", "wap"), ("alipay", "precreate"),
    ("unionpay", "front"), ("unionpay", "qr"),
)  # fmt: skip
SCRIPTS: Final = ("pays",) * 8 + (
    "switches and pays", "switches and pays", "switches and pays the first", "switches and pays both",
    "pays twice", "leaves", "switches and leaves", "comes late",
)  # fmt: skip
SHORT: Final[dict[str, dict[str, Any]]] = {
    "slow": {"seconds": 1}, "slow_drip": {"seconds": 0.01}, "refund_late": {"seconds": 600}
}  # fmt: skip
AT_ONCE: Final = 48
FAST: Final = 20.0  # seconds of the world's time in one of ours, while it storms
# A week: what UnionPay debited too late (its 42) it sends back by itself, and that takes it five.
PEACE_STEPS_S: Final = (20.0,) * 90 + (600.0,) * 12 + (3_600.0,) * 70 + (21_600.0,) * 18


class Around(Protocol):
    """What a storm needs of the world that it rages in."""

    def now_ms(self) -> int:
        """What time it is."""
        ...

    async def advance(self, seconds: float) -> None:
        """Let time pass, for all of them."""
        ...

    async def control(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        """One call of the sandbox's controls. Raises Broken when it refuses."""
        ...


class Storm:
    """One storm. ``rate``: of each fault."""

    def __init__(self, world: Around, shop: Shop, *, payments: int, seed: int, rate: float) -> None:
        self.world = world
        self.shop = shop
        self.seed = seed
        self.rate = rate
        self.fast = FAST
        self.buyers = [f"storm-{n}" for n in range(payments)]
        self.seen: Counter[str] = Counter()
        self._room = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> list[str]:
        """What is not as promised at the end; nothing, if all is."""
        rates = {name: {"rate": self.rate, **SHORT.get(name, {})} for name in MENU}
        await self.world.control("PUT", "faults", {"rates": rates})
        running = asyncio.create_task(self._time_runs())
        try:
            await asyncio.gather(*(self._order(buyer) for buyer in self.buyers))
        finally:
            running.cancel()
        struck = (await self.world.control("GET", "faults"))["struck"]
        self.seen.update({f"fault: {name}": count for name, count in struck.items()})
        await self.world.control("DELETE", "faults")
        return await self._peace()

    async def _time_runs(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            await self.world.advance(0.1 * self.fast)

    # -- one order -----------------------------------------------------------------------------------------------

    async def _order(self, buyer: str) -> None:
        async with self._room:
            dice = random.Random(f"{self.seed}:{buyer}")
            script, first = dice.choice(SCRIPTS), dice.choice(WAYS)
            self.seen[f"payer {script}"] += 1
            self.seen[f"way: {first[0]} {first[1]}"] += 1
            minutes = 2 if script == "comes late" else dice.choice((15, 30, 60))
            order_no = await self.shop.order(buyer)
            body = {
                "order_no": order_no,
                "amount": {"minor": PRICE_MINOR, "currency": "CNY"},
                "subject": "Tea",
                "deadline_ms": self.world.now_ms() + minutes * 60_000,
                "attempt": {"channel": first[0], "method": first[1]},
            }
            shown = [await self._shown("/v1/payments", body)]
            if script.startswith("switches") and shown[0] is not None:
                second = dice.choice([way for way in WAYS if way != first])
                asked = {"channel": second[0], "method": second[1]}
                shown.append(await self._shown(f"/v1/payments/{shown[0]['id']}/attempts", asked))
            await self._pays(script, shown)
            if dice.random() < 0.2:
                await self._refunds(order_no, dice)

    async def _shown(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """What there is to pay by, asked for again and again as a patient shop does; None when there is nothing."""
        for _ in range(25):
            try:
                payment = await self.shop.ask("POST", path, body)
            except Refused as error:
                self.seen[f"refused: {error.problem.get('code')}"] += 1
                if not error.problem.get("retry"):
                    return None
            except (aiohttp.ClientError, TimeoutError) as error:
                self.seen[f"no answer: {type(error).__name__}"] += 1
            else:
                attempt = payment["attempt"]
                if attempt is None or attempt["credential"]:
                    self.seen["the risk is named"] += bool(attempt and attempt["risk"])
                    return payment
                self.seen["not known yet (202)"] += 1
            await asyncio.sleep(0.2)
        self.seen["given up by the shop"] += 1
        return None

    async def _pays(self, script: str, shown: list[dict[str, Any] | None]) -> None:
        given = [payment["attempt"] for payment in shown if payment is not None and payment["attempt"]]
        if not given or script.endswith("leaves"):
            return
        if script == "comes late":
            await asyncio.sleep(150 / self.fast)
        chosen = {"pays twice": [given[-1]] * 2, "switches and pays both": given[::-1]}.get(script, [given[-1]])
        if script == "switches and pays the first":
            chosen = [given[0]]
        for attempt in chosen:
            credential = attempt["credential"]
            form = {"action": credential.get("action"), "fields": credential.get("fields")}
            wanted = {"form": form} if credential["type"] == "form" else credential
            try:
                await self.world.control("POST", "pay", {**wanted, "channel": attempt["channel"]})
                self.seen["paid at the channel"] += 1
            except Broken:
                self.seen["not taken by the channel"] += 1

    async def _refunds(self, order_no: str, dice: random.Random) -> None:
        for _ in range(100):
            order = await asyncio.to_thread(self.shop.books.order, order_no)
            if order is not None and order.status == "paid":
                break
            await asyncio.sleep(0.1)
        else:
            return
        for part in range(dice.choice((1, 2))):
            try:
                await self.shop.refund(order.payment, f"{order_no}-{part}", 1100)
                self.seen["refund asked for"] += 1
            except CallFailed as error:
                self.seen[f"refund: {type(error).__name__}"] += 1

    # -- peace ---------------------------------------------------------------------------------------------------

    async def _peace(self) -> list[str]:
        """Time passes until the books agree, or for a week."""
        wrong: list[str] = []
        for step, seconds in enumerate(PEACE_STEPS_S):
            await self.world.advance(seconds)
            await asyncio.sleep(0.15)
            if step % 10 == 9:
                await self._person()
                wrong = await self.complaints()
                if not wrong:
                    break
        self.seen["hours of peace until all agreed"] = round(sum(PEACE_STEPS_S[: step + 1]) / 3_600)
        async for payment in self._payments():
            self.seen[f"ended {payment['status']}"] += 1
            self.seen.update(f"refund of {r['origin']}: {r['status']}" for r in payment["refunds"])
        listed = await self.shop.ask("GET", "/v1/cases?limit=100")
        self.seen.update(f"case: {case['kind']}" for case in listed["data"])
        return wrong

    async def _person(self) -> None:
        """What only a person ends: refunds whose card is gone are sent to another one."""
        for row in (await self.world.control("GET", "books"))["orders"]:
            for refund in row["refunds"]:
                if refund["status"] == "ABNORMAL":
                    await self.world.control("POST", "elsewhere", {"number": refund["number"]})
                    self.seen["abnormal refund sent elsewhere"] += 1

    async def _payments(self) -> Any:
        after = ""
        while True:
            page = await self.shop.ask("GET", f"/v1/payments?limit=100{after}")
            for payment in page["data"]:
                yield payment
            if not page.get("next"):
                return
            after = f"&after={page['next']}"

    async def complaints(self) -> list[str]:
        """What the channel's books, the API and the shop's books do not agree on."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in (await self.world.control("GET", "books"))["orders"]:
            rows.setdefault(row["number"][:26], []).append(row)
        wrong: list[str] = []
        async for payment in self._payments():
            order = await asyncio.to_thread(self.shop.books.order, payment["order_no"])
            found = disagreements(rows.pop(payment["id"].removeprefix("pay_"), []), payment, order)
            wrong.extend(f"{payment['order_no']} {payment['id']}: {text}" for text in found)
        strangers = [number for number, found in rows.items() if any(row["paid"] for row in found)]
        return [*wrong, *(f"{number}: it was paid and the centre does not know of it" for number in strangers)]


def disagreements(rows: list[dict[str, Any]], payment: dict[str, Any], order: Order | None) -> Iterator[str]:
    """Of one payment. Amounts in fen."""
    held = sum(row["paid"] - row["refunded"] for row in rows)
    if order is None:
        yield "the shop does not know the order"
        return
    if not held == payment["kept_minor"] == order.cash:
        yield f"the channels hold {held}, the centre keeps {payment['kept_minor']}, the shop has {order.cash}"
    if payment["status"] == "open":
        yield "it is still open"
    if held > PRICE_MINOR:
        yield f"{held} is kept of {PRICE_MINOR}"
    if sum(deed.what == "ship" for deed in order.deeds) != (payment["paid"] is not None):
        yield f"the shop did {[deed.what for deed in order.deeds]}"
    if order.version != payment["version"] and (order.version >= 0 or payment["version"] > 0):
        yield f"the shop was told version {order.version} of {payment['version']}"
    yield from (f"refund {r['refund_no']} is still open" for r in payment["refunds"] if r["status"] == "open")
    for row in rows:
        if not row["paid"] and row["state"] in {"NOTPAY", "WAIT_BUYER_PAY"} and not row["closed_at"]:
            yield f"{row['number']} can still be paid"
