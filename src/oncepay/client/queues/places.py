"""Where to read: the URL of an endpoint, taken apart the same way for each kind of broker.

* ``amqp://user:pw@host:5672/vhost?queue=NAME``, or ``amqps``
* ``kafka://host:9092,host2:9092/TOPIC``, or ``kafkas``
* ``redis://user:pw@host:6379/0?stream=NAME``, or ``rediss``

What else stands behind the question mark is for who publishes, or for the library that connects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from oncepay.client.around import Around
from oncepay.client.errors import ArgumentInvalid
from oncepay.client.guards.aside import Message
from oncepay.client.queues.errors import LibraryMissing

TAKE_MAX: Final = 32  # messages that are taken, and written down in one transaction, at a time
TAKE_S: Final = 1.0  # how long to wait for the first of them
HEADERS: Final[tuple[str, ...]] = ("webhook-id", "webhook-timestamp", "webhook-signature")


class Got(NamedTuple):
    """A message with what its broker knows it by."""

    message: Message
    tag: Any


class Source(Protocol):
    """Messages, while a connection lasts. Whatever it raises means that it does not last."""

    async def take(self) -> list[Got]:
        """The next messages, in their order, as soon as there is one; none when there is none for a second. Whoever
        took some is done with them before it takes more."""

    async def done(self, got: list[Got]) -> None:
        """These need not come again."""

    async def reject(self, got: list[Got]) -> None:
        """These go to where the queue has its dead letters."""


class Transport(Protocol):
    """A kind of broker."""

    @property
    def has_dead_letters(self) -> bool:
        """Whether ``reject`` means anything."""

    def open(self) -> AbstractAsyncContextManager[Source]:
        """Connect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A URL, taken apart. ``kind``: ``amqp``, ``kafka`` or ``redis``. ``hosts``: with ports, as they stand there.
    ``path``: decoded, without its first slash. ``name``: of the queue, topic or stream. ``options``: the others, of
    which a library may take a password too."""

    url: str = field(repr=False)
    kind: str
    tls: bool
    user: str = field(repr=False)
    password: str = field(repr=False)
    hosts: str
    path: str
    name: str
    options: dict[str, str] = field(repr=False)

    def __str__(self) -> str:
        """For people and logs: without user and password."""
        return f"{_WHAT[self.kind]} {self.name} at {self.hosts}"

    def without(self, *options: str) -> str:
        """The URL as the library that connects wants it."""
        query = urlencode({name: value for name, value in self.options.items() if name not in options})
        return urlsplit(self.url)._replace(query=query).geturl()


_WHAT: Final = {"amqp": "queue", "kafka": "topic", "redis": "stream"}
_FORMS: Final = {
    "amqp": "amqp://host/vhost?queue=NAME",
    "kafka": "kafka://host:9092/TOPIC",
    "redis": "redis://host/0?stream=NAME",
}
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\w.-]+)(?::[0-9]{1,5})?")
_ENCODE: Final = "in a user or password what is no letter or digit must be percent-encoded (/ is %2F, @ is %40)"
_TLS: Final = {"amqps": "amqp", "kafkas": "kafka", "rediss": "redis"}


def read_place(url: str) -> Place:
    """Raises ArgumentInvalid, which never quotes a password."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:  # its words may quote anything
        raise ArgumentInvalid(f"the URL of a queue cannot be read; {_ENCODE}") from None
    scheme = parts.scheme.lower()
    kind = _TLS.get(scheme, scheme)
    if kind not in _WHAT:
        raise ArgumentInvalid(f"a consumer reads from amqp://, kafka:// and redis://, not from {scheme[:20]}://")
    who, _, hosts = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    path = unquote(parts.path.removeprefix("/"))
    name = path if kind == "kafka" else options.get(_WHAT[kind], "")
    if not hosts or not name:
        raise ArgumentInvalid(f"the URL must name a host and a {_WHAT[kind]}: {_FORMS[kind]}")
    # What stands behind a / or # of a password looks like a path, and what stands before it like a host, to be logged.
    if "@" in parts.path + parts.query or parts.fragment or not all(map(_HOST.fullmatch, hosts.split(","))):
        raise ArgumentInvalid(f"what stands there for a host of the URL is none; {_ENCODE}")
    return Place(
        url=url,
        kind=kind,
        tls=scheme in _TLS,
        user=unquote(user),
        password=unquote(password),
        hosts=hosts,
        path=path,
        name=name,
        options=options,
    )


def transport_of(place: Place, group: str, claim_s: float, around: Around) -> Transport:
    """What speaks to it. Raises LibraryMissing."""
    try:
        if place.kind == "amqp":
            from oncepay.client.queues.rabbitmq import Rabbitmq

            return Rabbitmq(place)
        if place.kind == "kafka":
            from oncepay.client.queues.kafka import Kafka

            return Kafka(place, group, claim_s)
        from oncepay.client.queues.streams import Streams

        return Streams(place, group, claim_s, around)
    except ModuleNotFoundError as error:
        extra = {"amqp": "rabbitmq"}.get(place.kind, place.kind)
        raise LibraryMissing(
            f"to read from {place.kind}:// the library {error.name} is needed: pip install 'oncepay[{extra}]'"
        ) from error


def message_of(headers: Iterable[tuple[str, Any]], body: bytes) -> Message:
    """What counts of a message; a broker adds headers of its own, which change when it comes again."""
    named = {name.lower(): value for name, value in headers}
    return Message(headers={name: text_of(named[name]) for name in HEADERS if name in named}, body=body)


def text_of(value: Any) -> str:
    """A name or header as text, whatever a broker or a forger made of it; what is no text fits no signature."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
