"""One endpoint, one URL, one road: who carries a message is decided by the URL's scheme and by nothing else.

A broker's library is an extra and is imported with the first message that needs it; that it is installed is checked
when an endpoint is made. Links are kept by place, and let go of when nothing was sent for a while: so goes the link of
an endpoint that was removed, or whose password was changed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import msgspec

from oncepay.outbound import LookUp, Resolve, verified
from oncepay.ports import Endpoint, Message, Outcome, Publisher
from oncepay.publishers import schedule
from oncepay.publishers.links import Letter, Link, Road
from oncepay.publishers.places import Place, is_broker, place_of, split_login
from oncepay.publishers.signing import SecretInvalid, sign
from oncepay.publishers.targets import TargetRefused, check_target, read_networks

IDLE_S: Final = 60.0


class Kind(msgspec.Struct, frozen=True):
    """A kind of broker: its module here with the class of its link, the library it needs, the extra that has it."""

    module: str
    link: str
    library: str
    extra: str


KINDS: Final[Mapping[str, Kind]] = {
    "amqp": Kind("oncepay.publishers.rabbitmq", "RabbitLink", "aio_pika", "rabbitmq"),
    "kafka": Kind("oncepay.publishers.kafka", "KafkaLink", "confluent_kafka", "kafka"),
    "redis": Kind("oncepay.publishers.redis", "RedisLink", "redis", "redis"),
}
AT_ONCE: Final = 512  # to one broker: enough for its confirms to come in batches, little enough to keep in memory


def read_target(url: str, private_networks: Sequence[str]) -> tuple[str, str]:
    """An endpoint's URL as it may be shown, and the login that stood in it; before it is saved.

    Raises TargetRefused for one that nothing may be sent to, or that needs a library that is not installed; it never
    quotes the login.
    """
    if not is_broker(url):
        check_target(url, private_networks)
        return url, ""
    shown, login = split_login(url)
    place = place_of(shown, login, tuple(private_networks))
    kind = KINDS[place.kind]
    if find_spec(kind.library) is None:
        raise TargetRefused(
            f"{place.kind}://", f"this centre is installed without it: pip install 'oncepay[{kind.extra}]'"
        )
    return shown, login


class _Kept(msgspec.Struct):
    link: Link
    used_at: float
    under_way: int = 0


class Roads:
    """The publisher of a centre. Make it inside the loop that will use it, and close it."""

    def __init__(
        self,
        webhooks: Publisher,
        *,
        timeout_s: float = 10.0,
        idle_s: float = IDLE_S,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``webhooks``: carries whatever is not a broker's. ``timeout_s``: for one message to a broker. ``resolve``:
        looks names up (its findings are judged). ``tls``: a context with more authorities (ValueError if it does not
        verify); librdkafka has its own."""
        self._webhooks = webhooks
        self._timeout_s = timeout_s
        self._idle_s = idle_s
        self._resolve = resolve or LookUp()
        self._tls = verified(tls)
        self._links: dict[tuple[str, str, tuple[str, ...]], _Kept] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._closing: set[asyncio.Task[None]] = set()

    async def publish(self, endpoint: Endpoint, private_networks: Sequence[str], message: Message) -> Outcome:
        """Send once, by the road that the endpoint's URL names."""
        if not is_broker(endpoint.url):
            return await self._webhooks.publish(endpoint, private_networks, message)
        if self._closed:
            return Outcome(delivered=False, why="not sent: the centre is stopping", down=True)
        networks = tuple(private_networks)
        try:
            place = place_of(endpoint.url, endpoint.login, networks)
            headers = sign(endpoint.secrets, message.id, message.timestamp_s, message.body)
            key = endpoint.url, endpoint.login, networks
            kept = self._links.get(key) or self._open(key, place)
        except (TargetRefused, SecretInvalid, ImportError) as error:
            return Outcome(delivered=False, why=f"not sent: {error}")
        kept.under_way += 1
        try:
            outcome = await kept.link.send(Letter(id=message.id, key=message.key, body=message.body, headers=headers))
        finally:
            kept.under_way -= 1
            kept.used_at = asyncio.get_running_loop().time()
        return outcome if outcome.delivered else _without(place.password, outcome)

    def at_once(self, endpoint: Endpoint) -> int:
        """Brokers take many at a time: that is how confirms become cheap."""
        return AT_ONCE if is_broker(endpoint.url) else self._webhooks.at_once(endpoint)

    def next_try_ms(self, tries: int, now_ms: int, draw: float, retry_after_s: float | None) -> int | None:
        """The timetable of ``schedule.py``, on every road."""
        return schedule.next_try_ms(tries, now_ms, draw, retry_after_s)

    async def close(self) -> None:
        """Let go of all connections, for good."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(kept.link.close() for kept in links), *self._closing, self._webhooks.close())

    def _open(self, key: tuple[str, str, tuple[str, ...]], place: Place) -> _Kept:
        kind = KINDS[place.kind]
        make: Callable[[Road], Link] = getattr(import_module(kind.module), kind.link)
        loop = asyncio.get_running_loop()
        road = Road(
            place=place, allow=read_networks(key[2]), resolve=self._resolve, tls=self._tls, timeout_s=self._timeout_s
        )
        kept = self._links[key] = _Kept(link=make(road), used_at=loop.time())
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_s / 2, self._sweep)
        return kept

    def _sweep(self) -> None:
        """Close what was not used for a while; come again while anything is left."""
        loop = asyncio.get_running_loop()
        for key, kept in list(self._links.items()):
            if not kept.under_way and loop.time() - kept.used_at >= self._idle_s:
                del self._links[key]
                task = loop.create_task(kept.link.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        self._sweeper = loop.call_later(self._idle_s / 2, self._sweep) if self._links else None


def _without(password: str, outcome: Outcome) -> Outcome:
    """An outcome that does not quote the password, whatever a library put into its error."""
    if not password or password not in outcome.why:
        return outcome
    return msgspec.structs.replace(outcome, why=outcome.why.replace(password, "***"))
