"""What people do: shops that ask again, payers who switch, pay twice, leave, come late, and those who want it back."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any, Final

from oncepay.sandbox.vendor import Refused
from oncepay.testing.sim.ground import OTHER
from oncepay.testing.sim.process import START_MS

if TYPE_CHECKING:
    from oncepay.testing.sim.shop import Said
    from oncepay.testing.sim.world import World

SCRIPTS: Final = ("pays",) * 6 + (
    "switches and pays", "switches and pays the first", "switches and pays both", "pays twice", "leaves",
    "switches and leaves", "comes late", "asks thrice at once", "closes", "closes and pays", "pays and closes",
    "closes and wants it back", "closes, reopens, pays", "asks for another amount",
)  # fmt: skip
AGAIN: Final = 16  # for a payment about six minutes; a process that died is away for up to seven and a half
PAUSE_MAX_S: Final = 32.0
EARLY_S: Final = 300.0


class Payer:
    """One order from its beginning to the end of anybody's interest in it."""

    def __init__(self, world: World, n: int, script: str = "", way: str = "", *, refund: bool | None = None) -> None:
        self.world = world
        self.order_no = f"order-{n}"
        self.dice = Random(f"{world.seed}:order:{n}")
        drawn, first = self.dice.choice(SCRIPTS), self.dice.choice(world.ground.ways)
        self.script = script or drawn
        named = {f"{channel} {method}": (channel, method, payer) for channel, method, payer in world.ground.ways}
        self.way = named[way] if way else first
        self.minor = self.dice.choice((1, 100, 8800, 19_999))
        self.refund = refund  # None: drawn
        self.payment = ""
        self.shown: list[dict[str, Any]] = []  # attempts with a credential

    async def live(self, at_s: float | None = None) -> None:
        """The whole story."""
        await asyncio.sleep(self.dice.random() * EARLY_S if at_s is None else at_s)
        self.world.shop.orders[self.order_no] = self.minor
        self.world.hit(f"payer {self.script}")
        minutes = 2 if self.script == "comes late" else self.dice.choice((5, 15, 60))
        self.body = {
            "order_no": self.order_no,
            "amount": {"minor": self.minor, "currency": "CNY"},
            "subject": "Tea",
            "deadline_ms": START_MS + int((self.world.loop.time() + minutes * 60) * 1000),
            "attempt": self.attempt(self.way),
        }
        if self.script == "asks thrice at once":
            await asyncio.gather(*(self._create() for _ in range(2)))
        await self._create()
        if not self.payment:
            return
        meddling = None
        if self.dice.random() < self.world.options.meddlers:
            meddling = asyncio.create_task(Meddler(self).live())
        await self._acts()
        await asyncio.sleep(self.dice.random() * 60)
        await self._afterwards()
        if meddling is not None:
            await meddling

    def attempt(self, way: tuple[str, str, dict[str, str]]) -> dict[str, Any]:
        channel, method, payer = way
        return {"channel": channel, "method": method, **({"payer": payer} if payer else {})}

    async def _create(self) -> None:
        await self._starts("/v1/payments", self.body)

    async def _starts(self, path: str, body: dict[str, Any]) -> None:
        """Asked for again and again as a patient shop does, until there is something to pay by or a reason not to."""
        for again in range(AGAIN):
            said = await self.world.shop.ask("POST", path, body)
            if said is not None and said.status < 300:
                self.payment = said.body["id"]
                attempt = said.body["attempt"]
                if attempt is None or attempt["credential"]:
                    if attempt is not None:
                        self.shown.append(attempt)
                        if attempt["risk"]:
                            self.world.hit("the risk of a switch was named")
                    return
                self.world.hit("an answer was: not known yet")
            elif said is not None:
                self.payment = self.payment or said.body.get("payment", "")
                if not said.body.get("retry"):
                    return
            await asyncio.sleep(min(2.0**again, PAUSE_MAX_S) * (0.5 + self.dice.random()))

    async def _acts(self) -> None:
        script, dice = self.script, self.dice
        if script.startswith("switches"):
            await asyncio.sleep(dice.random() * 40)
            others = [way for way in self.world.ground.ways if way[:2] != self.way[:2]]
            await self._starts(f"/v1/payments/{self.payment}/attempts", self.attempt(dice.choice(others)))
        if script == "asks for another amount":
            body = {**self.body, "amount": {"minor": self.minor + 1, "currency": "CNY"}}
            said = await self.world.shop.ask("POST", "/v1/payments", body)
            if said is not None and said.status < 300:
                self.world.judges.complain("I10", f"{self.order_no} was taken again with another amount")
            elif said is not None and said.code == "key_reused":
                self.world.hit("another amount for the same order was refused")
        if script.startswith("closes"):
            await asyncio.sleep(dice.random() * 20)
            if_paid = "refund" if script.endswith("wants it back") else "keep"
            await self._patiently(f"/v1/payments/{self.payment}/close", {"if_paid": if_paid})
        if script == "closes, reopens, pays":
            deadline_ms = START_MS + int((self.world.loop.time() + 1200) * 1000)
            await self._patiently(f"/v1/payments/{self.payment}/reopen", {"deadline_ms": deadline_ms})
            await self._starts(f"/v1/payments/{self.payment}/attempts", self.attempt(self.way))
        await asyncio.sleep(200 if script == "comes late" else dice.random() * 30)
        await self._pays()
        if script == "pays and closes":
            await self._patiently(f"/v1/payments/{self.payment}/close", {})

    async def _pays(self) -> None:
        script, given = self.script, self.shown
        if not given or script.endswith("leaves"):
            return
        chosen = [given[-1]]
        if script == "pays twice":
            chosen = [given[-1]] * 2
        elif script == "switches and pays both":
            chosen = given[::-1]
        elif script == "switches and pays the first":
            chosen = [given[0]]
        for attempt in chosen:
            self.scans(attempt)
            await asyncio.sleep(self.dice.random() * 5)

    def scans(self, attempt: dict[str, Any]) -> None:
        """A person pays by what was shown."""
        world, given = self.world, attempt["credential"]
        form = {"action": given.get("action"), "fields": given.get("fields")}
        wanted = {"form": form} if given["type"] == "form" else dict(given)
        if not wanted.keys() & world.named_by:
            wanted = {"number": attempt["id"].removeprefix("att_")}
        try:
            world.sandbox.pay_for({**wanted, "channel": attempt["channel"]})
        except Refused as refused:
            world.note("payer", f"cannot pay {attempt['id']}: {refused.code}")
            world.hit("a payer came too late")
        else:
            world.hit(f"paid by {attempt['channel']} {attempt['method']}")
            world.note("payer", f"pays {attempt['id']}")

    async def _patiently(self, path: str, body: dict[str, Any]) -> Said | None:
        said = None
        for _ in range(AGAIN):
            said = await self.world.shop.ask("POST", path, body)
            if said is not None and not (said.status >= 400 and said.body.get("retry")):
                break
            await asyncio.sleep(0.5 + 2 * self.dice.random())
        return said

    async def _afterwards(self) -> None:
        """Reading, money back, and a stranger who looks for what is not his."""
        dice, shop, path = self.dice, self.world.shop, f"/v1/payments/{self.payment}"
        if dice.random() < 0.3:
            await shop.ask("GET", path, query="fresh=true")
        if dice.random() < 0.1:
            said = await shop.ask("GET", path, app=OTHER)
            if said is not None and said.status not in {404, 503}:
                self.world.judges.complain("I14", f"another app reads {path}: {said.status}")
        if dice.random() < 0.3 if self.refund is None else self.refund:
            await self._refunds(path)

    async def _refunds(self, path: str) -> None:
        for _ in range(AGAIN):
            said = await self.world.shop.ask("GET", path)
            if said is not None and said.status == 200 and said.body["status"] != "open":
                break
            await asyncio.sleep(5 + 10 * self.dice.random())
        parts = self.dice.choice(
            ((self.minor,), (self.minor // 2 or 1, self.minor // 3 or 1), (self.minor, self.minor))
        )
        bodies = [{"refund_no": f"{self.order_no}-{n}", "minor": minor} for n, minor in enumerate(parts)]
        found = await asyncio.gather(*(self._patiently(f"{path}/refunds", body) for body in bodies))
        codes = [said.code for said in found if said is not None]
        if "refund_too_large" in codes and any(said is not None and said.status < 300 for said in found):
            self.world.hit("of two refunds at once the one too many was refused")


class Meddler:
    """Somebody of the app who does anything with an order at any time, once, whatever is answered."""

    def __init__(self, payer: Payer) -> None:
        self._payer = payer
        self._world = payer.world
        self._dice = Random(f"{payer.world.seed}:meddler:{payer.order_no}")

    async def live(self) -> None:
        """A few deeds, some of them at the same moment."""
        for _ in range(self._dice.choice((2, 4, 8))):
            await asyncio.sleep(self._dice.choice((0.0, 0.01, 1.0, 20.0, 90.0)) * self._dice.random())
            deeds = [self._deed() for _ in range(self._dice.choice((1, 1, 2)))]
            await asyncio.gather(*deeds)

    async def _deed(self) -> None:
        dice, ask, path = self._dice, self._world.shop.ask, f"/v1/payments/{self._payer.payment}"
        in_s = dice.choice((90, 1200))
        deadline_ms = START_MS + int((self._world.loop.time() + in_s) * 1000)
        kind = dice.choice(
            ("read", "wait", "fresh", "timeline", "return", "start", "close", "reopen", "amend", "back", "pay")
        )
        if kind == "read":
            await ask("GET", path)
        elif kind in {"wait", "fresh"}:
            await ask("GET", path, query="wait=20" if kind == "wait" else "fresh=true")
        elif kind == "timeline":
            await ask("GET", f"{path}/timeline")
        elif kind == "return":
            await ask("GET", f"/return/{self._payer.payment}")
        elif kind == "start":
            said = await ask("POST", f"{path}/attempts", self._payer.attempt(dice.choice(self._world.ground.ways)))
            if said is not None and said.status < 300 and said.body["attempt"] and said.body["attempt"]["credential"]:
                self._payer.shown.append(said.body["attempt"])
        elif kind == "close":
            await ask("POST", f"{path}/close", {"if_paid": dice.choice(("keep", "refund"))})
        elif kind == "reopen":
            await ask("POST", f"{path}/reopen", {"deadline_ms": deadline_ms})
        elif kind == "amend":
            await ask("POST", f"{path}/amend", {"minor": self._payer.minor + dice.choice((0, 1, 5))})
        elif kind == "back":
            body = {
                "refund_no": f"{self._payer.order_no}-m{dice.randrange(3)}",
                "minor": dice.randrange(self._payer.minor) + 1,
            }
            await ask("POST", f"{path}/refunds", body)
        elif self._payer.shown:
            self._payer.scans(dice.choice(self._payer.shown))
