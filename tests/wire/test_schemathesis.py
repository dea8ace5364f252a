"""Somebody else's reading of ``/openapi.json``: Schemathesis draws requests from it, right ones and wrong ones, sends
them to the real thing over HTTP, and holds each answer to what the document promises.

One kind of its findings is meant, and said here rather than hidden: a request may fit its schema and still be refused
with 422. A deadline may lie in the past, a channel may not exist, a url may be one that we do not call; no schema can
say that. So 422 is an expected answer to right requests too.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from oncepay.domain.change import CaseOpened
from oncepay.http import openapi
from oncepay.http.app import RESOURCES, about, make_app
from oncepay.http.edge import make_server
from tests.wire.api import Api, open_api

CONFIG = SchemathesisConfig.from_dict(
    {
        "generation": {"deterministic": True},
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2XX", "3XX", "402", "404", "409", "422"]},
            "negative_data_rejection": {"expected-statuses": ["400", "401", "404", "405", "413", "415", "422"]},
        },
    }
)
DRAWN = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

schema = schemathesis.openapi.from_dict(openapi.document((*RESOURCES, *about())), config=CONFIG)


class Running:
    """The real thing on loopback, in a loop and a thread of its own."""

    def __init__(self) -> None:
        self._told: queue.Queue[tuple[str, str, dict[str, str]] | BaseException] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self.url = self.key = ""
        self.things: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        told = self._told.get(timeout=30)
        if isinstance(told, BaseException):
            raise told
        self.url, self.key, self.things = told
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._stop is not None
        loop, event = self._stop
        loop.call_soon_threadsafe(event.set)
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self._told.put(error)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        self._stop = (asyncio.get_running_loop(), stop)
        async with open_api() as api:
            server = make_server(make_app(api.engine, max_wait_s=0.01))
            serving = asyncio.create_task(server.serve())
            await server.ready.wait()
            self._told.put((f"http://127.0.0.1:{server.port}", api.town.key, await things(api)))
            await stop.wait()
            server.stop()
            await serving


async def things(api: Api) -> dict[str, str]:
    """Names of things that are there, so that requests get past the 404."""
    payment = await api.paid("S-1")
    id_ = payment["id"][4:]
    refund = await api.shop.post(f"/v1/payments/{payment['id']}/refunds", {"refund_no": "S-1-1", "minor": 5})
    (delivery, *_) = (await api.shop.get(f"/v1/deliveries?payment={payment['id']}")).json["data"]
    opened = CaseOpened(about=id_, kind="unsettled", text="Look.", payment_id=id_)
    return {
        "payment": payment["id"],
        "refund": refund.json["id"],
        "refund_no": "S-1-1",
        "event": f"evt_{id_}_1",
        "delivery": delivery["id"],
        "endpoint": delivery["endpoint"],
        "case": f"case_{await api.engine.ledger.open_case(opened, api.town.now_ms)}",
        "channel": "wechat",
        "account": "wx",
    }


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with Running() as running:
        yield running


@schema.parametrize()
@DRAWN
def test_every_answer_is_as_the_document_promises(case: Any, running: Running) -> None:
    case.call_and_validate(base_url=running.url, headers={"Authorization": f"Bearer {running.key}"})


@schema.include(path_regex="{").parametrize()
@DRAWN
def test_so_are_those_about_things_that_are_there(case: Any, running: Running) -> None:
    if case.method == "DELETE":
        return  # it would be gone for the others
    case.path_parameters = {name: running.things[name] for name in case.path_parameters}
    case.call_and_validate(base_url=running.url, headers={"Authorization": f"Bearer {running.key}"})
