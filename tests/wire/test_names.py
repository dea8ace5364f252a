"""Names that nobody answers for: they take the machine's resolver half a minute, and an app may choose them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from oncepay.outbound import Client, LookUp, client
from oncepay.ports import Answered, Request
from oncepay.publishers.webhook import WebhookPublisher
from oncepay.transport import HttpTransport
from tests.wire.broker_kit import endpoint, message
from tests.wire.loopback import answer, saying, serving


class Resolver:
    """The machine's: it says nothing of what ends in ``slow.test`` until the end, everything else is here."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.asked = Counter[str]()

    def getaddrinfo(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.asked[host] += 1
        if host.endswith("slow.test"):
            self.over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.over.set()


async def test_endpoints_whose_names_nobody_answers_for_keep_no_channel_from_being_called(resolver: Resolver) -> None:
    way, calls = WebhookPublisher(), HttpTransport()
    async with serving(saying(answer(200, b"{}"))) as port:
        places = [endpoint(f"https://h{number}.slow.test/") for number in range(100)]
        telling = [asyncio.create_task(way.publish(place, (), message())) for place in places]
        async with asyncio.timeout(5):
            while len(resolver.asked) < 40:  # noqa: ASYNC110 - more than a loop has threads; they say nothing of it
                await asyncio.sleep(0)
        request = Request(method="GET", url=f"http://channel.test:{port}/", headers=(), body=b"")
        assert isinstance(await calls.send(request, 5.0), Answered)
        resolver.over.set()
        assert {(await told).why for told in telling} == {"the name was not found"}
    await way.close()
    await calls.close()


async def test_so_many_names_are_looked_up_at_once_also_when_nobody_waits_for_them(resolver: Resolver) -> None:
    look_up = LookUp(at_once=2)
    for name in ("a.slow.test", "b.slow.test"):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(look_up(name, 443), 0.01)
    third = asyncio.create_task(look_up("shop.test", 443))
    done, _ = await asyncio.wait({third}, timeout=0.05)
    assert (done, resolver.asked["shop.test"]) == (set(), 0)
    resolver.over.set()
    assert await asyncio.wait_for(third, 5) == ["127.0.0.1"]


async def test_a_name_is_not_looked_up_again_while_it_is_still_looked_up(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "NAMES_S", 0.0)
    calls = Client(resolve=LookUp(), per_host=5, idle_s=5, body_max=100)
    ways = [asyncio.create_task(calls.call("GET", "http://a.slow.test/", (), b"", 0.05)) for _ in range(3)]
    await asyncio.wait(ways)
    ways.append(asyncio.create_task(calls.call("GET", "http://a.slow.test/", (), b"", 0.05)))
    failed = await asyncio.gather(*ways, return_exceptions=True)
    assert {str(one) for one in failed} == {"no answer within 0.05 s"}
    assert resolver.asked == {"a.slow.test": 1}
    await calls.close()
