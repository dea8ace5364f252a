"""Endpoints that are brokers: their login is nowhere to be seen."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from oncepay.engine import admin
from oncepay.testing.services import valkey
from tests.relay import deliveries, happen, relay
from tests.wire.api import Api, open_api
from tests.wire.broker_kit import Stream

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")

SECRET = "battery-staple"
URL = f"amqps://shop:{SECRET}@mq.example.com/?queue=paid"
SHOWN = "amqps://mq.example.com/?queue=paid"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


async def test_a_broker_is_an_endpoint_whose_login_is_not_shown(api: Api) -> None:
    made = await api.shop.post("/v1/endpoints", {"url": URL})
    assert made.status == 201
    assert made.json["url"] == SHOWN
    assert made.json["secret"].startswith("whsec_")
    endpoint = made.json["id"]
    said = [made, await api.shop.get("/v1/endpoints"), await api.shop.get(f"/v1/endpoints/{endpoint}")]
    said.append(await api.shop.post("/v1/endpoints", {"url": URL}))
    said.append(await api.shop.post("/v1/endpoints", {"url": URL.replace(SECRET, f"{SECRET}-2")}))
    assert [one.status for one in said] == [201, 200, 200, 409, 409]
    assert said[-1].json["endpoint"] == endpoint
    assert all(SECRET.encode() not in one.body for one in said)
    assert (await api.shop.call("DELETE", f"/v1/endpoints/{endpoint}")).status == 204


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"amqps://shop:{SECRET}@mq.example.com/", "it names no queue"),
        (f"amqp://shop:{SECRET}@93.184.216.34/?queue=q", "not in an allowed network"),
        (f"kafkas://shop:{SECRET}@169.254.169.254/t", "link-local"),
        (f"rediss://shop:{SECRET}@r.example.com/0?stream=s&ssl=no", "ssl is no option of redis"),
        (f"amqps://shop:{SECRET}/@mq.example.com/?queue=q", "characters that do not belong there"),
    ],
)
async def test_a_broker_that_is_refused_is_told_by_field_and_reason(api: Api, url: str, why: str) -> None:
    said = await api.shop.post("/v1/endpoints", {"url": url})
    assert said.status == 422
    assert said.json["field"] == "url"
    assert why in said.json["detail"]
    assert SECRET not in said.body.decode()


async def test_the_login_is_sealed_at_rest_opened_to_send_and_never_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with valkey(password=SECRET) as server:
        stream = Stream(server)
        wrong = stream.url.replace(SECRET, f"{SECRET}-wrong")
        async with relay(f"sqlite:///{tmp_path}/relay.db", wrong) as centre:
            engine = centre.engine
            (endpoint,) = engine.directory.endpoints_of("shop")
            (event,) = await happen(centre, 1)
            await centre.deliverer.claim()
            await centre.deliverer.finish(20.0)
            assert await stream.all() == []

            app = engine.directory.app("shop")
            with pytest.raises(Exception, match="another place") as caught:
                await admin.change_login(engine, app, endpoint.id, stream.url.replace("stream=", "stream=x"))
            assert SECRET not in str(caught.value)
            await admin.change_login(engine, app, endpoint.id, stream.url)
            assert await engine.ledger.replay("shop", engine.clock.now_ms(), status="due") == 1
            async with asyncio.timeout(30):
                while {row.status for row in await deliveries(centre)} != {"done"}:
                    await centre.deliverer.claim()
                    await asyncio.sleep(0.01)
            assert [one.id for one in await stream.all()] == [event]
        assert not quoted_in(tmp_path)
        with sqlite3.connect(tmp_path / "relay.db") as db:
            ((url, login),) = db.execute("SELECT url, login FROM endpoint")
        db.close()
        assert url == stream.url.replace(f":{SECRET}@", "")
        assert login.startswith("v1.")
    assert caplog.records
    assert SECRET not in caplog.text


def quoted_in(folder: Path) -> list[str]:
    """The files that hold the secret."""
    files = list(folder.iterdir())
    assert files
    return [path.name for path in files if SECRET.encode() in path.read_bytes()]
