"""Whose is it: every route, with every kind of id, asked by its owner, by another app, and by nobody.

The matrix is generated from the table of verbs, so a new route is in it without a word being written here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from oncepay.domain.change import CaseOpened
from oncepay.http.app import RESOURCES, about
from oncepay.http.exchange import Resource, Verb
from tests.wire.api import NATIVE, TEA, Api, Said, open_api

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")

EVERY = [(r, method, verb) for r in (*RESOURCES, *about()) for method, verb in r.verbs.items()]
WITH_KEY = [(r, method, verb) for r, method, verb in EVERY if verb.auth == "key"]
NAMED = [(r, method, verb) for r, method, verb in WITH_KEY if "{" in r.path]
TRIED = [(r, tried) for r, method, _ in NAMED for tried in ([method, "HEAD"] if method == "GET" else [method])]

# What each verb takes to be understood, so that only the name in the path decides. Written here once for all verbs
# with a body; a new one without an entry fails the test below.
BODIES: dict[str, Any] = {
    "/v1/payments": TEA,
    "/v1/payments/{payment}/attempts": NATIVE,
    "/v1/payments/{payment}/close": {},
    "/v1/payments/{payment}/reopen": {"deadline_ms": 1_800_100_000_000},
    "/v1/payments/{payment}/amend": {"minor": 1},
    "/v1/payments/{payment}/refunds": {"refund_no": "O-1-2", "minor": 1},
    "/v1/endpoints": {"url": "https://shop.example/hook"},
    "/v1/deliveries/replay": {},
    **{
        f"/v1/cases/{{case}}/{verb}": {"reason": "Because."}
        for verb in ("query", "close", "refund", "retry", "note", "resolve")
    },
    **{
        f"/v1/cases/{{case}}/{verb}": {"reason": "Because.", "evidence": "The console shows it."}
        for verb in ("accept", "settle")
    },
}

ids = [f"{method} {resource.path}" for resource, method, _ in EVERY]


@pytest.mark.parametrize(("resource", "method", "verb"), EVERY, ids=ids)
async def test_every_route_says_who_may_call(resource: Resource, method: str, verb: Verb) -> None:
    """Below /v1 everything wants a key; what does not is listed here by name."""
    assert method.isupper()
    if resource.path.startswith("/v1/"):
        assert verb.auth == "key"
    else:
        assert (verb.auth, resource.tag) in {("open", "doors"), ("open", "health"), ("open", "about")}
    assert verb.body is None or resource.path in BODIES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def things(api: Api) -> dict[str, str]:
    """One of everything, of the shop's."""
    payment = await api.paid("O-1")
    id_ = payment["id"][4:]
    refund = await api.shop.post(f"/v1/payments/{payment['id']}/refunds", {"refund_no": "O-1-1", "minor": 5})
    (delivery, *_) = (await api.shop.get(f"/v1/deliveries?payment={payment['id']}")).json["data"]
    opened = CaseOpened(about=id_, kind="unsettled", text="Look.", payment_id=id_)
    case_id = await api.engine.ledger.open_case(opened, api.town.now_ms)
    return {
        "payment": payment["id"],
        "refund": refund.json["id"],
        "refund_no": "O-1-1",
        "event": f"evt_{id_}_1",
        "delivery": delivery["id"],
        "endpoint": delivery["endpoint"],
        "case": f"case_{case_id}",
    }


def unlike(name: str) -> str:
    """An id of the same shape that names nothing."""
    head, _, tail = name.rpartition("_")
    if head.startswith(("evt_", "dlv_")):
        return unlike(head) + "_" + tail
    return re.sub(r"[0-9A-Za-z]", lambda m: "1" if m[0] == "0" else "0", name) if not head else f"{head}_{unlike(tail)}"


def aim(resource: Resource, method: str, things: dict[str, str]) -> tuple[str, str, Any]:
    path = re.sub(r"\{(\w+)\}", lambda m: things[m[1]], resource.path)
    return method, path, BODIES.get(resource.path) if method == "POST" else None


async def seen(api: Api, things: dict[str, str]) -> list[Any]:
    """All that could have been done to them."""
    targets = ("/v1/payments", "/v1/deliveries", f"/v1/cases/{things['case']}")
    return [(await api.shop.get(target)).json for target in targets]


def without_names(said: Said) -> Any:
    """A problem without what differs with each request."""
    return {key: value for key, value in said.json.items() if key != "instance"}


@pytest.mark.parametrize(("resource", "method", "verb"), WITH_KEY, ids=[f"{m} {r.path}" for r, m, _ in WITH_KEY])
async def test_without_a_key_every_route_is_shut(
    api: Api, things: dict[str, str], resource: Resource, method: str, verb: Verb
) -> None:
    said = await api.nobody.call(*aim(resource, method, things))
    assert (said.status, said.json["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(("resource", "method"), TRIED, ids=[f"{m} {r.path}" for r, m in TRIED])
async def test_anothers_thing_is_as_absent_as_one_that_never_was(
    api: Api, things: dict[str, str], resource: Resource, method: str
) -> None:
    before = await seen(api, things)
    theirs = await api.other.call(*aim(resource, method, things))
    never = await api.other.call(*aim(resource, method, {name: unlike(id_) for name, id_ in things.items()}))
    assert (theirs.status, never.status) == (404, 404)
    if method != "HEAD":
        assert without_names(theirs) == without_names(never)
        assert theirs.json["code"].endswith("_absent")
    assert await seen(api, things) == before, "and nothing happened to it"
    shapeless = await api.other.call(*aim(resource, method, dict.fromkeys(things, "%00' OR 1=1 --")))
    assert shapeless.status == 404


@pytest.mark.parametrize(("resource", "method", "verb"), NAMED, ids=[f"{m} {r.path}" for r, m, _ in NAMED])
async def test_its_owner_finds_it(
    api: Api, things: dict[str, str], resource: Resource, method: str, verb: Verb
) -> None:
    if method == "DELETE":
        return  # for the others' sake; removing is tested with the endpoints
    said = await api.shop.call(*aim(resource, method, things))
    assert said.status != 404, said.body


LISTS = ["/v1/payments", "/v1/events", "/v1/endpoints", "/v1/deliveries", "/v1/cases?status=all"]


@pytest.mark.parametrize("target", LISTS)
async def test_lists_hold_ones_own(api: Api, things: dict[str, str], target: str) -> None:
    assert (await api.shop.get(target)).json["data"] != []
    assert (await api.other.get(target)).json["data"] == []


@pytest.mark.parametrize("target", ["/v1/deliveries", "/v1/cases"])
async def test_a_filter_by_anothers_payment_finds_no_payment(api: Api, things: dict[str, str], target: str) -> None:
    assert (await api.shop.get(f"{target}?payment={things['payment']}")).status == 200
    said = await api.other.get(f"{target}?payment={things['payment']}")
    assert (said.status, said.json["code"]) == (404, "payment_absent")
    said = await api.other.post("/v1/deliveries/replay", {"payment": things["payment"], "status": "done"})
    assert (said.status, said.json["code"]) == (404, "payment_absent")


async def test_a_cursor_of_another_app_shows_nothing_of_it(api: Api, things: dict[str, str]) -> None:
    for target in ("/v1/payments", "/v1/deliveries", "/v1/events"):
        after = (await api.shop.get(f"{target}?limit=1")).json["next"]
        if after is not None:
            assert (await api.other.get(f"{target}?after={after}")).json["data"] == []
