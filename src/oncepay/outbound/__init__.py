"""HTTP/1.1 outwards: pooled connections, one deadline a call, and the truth about what left this machine.

Small on purpose: no redirects, no cookies, no proxies, no second try, no header that the caller did not write but
``Host`` and ``Content-Length``. A call returns the whole answer, or raises CallFailed, which says the one thing that
money hangs on: ``sent`` is false only while nothing was handed to a connection (name, refusal, TLS, no connection
free, time over before that); from the first byte on it is true, also when the other side had closed a kept connection
long ago and we could not know it.

Names are resolved by whoever is given as ``resolve``, and connections go to exactly the addresses that it returned:
who judges addresses there has judged where the bytes go. The name is still what TLS verifies and what ``Host`` says.
"""

from __future__ import annotations

from oncepay.outbound.client import Client, Resolve, verified
from oncepay.outbound.message import CallFailed, Origin, Reply, RequestInvalid, compose, read_url
from oncepay.outbound.names import LookUp
from oncepay.outbound.wire import HEAD_BYTES_MAX

__all__ = [
    "HEAD_BYTES_MAX",
    "CallFailed",
    "Client",
    "LookUp",
    "Origin",
    "Reply",
    "RequestInvalid",
    "Resolve",
    "compose",
    "read_url",
    "verified",
]
