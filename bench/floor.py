"""The floor: what a payment costs with nothing of ours in it. One RSA-2048 signature, two verifications, two bare HTTP
requests in and two out with the same libraries, and the same rows written by a bare grouped loop. Measured in this
process, one part after the other, as CPU time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import uvicorn
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.places import cpu_s
from tests.servers import PostgresServer

ROUNDS = 2_000
GROUP = 64
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


def sqlite_ms(home: Path) -> float:
    """The rows of a payment's four durable changes, by a bare loop in groups, synchronous=FULL."""
    db = apsw.Connection(str(home / "floor.db"))
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE payment (id TEXT PRIMARY KEY, rev INT, due INT, doc TEXT)")
    db.execute("CREATE TABLE item (id TEXT, rev INT, kind TEXT, body TEXT, PRIMARY KEY (id, rev, kind))")
    doc = DOC.decode()

    def write(first: int) -> None:
        ids = [f"{first + i:026d}" for i in range(GROUP)]
        for rev, kinds in (
            (1, ("attempt",)),
            (2, ("evidence", "raw")),
            (3, ("evidence", "raw", "event", "delivery")),
            (4, ()),
        ):
            db.execute("BEGIN IMMEDIATE")
            if rev == 1:
                db.executemany("INSERT INTO payment VALUES (?, 1, 0, ?)", [(i, doc) for i in ids])
            elif rev < 4:
                db.executemany(
                    "UPDATE payment SET rev=?, doc=? WHERE id=? AND rev=?", [(rev, doc, i, rev - 1) for i in ids]
                )
            else:
                db.executemany(
                    "UPDATE item SET body='done' WHERE id=? AND rev=3 AND kind='delivery'", [(i,) for i in ids]
                )
            for kind in kinds:
                db.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", [(i, rev, kind, doc) for i in ids])
            db.execute("COMMIT")

    return _timed_groups(write)


def _timed_groups(write: Callable[[int], None]) -> float:
    write(0)
    groups = ROUNDS // GROUP
    started = time.process_time()
    for group in range(1, groups + 1):
        write(group * GROUP)
    return (time.process_time() - started) * 1000 / (groups * GROUP)


async def postgres_ms(server: PostgresServer) -> float:
    """The same rows on PostgreSQL, the server's CPU included."""
    import asyncpg

    db: Any = await asyncpg.connect(server.url)
    await db.execute('CREATE TABLE floor_payment (id TEXT COLLATE "C" PRIMARY KEY, rev INT, due BIGINT, doc TEXT)')
    await db.execute(
        'CREATE TABLE floor_item (id TEXT COLLATE "C", rev INT, kind TEXT, body TEXT, PRIMARY KEY (id, rev, kind))'
    )
    doc = DOC.decode()

    async def write(first: int) -> None:
        ids = [f"{first + i:026d}" for i in range(GROUP)]
        docs = [doc] * GROUP
        for rev, kinds in (
            (1, ("attempt",)),
            (2, ("evidence", "raw")),
            (3, ("evidence", "raw", "event", "delivery")),
            (4, ()),
        ):
            async with db.transaction():
                if rev == 1:
                    await db.execute(
                        "INSERT INTO floor_payment SELECT u.i, 1, 0, u.d FROM unnest($1::text[], $2::text[]) u(i, d)",
                        ids,
                        docs,
                    )
                elif rev < 4:
                    await db.execute(
                        "UPDATE floor_payment p SET rev=$3, doc=u.d FROM unnest($1::text[], $2::text[]) u(i, d)"
                        " WHERE p.id=u.i AND p.rev=$3-1",
                        ids,
                        docs,
                        rev,
                    )
                else:
                    await db.execute(
                        "UPDATE floor_item SET body='done' WHERE id = ANY($1::text[]) AND rev=3 AND kind='delivery'",
                        ids,
                    )
                for kind in kinds:
                    await db.execute(
                        "INSERT INTO floor_item SELECT u.i, $3, $4, u.d FROM unnest($1::text[], $2::text[]) u(i, d)",
                        ids,
                        docs,
                        rev,
                        kind,
                    )

    return await _timed_groups_of(write, server)


async def _timed_groups_of(write: Callable[[int], Awaitable[None]], server: PostgresServer) -> float:
    await write(0)
    groups = ROUNDS // GROUP
    mine, theirs = time.process_time(), cpu_s(server.processes())
    for group in range(1, groups + 1):
        await write(group * GROUP)
    used = time.process_time() - mine + cpu_s(server.processes()) - theirs
    return used * 1000 / (groups * GROUP)
