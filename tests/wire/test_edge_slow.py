"""The server against slow clients, those that never come to an end, and a stop in the midst of them."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from oncepay.http.edge import Limits, make_server
from tests.wire.edge_clients import GET, PATIENT, POST, SHORT, SOON_S, Client, Echo, drip, serving

# -- the five shapes of slow and large clients ---------------------------------------------------------------------

SLOW = {
    "silent": b"",
    "half a head": b"POST /v1/payments HTTP/1.1\r\nhost: x\r\ncontent-le",
    "half a body": POST % 100 + b"{",
    "half a chunk": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe",
}


@pytest.mark.parametrize("shape", SLOW)
async def test_a_client_that_stops_is_cut_off(shape: str) -> None:
    loop = asyncio.get_running_loop()
    limit_s = SHORT.request_s if "body" in shape or "chunk" in shape else SHORT.head_s
    async with serving() as (server, echo):
        began = loop.time()
        async with Client.to(server, SLOW[shape]) as client:
            await client.cut_off_after_s()
            assert limit_s < loop.time() - began < SOON_S
    assert echo.seen == []


@pytest.mark.parametrize("shape", ["half a head", "half a body"])
async def test_so_is_one_that_stops_in_its_second_request(shape: str) -> None:
    """However long an idle connection may be kept."""
    limits = Limits(head_s=0.3, request_s=0.6, idle_s=30)
    async with serving(limits) as (server, _), Client.to(server, GET) as client:
        assert (await client.answer())[0] == 200
        client.writer.write(SLOW[shape])
        assert await client.cut_off_after_s() < SOON_S


@pytest.mark.parametrize("shape", ["head", "body", "empty lines"])
async def test_a_client_that_drips_is_cut_off(shape: str) -> None:
    """Each byte comes in time; the whole does not."""
    said = {"head": b"", "body": POST % 10_000, "empty lines": b""}[shape]
    data = {"head": GET * 100, "body": b"x" * 10_000, "empty lines": b"\r\n" * 5_000}[shape]
    async with serving() as (server, echo), Client.to(server, said) as client:
        dripping = asyncio.create_task(drip(client, data))
        assert await client.cut_off_after_s() < SOON_S
        dripping.cancel()
    assert len(echo.seen) <= 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_64_mib_are_refused_before_they_come(framing: str) -> None:
    head = (
        POST % (64 << 20) if framing == "length" else POST.replace(b"content-length: %d", b"transfer-encoding: chunked")
    )
    sent = 0

    async def pour(client: Client) -> None:
        nonlocal sent
        with suppress(ConnectionError):
            for _ in range(1024):
                client.writer.write((b"" if framing == "length" else b"10000\r\n") + bytes(65_536))
                client.writer.write(b"" if framing == "length" else b"\r\n")
                await client.writer.drain()
                sent += 65_536

    async with serving() as (server, echo), Client.to(server, head) as client:
        pouring = asyncio.create_task(pour(client))
        status, headers, body = await client.answer()
        assert (status, headers["content-type"], headers["connection"]) == (413, "application/problem+json", "close")
        assert json.loads(body)["code"] == "body_too_large"
        assert await client.cut_off_after_s() < SOON_S
        await asyncio.wait_for(pouring, SOON_S)
    assert echo.seen == []
    assert sent < 32 << 20  # what the kernel's buffers took


async def test_a_client_that_does_not_take_its_answer_is_cut_off() -> None:
    said = b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n"
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    async with serving() as (server, echo):
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", server.port))
        await loop.sock_sendall(raw, said)
        await asyncio.wait_for(echo.arrived.wait(), 5)
        assert not echo.over.is_set()
        await asyncio.wait_for(echo.over.wait(), 5)
        raw.close()


async def test_an_idle_connection_is_kept_and_then_closed() -> None:
    limits = Limits(head_s=0.3, idle_s=1.2)
    async with serving(limits) as (server, _), Client.to(server) as client:
        for _ in range(3):
            client.writer.write(GET)
            assert (await client.answer())[0] == 200
            await asyncio.sleep(0.5)  # longer than a head may take: idle time counts anew after each answer
        assert await client.cut_off_after_s() < SOON_S


async def test_an_application_may_take_its_time() -> None:
    """Deadlines are for clients: a long poll outlasts them all."""
    async with serving() as (server, echo), Client.to(server, GET.replace(b"/v1/payments", b"/wait")) as client:
        await asyncio.wait_for(echo.arrived.wait(), 5)
        await asyncio.sleep(SHORT.request_s + 0.5)
        echo.go.set()
        assert (await client.answer())[0] == 200


# -- stopping ------------------------------------------------------------------------------------------------------


async def test_stopping_does_not_wait_for_slow_clients() -> None:
    """All of the shapes at once, within limits that would let them stay for half a minute."""
    echo = Echo()
    server = make_server(echo, limits=PATIENT, graceful_s=30, lifespan="off")  # type: ignore[arg-type]
    task = asyncio.create_task(server.serve())
    await server.ready.wait()
    clients = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(7)]
    said = [*SLOW.values(), POST % (64 << 20), GET, GET[:-2] + POST % 5 + b"hello"]
    for (_, writer), one in zip(clients, said, strict=True):
        writer.write(one)
    dripping = asyncio.create_task(drip(Client(*clients[2]), b"x" * 90))
    await asyncio.wait_for(clients[5][0].readuntil(b"ok"), 5)
    await asyncio.wait_for(clients[4][0].readuntil(b"413"), 5)
    loop = asyncio.get_running_loop()
    began = loop.time()
    server.stop()
    await asyncio.wait_for(task, 2 * SOON_S)
    assert loop.time() - began < SOON_S
    assert not server.server_state.connections
    dripping.cancel()
    for _, writer in clients:
        writer.transport.abort()


async def test_stopping_lets_a_request_under_way_finish() -> None:
    async with serving(PATIENT) as (server, echo), Client.to(server, GET.replace(b"/v1/payments", b"/wait")) as client:
        await asyncio.wait_for(echo.arrived.wait(), 5)
        server.stop()
        await asyncio.sleep(0.3)
        echo.go.set()
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")


async def test_stopping_does_not_wait_for_a_request_that_does_not_finish() -> None:
    loop = asyncio.get_running_loop()
    async with serving(PATIENT) as (server, echo), Client.to(server, GET.replace(b"/v1/payments", b"/wait")):
        await asyncio.wait_for(echo.arrived.wait(), 5)
        began = loop.time()
    assert loop.time() - began < SOON_S
    assert not server.server_state.tasks  # nobody is left in the application


PROGRAM = """
import asyncio, signal, uvloop
from oncepay.http.edge import Limits, make_server

async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})

async def main():
    patient = Limits(head_s=30, request_s=30, idle_s=30, write_s=30, linger_s=30)
    server = make_server(app, limits=patient, graceful_s=30, lifespan="off")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    print(server.port, flush=True)
    await serving
    print("stopped", flush=True)

asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
"""


def test_sigterm_stops_at_once_with_slow_clients_connected() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        port = int(program.stdout.readline())
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in SLOW]
        for client, said in zip(clients, SLOW.values(), strict=True):
            client.sendall(said)
        with socket.create_connection(("127.0.0.1", port)) as probe:
            probe.sendall(GET)
            assert probe.recv(12) == b"HTTP/1.1 204"
        program.send_signal(signal.SIGTERM)
        out, _ = program.communicate(timeout=SOON_S)
        assert "stopped" in out
        for client in clients:
            client.close()
