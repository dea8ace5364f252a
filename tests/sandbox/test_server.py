"""The sandbox's own server, where clients of other people write what aiohttp never would."""

import asyncio

import pytest

from oncepay.sandbox.main import Sandbox


async def answer(sandbox: Sandbox, target: str) -> str:
    """What a GET of the bare target brings, head and body."""
    host, port = sandbox.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n".encode())
    try:
        return (await asyncio.wait_for(reader.read(), 10)).decode()
    finally:
        writer.close()


@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/gateway.do?method=alipay.trade.query&charset=utf-8", '"sub_code":"isv.missing-app-id"'),
        ("/sandbox/books?number=NONE", '"orders":[]'),
        ("", "<title>"),
        ("?page=1", "<title>"),
    ],
)
async def test_a_target_may_be_absolute(sandbox: Sandbox, scheme: str, target: str, wanted: str) -> None:
    """On the fast road and through starlette; alipay-sdk-python writes it so."""
    told = await answer(sandbox, f"{scheme}://shop.test:80{target}")
    assert told.startswith("HTTP/1.1 200 ")
    assert wanted in told
    if target.startswith("/"):
        assert wanted in await answer(sandbox, target)


@pytest.mark.parametrize(
    "target",
    [
        "/gateway.do?method=alipay.trade.query",
        "/v3/pay/transactions/out-trade-no/NONE?mchid=1",
        "/gateway/api/queryTrans.do",
    ],
)
async def test_who_asks_for_the_end_of_the_connection_is_told_of_it(sandbox: Sandbox, target: str) -> None:
    """What an answer says of its connection is what happens to it; Keep-Alive belongs to one that stays."""
    head = (await answer(sandbox, target)).partition("\r\n\r\n")[0].lower().split("\r\n")
    assert [line for line in head if line.startswith(("connection", "keep-alive"))] == ["connection: close"]
