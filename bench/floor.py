"""The floor: what a payment costs with nothing of ours in it. One RSA-2048 signature, two verifications, two bare HTTP
requests in and two out with the same libraries, and the same rows written by a bare grouped loop (that is ``rows``).
Measured in this process, one part after the other, as CPU time."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256

import aiohttp
import uvicorn
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ROUNDS = 2_000
DOC = b'{"id":"x","attempts":[]}' * 20  # about what an ordinary payment's row holds


def crypto_ms(channel: str) -> float:
    """One signature and two verifications, of as much text as the channel signs. UnionPay signs the hash's hex text."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    hashed = channel == "unionpay"
    public, said = key.public_key(), b"x" * {"wechat": 600, "alipay": 700, "unionpay": 2_000}[channel]

    def signed() -> bytes:
        return sha256(said).hexdigest().encode() if hashed else said

    text = signed()
    signature = key.sign(text, padding.PKCS1v15(), SHA256())
    started = time.process_time()
    for _ in range(500):
        key.sign(signed(), padding.PKCS1v15(), SHA256())
        public.verify(signature, signed(), padding.PKCS1v15(), SHA256())
        public.verify(signature, signed(), padding.PKCS1v15(), SHA256())
    return (time.process_time() - started) * 1000 / 500


async def http_ms() -> tuple[float, float]:
    """One bare request in and one out. The client and the server share this process: the client's share is measured
    against a raw socket server, and the server's is what is left."""

    async def hear(request: Request) -> Response:
        await request.body()
        return Response(b'{"ok":true}', media_type="application/json")

    app = Starlette(routes=[Route("/hear", hear, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, access_log=False, log_level="error", http="httptools"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers nothing to wait on
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    both = await _client_ms(f"http://127.0.0.1:{port}/hear")
    server.should_exit = True
    await serving
    raw = await asyncio.start_server(_raw, "127.0.0.1", 0)
    out = await _client_ms(f"http://127.0.0.1:{raw.sockets[0].getsockname()[1]}/hear")
    raw.close()
    return max(both - out, 0.0), out


async def _raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(len(DOC))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b'{"ok":true}')
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _client_ms(url: str) -> float:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def lane(rounds: int) -> None:
            for _ in range(rounds):
                async with session.post(url, data=DOC) as answer:
                    await answer.read()

        await lane(50)
        started = time.process_time()
        await asyncio.gather(*(lane(ROUNDS // 32) for _ in range(32)))
        return (time.process_time() - started) * 1000 / (ROUNDS // 32 * 32)
