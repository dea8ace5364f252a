"""Events by webhook: one signed POST, one outcome.

What an endpoint answers is not trusted: at most 16 KiB of it are read and thrown away, nothing is decompressed, no
redirect is followed, no cookie is kept, and all of it ends in time (``timeout_s``).
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Final

from oncepay.outbound import CallFailed, Client, LookUp, Reply, RequestInvalid, Resolve, verified
from oncepay.ports import Endpoint, Message, Outcome
from oncepay.publishers import schedule
from oncepay.publishers.signing import SecretInvalid, sign
from oncepay.publishers.targets import GuardedResolver, TargetRefused, read_networks, target_of

ANSWER_BYTES_MAX: Final = 16_384
IDLE_S: Final = 15.0
AT_ONCE: Final = 16  # deliveries to one endpoint at the same moment
CONNECTIONS_PER_HOST: Final = 20  # as many as are claimed for an endpoint in one round: a dead one waits alone


class WebhookPublisher:
    """Sends messages to endpoints over pooled connections. Make it inside the loop that will use it, and close it.

    Connections and resolved names are never shared between apps with different allow-lists, nor between "anywhere"
    and "inside only": each such pair has a pool of its own, most installations have one.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 10.0,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``timeout_s``: for all of one delivery. ``resolve``: looks names up (its findings are judged here).
        ``tls``: a context with more certificate authorities; one that does not verify is refused (ValueError)."""
        self._tls = verified(tls)
        self._timeout_s = timeout_s
        self._resolve = resolve or LookUp()
        self._headers = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "oncepay"}
        self._pools: dict[tuple[tuple[str, ...], bool], Client] = {}

    async def publish(self, endpoint: Endpoint, private_networks: Sequence[str], message: Message) -> Outcome:
        """Send once. ``endpoint``: with its secrets opened. ``private_networks``: CIDRs that its app may reach.
        Never raises for what the network or the endpoint does, nor for a URL that is refused."""
        networks = tuple(private_networks)
        try:
            target = target_of(endpoint.url, networks)
            headers = sign(endpoint.secrets, message.id, message.timestamp_s, message.body) | self._headers
        except (TargetRefused, SecretInvalid) as error:
            return Outcome(delivered=False, why=f"not sent: {error}")
        pool = self._pools.get((networks, target.inside)) or self._open(networks, inside=target.inside)
        try:
            reply = await pool.call("POST", target.url, headers.items(), message.body, self._timeout_s)
        except RequestInvalid as error:
            return Outcome(delivered=False, why=f"not sent: {error}")
        except CallFailed as failed:
            # Once the status is here the outcome stands; what goes wrong with the rest of the answer is no matter.
            return _outcome(failed.answer, message.timestamp_s) if failed.answer else _failure(failed)
        return _outcome(reply, message.timestamp_s)

    def at_once(self, endpoint: Endpoint) -> int:  # noqa: ARG002 - every web server gets as much
        """As many as its connections, less what a slow one may hold."""
        return AT_ONCE

    def next_try_ms(self, tries: int, now_ms: int, draw: float, retry_after_s: float | None) -> int | None:
        """The timetable of ``schedule.py``."""
        return schedule.next_try_ms(tries, now_ms, draw, retry_after_s)

    async def close(self) -> None:
        """Let go of all connections."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            await pool.close()

    def _open(self, networks: tuple[str, ...], *, inside: bool) -> Client:
        guard = GuardedResolver(self._resolve, read_networks(networks), inside=inside)
        pool = self._pools[networks, inside] = Client(
            tls=self._tls,
            resolve=guard.resolve,
            per_host=CONNECTIONS_PER_HOST,
            idle_s=IDLE_S,
            body_max=ANSWER_BYTES_MAX,
        )
        return pool


def _outcome(reply: Reply, now_s: int) -> Outcome:
    status = reply.status
    if 200 <= status < 300:
        return Outcome(delivered=True, why=f"HTTP {status}")
    if status == 410:
        return Outcome(delivered=False, why="410 Gone", gone=True)
    if 300 <= status < 400:
        return Outcome(delivered=False, why=f"HTTP {status}: redirects are not followed")
    retry_after_s = read_retry_after(reply.headers().get("retry-after"), now_s)
    return Outcome(delivered=False, why=f"HTTP {status}", retry_after_s=retry_after_s)


def _failure(failed: CallFailed) -> Outcome:
    cause = failed.__cause__
    refused = cause.__cause__ if cause is not None else None
    return Outcome(delivered=False, why=f"not sent: {refused}" if isinstance(refused, TargetRefused) else failed.why)


def read_retry_after(text: str | None, now_s: float) -> float | None:
    """Seconds to wait, from a Retry-After header in either of its forms; None when it says nothing readable.

    >>> read_retry_after("120", 0), read_retry_after("Thu, 01 Jan 1970 00:01:40 GMT", 40), read_retry_after("soon", 0)
    (120.0, 60.0, None)
    """
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None
