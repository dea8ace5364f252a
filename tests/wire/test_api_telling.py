"""How apps are told and ask: events, endpoints, deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from oncepay.engine.admin import ENDPOINTS_MAX
from tests.wire.api import TEA, Api, open_api

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def own() -> AsyncIterator[Api]:
    """For tests that leave deliveries on their way."""
    async with open_api() as api:
        yield api


# -- events ------------------------------------------------------------------------------------------------------


async def end_of_feed(api: Api) -> str:
    after = ""
    while True:
        page = (await api.shop.get(f"/v1/events?limit=100&after={after}")).json
        if not page["data"]:
            return str(page["next"])
        after = page["next"]


async def test_the_feed_goes_on_from_its_cursor(api: Api) -> None:
    start = await end_of_feed(api)
    paid = [await api.paid(f"E-{n}") for n in range(3)]
    after, seen = start, []
    while True:
        page = (await api.shop.get(f"/v1/events?limit=1&after={after}")).json
        if not page["data"]:
            break
        seen += page["data"]
        after = page["next"]
    assert [event["data"]["id"] for event in seen] == [payment["id"] for payment in paid]
    assert {event["type"] for event in seen} == {"payment.changed"}
    assert page["next"] == after, "an empty page keeps the place"
    assert (await api.other.get("/v1/events")).json["data"] == []


async def test_an_event_is_the_same_by_every_road(api: Api) -> None:
    payment = await api.paid("E-9")
    pushed = next(event for event in api.town.shop.heard if event["data"]["order_no"] == "E-9")
    by_id = (await api.shop.get(f"/v1/events/{pushed['id']}")).json
    of_payment = (await api.shop.get(f"/v1/payments/{payment['id']}/events")).json["data"]
    pulled = (await api.shop.get("/v1/events?limit=100")).json["data"]
    assert by_id == pushed
    assert of_payment == [pushed]
    assert pushed in pulled
    shown = {key: value for key, value in payment.items() if key != "attempts"}
    assert pushed["data"] == shown, "the snapshot is the payment as it is read"


@pytest.mark.parametrize(
    "name",
    [
        "evt_",
        "evt_0_1",
        "{id}_0",
        "{id}_01",
        "{id}_99999999999",
        "{id}_2",
        "{id}_x",
        "{id}",
        "{id}_1_1",
        "pay_{bare}_1",
        "{lower}_1",
    ],
)
async def test_events_that_are_not_there(api: Api, name: str) -> None:
    made = (await api.shop.post("/v1/payments", {**TEA, "order_no": "E-10"})).json["id"][4:]
    said = await api.shop.get("/v1/events/" + name.format(id=f"evt_{made}", bare=made, lower=f"evt_{made.lower()}"))
    assert (said.status, said.json["code"]) == (404, "event_absent")


async def test_waiting_for_the_next_event(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr("oncepay.http.events.LOOK_S", 0.01)
    after = await end_of_feed(api)
    waiting = asyncio.create_task(api.shop.get(f"/v1/events?wait=25&after={after}"))
    payment = await api.paid("E-11")
    page = (await waiting).json
    assert [event["data"]["id"] for event in page["data"]] == [payment["id"]]
    empty = await api.shop.get(f"/v1/events?wait=1&after={page['next']}")
    assert empty.json == {"data": [], "next": page["next"]}


# -- endpoints ---------------------------------------------------------------------------------------------------


async def test_an_endpoint_is_added_read_rotated_and_removed(api: Api) -> None:
    url = "http://127.0.0.1:9/hook"
    said = await api.shop.post("/v1/endpoints", {"url": url})
    endpoint = said.json
    assert said.status == 201
    assert endpoint.pop("secret").startswith("whsec_")
    path = f"/v1/endpoints/{endpoint['id']}"
    assert (await api.shop.get(path)).json == endpoint
    assert endpoint in (await api.shop.get("/v1/endpoints")).json["data"]
    again = await api.shop.post("/v1/endpoints", {"url": url})
    assert (again.status, again.json["field"], again.json["endpoint"]) == (409, "url", endpoint["id"])
    rotated = await api.shop.call("POST", f"{path}/rotate")
    assert (rotated.status, rotated.json["id"]) == (200, endpoint["id"])
    assert len(api.engine.directory.endpoint(endpoint["id"]).secrets) == 2  # type: ignore[union-attr]
    removed = await api.shop.call("DELETE", path)
    assert (removed.status, removed.body) == (204, b"")
    assert "content-length" not in removed.headers
    for method, target in [("GET", path), ("DELETE", path), ("POST", f"{path}/rotate"), ("POST", f"{path}/enable")]:
        gone = await api.shop.call(method, target)
        assert (gone.status, gone.json["code"]) == (404, "endpoint_absent")


@pytest.mark.parametrize(
    "url",
    ["", "shop", "ftp://shop.example/", "http://shop.example/", "https://10.0.0.1/", "https://[::1]/", "https://localhost/",
     "https://169.254.169.254/latest", "https://u:p@shop.example/", "https://" + "a" * 600, 1, None],
)  # fmt: skip
async def test_a_target_that_is_refused(api: Api, url: Any) -> None:
    said = await api.other.post("/v1/endpoints", {"url": url})
    assert (said.status, said.json["field"], said.json["pointer"]) == (422, "url", "#/url"), said.body
    assert (await api.other.get("/v1/endpoints")).json["data"] == []


async def test_an_app_has_only_so_many_endpoints(api: Api) -> None:
    for number in range(ENDPOINTS_MAX):
        assert (await api.other.post("/v1/endpoints", {"url": f"https://shop.example/{number}"})).status == 201
    said = await api.other.post("/v1/endpoints", {"url": "https://shop.example/more"})
    assert (said.status, said.json["code"]) == (409, "conflict")
    for endpoint in (await api.other.get("/v1/endpoints")).json["data"]:
        assert (await api.other.call("DELETE", f"/v1/endpoints/{endpoint['id']}")).status == 204


# -- deliveries --------------------------------------------------------------------------------------------------


async def test_a_parked_delivery_is_seen_and_replayed(own: Api) -> None:
    town = own.town
    town.shop.status = 410
    payment = await own.paid("D-1")
    town.shop.status = 204
    (endpoint,) = (await own.shop.get("/v1/endpoints")).json["data"]
    assert "410" in endpoint["disabled"]
    (parked,) = (await own.shop.get("/v1/deliveries?status=parked")).json["data"]
    assert (parked["payment"], parked["status"], parked["endpoint"]) == (payment["id"], "parked", endpoint["id"])
    assert (await own.shop.get(f"/v1/deliveries?payment={payment['id']}")).json["data"] == [parked]
    assert (await own.shop.call("POST", f"/v1/endpoints/{endpoint['id']}/enable")).json["disabled"] is None
    said = await own.shop.call("POST", f"/v1/deliveries/{parked['id']}/replay")
    assert (said.status, said.json) == (200, {"replayed": 1})
    heard = len(town.shop.heard)
    await town.engine.directory.refresh(force=True)
    assert await town.centre.deliverer.claim() == 1
    while not (done := (await own.shop.get("/v1/deliveries?status=done")).json["data"]):  # noqa: ASYNC110 - what is marked
        await asyncio.sleep(0.001)
    assert [row["id"] for row in done] == [parked["id"]]
    assert [event["id"] for event in town.shop.heard[heard:]] == [parked["event"]]


async def test_a_delivery_that_is_replayed_to_a_removed_endpoint_is_parked_again(own: Api) -> None:
    """It was due for ever: listed as on its way, counted as late, and found by each audit."""
    own.town.shop.status = 410
    await own.paid("D-5")
    (endpoint,) = (await own.shop.get("/v1/endpoints")).json["data"]
    (parked,) = (await own.shop.get("/v1/deliveries?status=parked")).json["data"]
    assert (await own.shop.call("DELETE", f"/v1/endpoints/{endpoint['id']}")).status == 204
    assert (await own.shop.call("POST", "/v1/deliveries/replay")).json == {"replayed": 1}
    assert await own.town.centre.deliverer.claim() == 1
    while not (again := (await own.shop.get("/v1/deliveries?status=parked")).json["data"]):  # noqa: ASYNC110 - it is marked
        await asyncio.sleep(0.001)
    assert [(row["id"], row["last"]) for row in again] == [(parked["id"], "the endpoint is gone")]
    assert (await own.shop.get("/v1/deliveries?status=due")).json["data"] == []


async def test_many_deliveries_are_replayed_by_filter(own: Api) -> None:
    first, second = await own.paid("D-2"), await own.paid("D-3")
    none = await own.shop.call("POST", "/v1/deliveries/replay")
    assert (none.status, none.json) == (200, {"replayed": 0}), "nothing is parked"
    (endpoint,) = (await own.shop.get("/v1/endpoints")).json["data"]
    other_endpoint = await own.shop.post("/v1/deliveries/replay", {"status": "done", "endpoint": "0" * 16})
    assert other_endpoint.json == {"replayed": 0}
    one = await own.shop.post("/v1/deliveries/replay", {"status": "done", "payment": first["id"]})
    assert one.json == {"replayed": 1}
    others = await own.other.post("/v1/deliveries/replay", {"status": "done"})
    assert others.json == {"replayed": 0}
    some = await own.shop.post(
        "/v1/deliveries/replay", {"status": "done", "payment": second["id"], "endpoint": endpoint["id"], "limit": 1}
    )
    assert some.json == {"replayed": 1}
    due = (await own.shop.get("/v1/deliveries?status=due")).json["data"]
    assert {row["payment"] for row in due} == {first["id"], second["id"]}
    for field, value in [("status", "lost"), ("limit", 0), ("limit", 1001), ("payment", 1), ("colour", "red")]:
        said = await own.shop.post("/v1/deliveries/replay", {field: value})
        assert (said.status, said.json["field"]) == (422, field)


async def test_deliveries_that_are_not_there(api: Api) -> None:
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": "D-4"})).json["id"][4:]
    for name in (
        f"dlv_{payment}_1_" + "0" * 16,
        f"dlv_{payment}_1_",
        f"dlv_{payment}_1",
        "dlv_",
        f"dlv_{payment}_0_x",
        "x",
        "%00",
    ):
        said = await api.shop.call("POST", f"/v1/deliveries/{name}/replay")
        assert (said.status, said.json["code"]) == (404, "delivery_absent"), name
    for query in ("payment=pay_0", f"payment=pay_{'0' * 26}"):
        assert (await api.shop.get(f"/v1/deliveries?{query}")).json["code"] == "payment_absent"
