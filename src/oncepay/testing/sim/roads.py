"""The network: five roads, each with delays and faults of its own.

    call     centre -> channel     the engine's transport; the sandbox answers at once and entirely
    notify   channel -> centre     the sandbox's notifications
    api      app -> centre         what business apps ask
    hook     centre -> app         webhooks
    queue    centre -> broker      messages and their confirms (``broker.py``)

A message that is on its way belongs to nobody: the death of its sender does not call it back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from oncepay.outbound import CallFailed, Client, LookUp, Reply
from oncepay.ports import Answer, Answered, NotSent, Request, Unknown
from oncepay.publishers import roads as publishers
from oncepay.publishers.webhook import WebhookPublisher
from oncepay.sandbox import server
from oncepay.testing.sim.loop import Life
from oncepay.testing.sim.options import AT_ONCE, QUEUE_ROAD, ROADS

if TYPE_CHECKING:
    from oncepay.testing.sim.process import Process
    from oncepay.testing.sim.world import World

SLOW_S: Final = 40.0
DRIP_BYTES: Final = 200  # an answer that drips is taken to be so long, whatever it is: keys must not change a trace
API_ANSWER_S: Final = 30.0

Heard = tuple[int, bytes]


class Lost(Exception):
    """No answer. ``sent``: the other side may have done it."""

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class Roads:
    """All five. Faults are drawn for each message from a stream of its road."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = {road: Random(f"{world.seed}:road:{road}") for road in (*ROADS, QUEUE_ROAD)}
        self._rates: dict[str, list[tuple[str, float]]] = {road: [] for road in self._dice}
        for name, rate in world.options.roads.items():
            road, _, fault = name.partition(" ")
            self._rates[road].append((fault, rate))

    def clear(self) -> None:
        """Peace: messages arrive."""
        for rates in self._rates.values():
            rates.clear()

    def delay_s(self, road: str) -> float:
        """How long one way takes: a few hundredths of a second, seldom seconds."""
        drawn = self._dice[road].random()
        return 0.002 + 0.08 * drawn * drawn if drawn < 0.98 else 3.0 * (drawn - 0.97) / 0.03

    def strikes(self, road: str) -> str:
        """The fault that this message suffers, or nothing."""
        for fault, rate in self._rates[road]:
            if self._dice[road].random() < rate:
                self._world.struck[f"{road} {fault}"] += 1
                return fault
        return ""

    def send(self, road: str, do: Callable[[Waiting], None], wait_s: float) -> Waiting:
        """Send a message, whose answer can be waited for. ``do``: what happens at the other side, which answers
        ``Waiting``, now or later."""
        world, fault = self._world, self.strikes(road)
        waiting = Waiting(world, road, fault)
        later = world.loop.call_later
        if fault == "refused":
            later(self.delay_s(road), waiting.refuse, context=world.context)
            return waiting
        waiting.timer = later(wait_s, waiting.fail, "no answer in time", context=world.context)
        if fault != "lost":
            delay_s = self.delay_s(road)
            later(delay_s, do, waiting, context=world.context)
            if fault in {"twice", AT_ONCE}:
                again_s = self.delay_s(road) if fault == "twice" else delay_s
                later(again_s, do, waiting, context=world.context)
        return waiting


class Waiting:
    """Somebody waits for an answer."""

    def __init__(self, world: World, road: str, fault: str) -> None:
        self._world = world
        self._road = road
        self._fault = fault
        self._future: asyncio.Future[Any] = world.loop.create_future()
        self.timer: asyncio.TimerHandle | None = None

    async def answered(self) -> Any:
        """The answer. Raises Lost."""
        told = await self._future
        if self.timer is not None:
            self.timer.cancel()
        if isinstance(told, Lost):
            raise told
        return told

    def answer(self, answer: Any, more_s: float = 0.0) -> None:
        """Send the answer back."""
        if self._fault == "lost after":
            return
        late_s = more_s + (SLOW_S if self._fault == "slow" else 0.0)
        delay_s = self._world.roads.delay_s(self._road) + late_s
        self._world.loop.call_later(delay_s, self._settle, answer, context=self._world.context)

    def refuse(self) -> None:
        """It never left."""
        self._settle(Lost("connection refused", sent=False))

    def fail(self, why: str) -> None:
        """There will be no answer."""
        self._settle(Lost(why, sent=True))

    def _settle(self, told: Any) -> None:
        if not self._future.done():
            self._future.set_result(told)


class Wire:
    """The engine's transport in one process: to the sandbox."""

    def __init__(self, world: World, life: Life) -> None:
        self._world = world
        self._life = life

    async def send(self, request: Request, deadline_s: float) -> Answer:
        """Three points to die at: before it leaves, on its way, when the answer is here."""
        world, life = self._world, self._life
        what = f"{request.method} {urlsplit(request.url).path}"
        await world.point(life, f"before the call {what}")
        world.calls += 1

        def arrives(waiting: Waiting) -> None:
            reply = world.sandbox.app.reply(_request(request))
            world.note("channel", f"{what} -> {reply.status}{f' {reply.fault.fault}' if reply.fault else ''}")
            _answer(waiting, reply)

        waiting = world.roads.send("call", arrives, deadline_s)
        await world.point(life, f"on the way {what}")
        try:
            answer: Answer = await waiting.answered()
        except Lost as lost:
            answer = Unknown(why=str(lost)) if lost.sent else NotSent(why=str(lost))
        await world.point(life, f"after the call {what}")
        return answer

    async def close(self) -> None:
        """There are no connections."""


def _request(request: Request) -> server.Request:
    parts = urlsplit(request.url)
    headers = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in request.headers}
    return server.Request(request.method, parts.path, parts.query, headers, request.body)


def _answer(waiting: Waiting, reply: server.Reply) -> None:
    """What the sandbox's server would do with a reply, faults of the connection included."""
    rule = reply.fault
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reply.headers}
    answered = Answered(status=reply.status, headers=headers, body=reply.body)
    if rule is None:
        waiting.answer(answered)
    elif rule.fault == "slow":
        waiting.answer(answered, 30.0 if rule.seconds is None else rule.seconds)
    elif rule.fault == "slow_drip":
        waiting.answer(answered, DRIP_BYTES * (0.5 if rule.seconds is None else rule.seconds))
    else:  # drop_before, drop_after, garbage, truncated: no whole answer
        waiting.fail(f"the connection ended: {rule.fault}")


class Carrier:
    """What carries the sandbox's notifications: to any process that is up."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def ask(self, url: str, headers: dict[str, str], body: bytes, answer_s: float) -> Heard | None:
        """The status and the body, or None when no answer came in time."""
        path = urlsplit(url).path
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        task = asyncio.current_task()
        number = self._number_of(task.get_name() if task else "")
        asked = Asked("POST", path, b"", raw, body)

        def answered(heard: Heard) -> None:
            self._world.judges.answered(number, heard[0])

        try:
            status, answer = await self._world.ask_centre("notify", asked, answer_s, answered)
        except Lost:
            return None
        self._world.judges.notified(path, status)
        self._world.note("channel", f"notifies {path} -> {status}")
        return status, answer

    def _number_of(self, notice_id: str) -> str:
        """Of which order the channel tells. It names the task that delivers a notification after it."""
        notices = (notice for vendor in self._world.sandbox.vendors.values() for notice in vendor.notices())
        return next((notice.number for notice in notices if notice.id == notice_id), "")

    def close(self) -> None:
        """There are no connections."""


# -- webhooks --------------------------------------------------------------------------------------------------------


def publisher(world: World, life: Life) -> publishers.Roads:
    """A process's real publisher, whose webhooks go over the simulated road."""
    return publishers.Roads(_Webhooks(world, life))


class _Webhooks(WebhookPublisher):
    """The real one, over the simulated road."""

    def __init__(self, world: World, life: Life) -> None:
        super().__init__()
        self._wire = _Hooks(world, life)

    def _open(self, networks: tuple[str, ...], *, inside: bool) -> Client:
        pool = self._pools[networks, inside] = self._wire
        return pool


class _Hooks(Client):
    """The client that a publisher calls with."""

    def __init__(self, world: World, life: Life) -> None:
        super().__init__(resolve=LookUp(), per_host=1, idle_s=1.0, body_max=1)
        self._world = world
        self._life = life

    async def call(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes, deadline_s: float
    ) -> Reply:
        """Raises CallFailed."""
        world, life = self._world, self._life
        given = dict(headers)
        await world.point(life, f"before the webhook {method}")

        def arrives(waiting: Waiting) -> None:
            if world.shop.shut:
                waiting.fail("nobody is there")
            else:
                waiting.answer(world.shop.hear(urlsplit(url).path, given, body))

        waiting = world.roads.send("hook", arrives, deadline_s)
        await world.point(life, "on the way of the webhook")
        try:
            status = await waiting.answered()
        except Lost as lost:
            raise CallFailed(str(lost), sent=lost.sent) from None
        await world.point(life, "after the webhook")
        return Reply(status, [], b"")


# -- into the centre -------------------------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A request to the centre."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def scope(self) -> dict[str, Any]:
        """As servers hand it to an application."""
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": self.method, "scheme": "http",
            "path": self.path, "raw_path": self.path.encode(), "query_string": self.query, "headers": self.headers,
            "root_path": "", "client": ("203.0.113.1", 1), "server": ("centre.test", 80),
        }  # fmt: skip


async def serve(process: Process, asked: Asked, answer: Callable[[Heard], None]) -> None:
    """One request in a process of the centre, in the real application."""
    status, chunks = 500, []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": asked.body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            chunks.append(message.get("body", b""))

    what = f"{asked.method} {asked.path}"
    await process.world.point(process.life, f"before the request {what}")
    run: Awaitable[None] = process.app(asked.scope(), receive, send)
    await run
    await process.world.point(process.life, f"before the answer {what}")
    answer((status, b"".join(chunks)))
