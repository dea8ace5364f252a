"""The business app: what it asks of the centre (with a log of every call), and what it takes in by the project's own
``Inbox``, on a database of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from oncepay.client.around import Around
from oncepay.client.errors import EventUnreadable, SignatureInvalid, TimeInvalid
from oncepay.client.guards.dialects import table_statements
from oncepay.client.guards.inbox import FORGET_DAYS_MIN, Inbox
from oncepay.client.guards.milestones import Milestone
from oncepay.client.shapes import Event
from oncepay.client.webhooks import TOLERANCE_S, verify
from oncepay.testing.sim.ground import OTHER, SQL, app_id
from oncepay.testing.sim.process import START_MS
from oncepay.testing.sim.roads import API_ANSWER_S, Asked, Lost

if TYPE_CHECKING:
    from oncepay.testing.sim.world import World

QUEUED_S: Final = FORGET_DAYS_MIN * 86_400  # as the client's consumers have it


class Said(NamedTuple):
    """An answer of the API. ``body``: its JSON."""

    status: int
    body: Any

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


class Call(NamedTuple):
    """A line of the client's log. ``said``: None when no answer came."""

    at_s: float
    method: str
    path: str
    body: Any
    said: Said | None


class Told(NamedTuple):
    """A webhook as it came, and what it was answered."""

    event: Event
    status: int


class Shop:
    """Orders are what the payers' scripts make of them; this is their common counter."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = Random(f"{world.seed}:shop")
        self.app = app_id(world.options.late, world.options.unclosable, queue=world.options.queue)
        self.shut = False
        self.log: list[Call] = []
        self.told: list[Told] = []
        self.queued: set[str] = set()  # ids of what came by the queue and was taken in
        self.orders: dict[str, int] = {}  # what each costs, minor units
        self._link = sqlite3.connect(":memory:", isolation_level=None)
        for statement in table_statements("sqlite"):
            self._link.execute(statement)
        self._link.execute(SQL["create_deeds"])
        self.inbox: Inbox[sqlite3.Connection] = Inbox(self._begin, around=Around(now_ms=self._now_ms))
        self.inbox.on("paid")(lambda link, m: self._do(link, m, m.payment.paid.minor if m.payment.paid else 0))
        self.inbox.on("refund.done", "refund.outside")(
            lambda link, m: self._do(link, m, -m.refund.minor if m.refund else 0)
        )
        self.inbox.on("closed", "refund.failed", "surplus.refunded")(lambda link, m: self._do(link, m, 0))

    def _now_ms(self) -> int:
        return START_MS + int(self._world.loop.time() * 1000)

    @contextmanager
    def _begin(self) -> Iterator[sqlite3.Connection]:
        self._link.execute("BEGIN IMMEDIATE")
        try:
            yield self._link
        except BaseException:
            self._link.execute("ROLLBACK")
            raise
        self._link.execute("COMMIT")

    def _do(self, link: sqlite3.Connection, milestone: Milestone, minor: int) -> None:
        link.execute(SQL["add_deed"], (milestone.payment.order_no, milestone.key, milestone.word, minor))

    # -- what it hears -------------------------------------------------------------------------------------------

    def hear(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """A webhook; what it is answered."""
        world = self._world
        secret = world.ground.apps[path.rpartition("/")[2]].secret
        try:
            event = verify(secret, headers, body, self._now_ms() / 1000)
        except (SignatureInvalid, TimeInvalid, EventUnreadable) as error:
            late = world.options.still > 0 and isinstance(error, TimeInvalid)  # whoever stood still signed it days ago
            if world.options.skew_s < TOLERANCE_S and not late:
                world.judges.complain("I5", f"a webhook that the shop cannot believe: {error}")
            world.hit("the shop refused a message of another day")
            return 400
        if path != f"/{self.app}":
            world.judges.complain("I14", f"{path} was told of {event.payment.order_no}, which is not its own")
            return 400
        raw = msgspec.json.decode(body)
        world.judges.saw("webhook", raw["data"])
        failing = world.options.shop if world.raging else 0.0
        if self._dice.random() < failing:  # before it took it in, or after
            status = 500
            if self._dice.random() < 0.5:
                self.inbox.take(event)
        else:
            self.inbox.take(event)
            status = 204
        if any(told.event.id == event.id for told in self.told):
            world.hit("an event was delivered twice")
        elif any(t.event.payment.id == event.payment.id and t.event.version > event.version for t in self.told):
            world.hit("an event was overtaken by a newer one")
        self.told.append(Told(event, status))
        changes = ",".join(event.changes)
        world.note("shop", f"hears {event.payment.order_no} version {event.version} ({changes}) -> {status}")
        return status

    def take(self, headers: dict[str, str], body: bytes) -> None:
        """What a consumer found in the queue, however long it lay there."""
        world = self._world
        try:
            secret = world.ground.apps[self.app].queue
            event = verify(secret, headers, body, self._now_ms() / 1000, tolerance_s=QUEUED_S)
        except (SignatureInvalid, TimeInvalid, EventUnreadable) as error:
            world.judges.complain("I5", f"a message that the shop cannot believe: {error}")
            return
        world.judges.saw("the queue", msgspec.json.decode(body)["data"])
        self.inbox.take(event)
        self.queued.add(event.id)
        world.note("shop", f"takes {event.payment.order_no} version {event.version} from the queue")

    # -- what it asks --------------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Any = None, *, app: str = "", query: str = "") -> Said | None:
        """One call of the API; None when no answer came."""
        world = self._world
        floor = world.judges.floor(path)
        raw = b"" if body is None else msgspec.json.encode(body)
        headers = [(b"authorization", b"Bearer " + world.ground.apps[app or self.app].key.encode())]
        if raw:
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(raw))]
        said: Said | None = None
        try:
            asked = Asked(method, path, query.encode(), headers, raw)
            status, answer = await world.ask_centre("api", asked, API_ANSWER_S)
            said = Said(status, msgspec.json.decode(answer) if answer[:1] == b"{" else None)
        except Lost:
            pass  # no answer: the log says so
        self.log.append(Call(world.loop.time(), method, path, body, said))
        world.note(
            "a stranger" if app == OTHER else "app",
            f"{method} {path} -> {said.status if said else 'no answer'} {said.code if said else ''}",
        )
        if said is not None and app != OTHER:
            world.judges.heard(method, path, said, floor)
        return said

    # -- its books -----------------------------------------------------------------------------------------------

    def deeds(self) -> dict[str, list[tuple[str, str, int]]]:
        """What was done for each order: key, word, minor units that moved in the cash book."""
        found: dict[str, list[tuple[str, str, int]]] = {}
        for order_no, key, word, minor in self._link.execute(SQL["deeds"]):
            found.setdefault(order_no, []).append((key, word, minor))
        return found

    def versions(self) -> dict[str, int]:
        """The newest version that was taken in of each order."""
        return dict(self._link.execute(SQL["versions"]))

    def close(self) -> None:
        """Let go of the database."""
        self._link.close()
