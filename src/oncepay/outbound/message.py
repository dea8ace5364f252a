"""What is said and heard: a request to the byte, a final answer, and the two ways to have none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

# Answers to HEAD and CONNECT are framed by other rules, and nobody needs them.
METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
# These say where a message ends and what becomes of the connection: that is ours to say.
OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"})

_URL: Final = re.compile(r"(https?://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?)([/?][!\"$-~]*)?", re.IGNORECASE)
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class RequestInvalid(ValueError):
    """This cannot be said in HTTP, or would say something else than was meant. Nothing was sent."""


class CallFailed(Exception):
    """No whole answer. ``sent``: the request may have arrived. ``answer``: one whose head came but whose body did not,
    without the body."""

    def __init__(self, why: str, *, sent: bool, answer: Reply | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.sent = sent
        self.answer = answer


class Origin(NamedTuple):
    """Whom a connection is to. ``authority``: as ``Host`` says it, without the scheme's own port."""

    tls: bool
    host: str
    port: int
    authority: str


class Reply(NamedTuple):
    """A final answer. ``raw``: headers as they came; ``body``: any content encoding left as it is."""

    status: int
    raw: list[tuple[bytes, bytes]]
    body: bytes

    def headers(self) -> dict[str, str]:
        """Names in lower case. A header that came twice is joined by commas: a doubled signature then fits nothing."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in self.raw:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


def read_url(url: str) -> tuple[Origin, str]:
    """Whom to call, and what to ask for there, to the letter. Raises RequestInvalid.

    >>> read_url("https://Pay.example:8443?a=%2F")
    (Origin(tls=True, host='pay.example', port=8443, authority='pay.example:8443'), '/?a=%2F')
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise RequestInvalid("not a URL of http or https")
    target = match[2] or "/"
    return _origin(match[1]), target if target[0] == "/" else "/" + target


@lru_cache(maxsize=1024)
def _origin(text: str) -> Origin:
    scheme, _, authority = text.lower().partition("://")
    host, colon, digits = authority.rpartition(":")
    if not colon or digits.endswith("]"):
        host, digits = authority, ""
    usual = 443 if scheme == "https" else 80
    port = int(digits or usual)
    if not 0 < port < 65_536:
        raise RequestInvalid("there is no such port")
    return Origin(scheme == "https", host.strip("[]"), port, host if port == usual else f"{host}:{port}")


def compose(method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> tuple[Origin, bytes]:
    """A request to the byte, the order of ``headers`` kept. Raises RequestInvalid, for a line break in a header too."""
    origin, target = read_url(url)
    if method not in METHODS:
        raise RequestInvalid(f"not a method we call with: {method!r}"[:80])
    lines = [f"{method} {target} HTTP/1.1", f"Host: {origin.authority}"]
    for name, value in headers:
        _check_name(name)
        if not value.isprintable():
            raise RequestInvalid(f"a character in {name} that may not stand in a header")
        lines.append(f"{name}: {value}")
    if body or method != "GET":
        lines.append(f"Content-Length: {len(body)}")
    lines.append("\r\n")
    return origin, "\r\n".join(lines).encode() + body


@lru_cache(maxsize=256)
def _check_name(name: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise RequestInvalid(f"not the name of a header: {name!r}"[:80])
    if name.lower() in OURS:
        raise RequestInvalid(f"{name} is for the client to say")
