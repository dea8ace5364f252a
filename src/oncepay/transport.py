"""The network towards channels. What an answer means is a channel's business; how it ended is ours to tell truly.

The one distinction that money hangs on is whether a byte of the request can have left: see ``outbound``.
"""

from __future__ import annotations

import ssl
import zlib
from typing import Final

from oncepay.outbound import CallFailed, Client, LookUp, RequestInvalid, Resolve
from oncepay.ports import Answer, Answered, NotSent, Request, Unknown

ANSWER_BYTES_MAX: Final = 1_048_576  # after decompression
IDLE_S: Final = 10.0  # shorter than servers keep a connection, so that few requests meet one just closed
TOO_LONG: Final = f"the answer is longer than {ANSWER_BYTES_MAX} bytes"


class HttpTransport:
    """The Transport port over pooled connections. Use it inside one running loop, and close it.

    Certificates and host names are always verified: there is no switch for that.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        connections: int = 256,
    ) -> None:
        """``tls``: a context with more certificate authorities; one that verifies less is refused (ValueError).
        ``connections``: at most so many at a time to one host; a request that waits for one past its deadline is not
        sent."""
        self._client = Client(
            tls=tls,
            resolve=resolve or LookUp(),
            per_host=connections,
            idle_s=IDLE_S,
            body_max=ANSWER_BYTES_MAX,
        )

    async def send(self, request: Request, deadline_s: float) -> Answer:
        """Send once and wait at most ``deadline_s`` seconds for the whole answer. Follows no redirect, repeats
        nothing, and raises for nothing that the network or the other side does."""
        try:
            reply = await self._client.call(request.method, request.url, request.headers, request.body, deadline_s)
            headers = reply.headers()
            if headers.get("transfer-encoding", "chunked").lower() != "chunked":
                return Unknown(why="the answer has a transfer encoding that was not asked for")
            body = _plain(reply.body, headers.get("content-encoding", ""))
        except CallFailed as failed:
            return Unknown(why=failed.why) if failed.sent else NotSent(why=failed.why)
        except RequestInvalid as error:
            return NotSent(why=str(error))
        except Exception as error:  # noqa: BLE001 - whatever it was: the request may have arrived, and that must be told
            return Unknown(why=f"{type(error).__name__}: {error}"[:200])
        return Unknown(why=body) if isinstance(body, str) else Answered(status=reply.status, headers=headers, body=body)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._client.close()


def _plain(body: bytes, encoding: str) -> bytes | str:
    """A body with its content encoding undone, or, as text, why that cannot be.

    >>> _plain(zlib.compress(b"bill"), "deflate"), _plain(b"bill", ""), _plain(b"bill", "br")
    (b'bill', b'bill', 'the answer is in an encoding that was not asked for')
    """
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"} or not body:
        return body
    if encoding in {"gzip", "x-gzip"}:
        squeezed = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    elif encoding == "deflate":  # in its own envelope by the book, without it by habit
        squeezed = zlib.decompressobj(wbits=zlib.MAX_WBITS if body[0] & 0x0F == 8 else -zlib.MAX_WBITS)
    else:
        return "the answer is in an encoding that was not asked for"
    try:
        plain = squeezed.decompress(body, ANSWER_BYTES_MAX + 1)
    except zlib.error:
        return f"the answer is not {encoding}"
    if len(plain) > ANSWER_BYTES_MAX:
        return TOO_LONG
    return plain if squeezed.eof and not squeezed.unused_data else f"the answer is not {encoding} to its end"
