"""``Consumer``: takes news from a message queue into the inbox, by the same handlers as a webhook.

Each message is verified as a webhook is, before anything of it is used. It is acknowledged once it is in the app's
database: what was taken in, by the commit of the app's own transaction; what could not be, put aside (``aside.py``) and
tried again from there. So nothing is lost, nothing is done twice, and nothing waits behind a message that is bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from oncepay.client.around import AROUND, Around
from oncepay.client.errors import ArgumentInvalid, EventRefused
from oncepay.client.guards.aside import (
    Aside,
    Message,
    dropping_aside,
    due_aside,
    failing_aside,
    putting_aside,
    putting_aside_off,
)
from oncepay.client.guards.inbox import FORGET_DAYS_MIN, AsyncInbox, Inbox, log
from oncepay.client.guards.links import async_link_of, link_of
from oncepay.client.guards.scripts import Script
from oncepay.client.queues.caller import Caller
from oncepay.client.queues.places import Got, read_place, transport_of
from oncepay.client.queues.road import Road
from oncepay.client.shapes import Event
from oncepay.client.webhooks import keys_of, read_event, verify

T = TypeVar("T")
R = TypeVar("R")

GROUP: Final = "oncepay"
CLAIM_S: Final = 45.0
# A queue may hold a message for long. But not for longer than the inbox remembers an order: a message older than that,
# played again, would ship its goods again.
TOLERANCE_S: Final = FORGET_DAYS_MIN * 86_400


class Taken(NamedTuple):
    """A message that is genuine, and what it says."""

    got: Got
    event: Event


class _Reader:
    """What both consumers are made of."""

    def __init__(
        self,
        url: str,
        secrets: str | Sequence[str],
        *,
        group: str,
        tolerance_s: int,
        dead_letters: bool,
        claim_s: float,
        around: Around,
    ) -> None:
        self._place = read_place(url)
        transport = transport_of(self._place, group, claim_s, around)
        if dead_letters and not transport.has_dead_letters:
            raise ArgumentInvalid(f"{self._place} has no dead letters: what is refused is put aside in the inbox")
        keys_of(secrets)  # a wrong one is to be heard of now, not at the first message
        self._secrets = secrets
        self._tolerance_s = tolerance_s
        self._dead_letters = dead_letters
        self._around = around
        self._road = Road(transport, self._place, around)

    def close(self) -> None:
        """Take no more: ``run`` returns once what was taken is done with. May be called from any thread, and from the
        handler of a signal."""
        self._road.close()

    def _verify(self, message: Message) -> Event:
        now = self._around.now_ms() / 1000
        return verify(self._secrets, message.headers, message.body, now, tolerance_s=self._tolerance_s)

    def _read(self, kept: Aside) -> Event:
        """What was put aside, once more; the secret that verified it may be gone by now."""
        return read_event(kept.message.body) if kept.genuine else self._verify(kept.message)

    def _judge(self, got: list[Got]) -> tuple[list[Taken], list[tuple[Got, EventRefused]]]:
        """Genuine ones, by order so that two consumers never wait for each other, and what is refused."""
        taken, refused = [], []
        for one in got:
            try:
                taken.append(Taken(one, self._verify(one.message)))
            except EventRefused as error:
                log.warning("consumer.refused place=%s event=%.80s error=%s", self._place, one.message.event, error)
                refused.append((one, error))
        return sorted(taken, key=lambda one: one.event.payment.order_no), refused

    def _putting_aside(self, message: Message, error: Exception, *, genuine: bool) -> Script[None]:
        return putting_aside(message, str(self._place), error, self._around.now_ms(), genuine=genuine)


class Consumer(_Reader, Generic[T]):
    """Takes news from a queue into an inbox, for threads: ``run`` in a process or a thread of its own. Any number may
    run at once.

    ``url``: the endpoint's: ``amqp://user:pw@host/vhost?queue=NAME``, ``kafka://host:9092/TOPIC`` or
    ``redis://host:6379/0?stream=NAME``, with an ``s`` behind the scheme for TLS. ``secrets``: the endpoint's, during a
    rotation both, until the queue holds nothing that was signed with the older. ``group``: consumers of one group share
    a topic or a stream; each group gets all of it. ``tolerance_s``: how far a message's time may be from this
    machine's. ``dead_letters``: have RabbitMQ move what is refused to the queue's dead letters, which it must have,
    instead of putting it aside in the inbox. ``claim_s``: what a consumer of a topic or a stream holds is
    for others when it was not heard of for so long, in Kafka at least 6.

    Raises ArgumentInvalid, LibraryMissing.
    """

    def __init__(
        self,
        url: str,
        secrets: str | Sequence[str],
        inbox: Inbox[T],
        *,
        group: str = GROUP,
        tolerance_s: int = TOLERANCE_S,
        dead_letters: bool = False,
        claim_s: float = CLAIM_S,
        around: Around = AROUND,
    ) -> None:
        super().__init__(
            url,
            secrets,
            group=group,
            tolerance_s=tolerance_s,
            dead_letters=dead_letters,
            claim_s=claim_s,
            around=around,
        )
        self._inbox = inbox

    def run(self) -> None:
        """Take what comes, until ``close``. Handlers run in the thread that calls it. A broker or a database that is
        away is waited for. Raises HandlersMissing."""
        self._inbox.check()
        caller = Caller()
        caller.run(partial(self._road.run, _Elsewhere(caller, self)))

    def hear(self, got: list[Got]) -> list[Got]:
        """Write down what came, in one transaction, or one by one when something fails; what was refused and is not
        put aside. Raises what the database raises when nothing can be written."""
        taken, refused = self._judge(got)
        if not self._dead_letters:
            for one, why in refused:
                self._script(self._putting_aside(one.message, why, genuine=False))
        if len(taken) > 1 and self._took_all(taken):
            taken = []
        for each in taken:
            try:
                self._inbox.take(each.event)
            except Exception as error:
                self._script(self._putting_aside(each.got.message, error, genuine=True))
        return [one for one, _ in refused] if self._dead_letters else []

    def _took_all(self, taken: list[Taken]) -> bool:
        try:
            with self._inbox.begin() as within:
                for each in taken:
                    self._inbox.take_within(within, each.event)
        except Exception as error:
            log.info("consumer.split place=%s error=%s", self._place, type(error).__name__)
            return False
        return True

    def again(self) -> None:
        """Try what was put aside and is due."""
        for kept in self._script(due_aside(self._around.now_ms())):
            if self._script(putting_aside_off(kept, self._around.now_ms())):
                try:
                    self._inbox.take(self._read(kept))
                except Exception as error:
                    self._script(failing_aside(kept, error))
                else:
                    self._script(dropping_aside(kept.key))

    def _script(self, script: Script[R]) -> R:
        with self._inbox.begin() as within:
            return link_of(within).run(script)


class _Elsewhere:
    """The desk of a consumer for threads, as the road sees it."""

    def __init__(self, caller: Caller, consumer: Consumer[Any]) -> None:
        self._caller = caller
        self._consumer = consumer

    async def hear(self, got: list[Got], /) -> list[Got]:
        return await self._caller.do(self._consumer.hear, got)

    async def again(self) -> None:
        await self._caller.do(self._consumer.again)


class AsyncConsumer(_Reader, Generic[T]):
    """``Consumer`` for asyncio: ``run`` in a task of its own."""

    def __init__(
        self,
        url: str,
        secrets: str | Sequence[str],
        inbox: AsyncInbox[T],
        *,
        group: str = GROUP,
        tolerance_s: int = TOLERANCE_S,
        dead_letters: bool = False,
        claim_s: float = CLAIM_S,
        around: Around = AROUND,
    ) -> None:
        super().__init__(
            url,
            secrets,
            group=group,
            tolerance_s=tolerance_s,
            dead_letters=dead_letters,
            claim_s=claim_s,
            around=around,
        )
        self._inbox = inbox

    async def run(self) -> None:
        """As ``Consumer.run``; it may be cancelled, too."""
        self._inbox.check()
        await self._road.run(self)

    async def hear(self, got: list[Got]) -> list[Got]:
        """As ``Consumer.hear``."""
        taken, refused = self._judge(got)
        if not self._dead_letters:
            for one, why in refused:
                await self._script(self._putting_aside(one.message, why, genuine=False))
        if len(taken) > 1 and await self._took_all(taken):
            taken = []
        for each in taken:
            try:
                await self._inbox.take(each.event)
            except Exception as error:
                await self._script(self._putting_aside(each.got.message, error, genuine=True))
        return [one for one, _ in refused] if self._dead_letters else []

    async def _took_all(self, taken: list[Taken]) -> bool:
        try:
            async with self._inbox.begin() as within:
                for each in taken:
                    await self._inbox.take_within(within, each.event)
        except Exception as error:
            log.info("consumer.split place=%s error=%s", self._place, type(error).__name__)
            return False
        return True

    async def again(self) -> None:
        """As ``Consumer.again``."""
        for kept in await self._script(due_aside(self._around.now_ms())):
            if await self._script(putting_aside_off(kept, self._around.now_ms())):
                try:
                    await self._inbox.take(self._read(kept))
                except Exception as error:
                    await self._script(failing_aside(kept, error))
                else:
                    await self._script(dropping_aside(kept.key))

    async def _script(self, script: Script[R]) -> R:
        async with self._inbox.begin() as within:
            return await async_link_of(within).run(script)
