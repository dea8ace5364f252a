"""The client and the centre's OpenAPI document cannot drift apart: every call, every parameter, every member of every
body and answer is held to it."""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec
import pytest

from oncepay import client
from oncepay.client import calls, rooms, shapes
from oncepay.client.calls import Call
from oncepay.http import bodies, openapi
from oncepay.http.app import RESOURCES
from tests.client.described import CALLS

DOCUMENT = openapi.document(RESOURCES)
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    (method.upper(), path): operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if path.startswith("/v1/")
}

# What the client calls a thing, where the centre calls it otherwise.
CALLED = {
    "Payment": "Snapshot",
    "Refund": "RefundView",
    "RefundTry": "OutSeen",
    "Endpoint": "EndpointView",
    "Delivery": "DeliveryView",
    "Case": "CaseView",
    "Attempt": "NewAttempt",
    "EventPage": "EventList",
}
OURS = {"PaymentStarted": {"replayed"}, "Refund": {"replayed"}, "CaseSeen": {"replayed"}}  # said by a header
SHAPES = [
    shapes.PaidBy,
    shapes.ClosedBy,
    shapes.RefundSeen,
    shapes.Payment,
    shapes.AttemptSeen,
    shapes.AttemptAsked,
    shapes.PaymentSeen,
    shapes.PaymentStarted,
    shapes.RefundTry,
    shapes.Refund,
    shapes.Event,
    shapes.Endpoint,
    shapes.EndpointSecret,
    shapes.Delivery,
    shapes.AtRisk,
    shapes.Case,
    shapes.EvidenceSeen,
    shapes.ActSeen,
    shapes.CaseSeen,
    shapes.StepAhead,
    shapes.Explained,
    shapes.EventPage,
    shapes.Replayed,
    shapes.Attempt,
]


def kinds(schema: dict[str, Any], components: dict[str, Any], called: dict[str, str]) -> frozenset[object]:
    """What a member may be, without the words about it: names of types, of objects, lists of such, words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = components[name]
        return frozenset(target["enum"]) if "enum" in target else frozenset({f"object {called.get(name, name)}"})
    if "anyOf" in schema:
        return frozenset().union(*(kinds(inner, components, called) for inner in schema["anyOf"]))
    if "enum" in schema:
        return frozenset(schema["enum"])
    if "const" in schema:
        return frozenset({schema["const"]})
    if schema.get("type") == "array":
        return frozenset({("list", kinds(schema["items"], components, called))})
    return frozenset({schema.get("type", "anything")})


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_shape_is_the_centres_member_by_member(shape: type[msgspec.Struct]) -> None:
    (_,), ours = msgspec.json.schema_components([shape], ref_template="#/{name}")
    mine, its = ours[shape.__name__], SCHEMAS[CALLED.get(shape.__name__, shape.__name__)]
    assert set(mine["properties"]) == set(its["properties"]) | OURS.get(shape.__name__, set())
    assert set(mine.get("required", ())) == set(its.get("required", ()))
    for name, member in its["properties"].items():
        assert kinds(mine["properties"][name], ours, CALLED) == kinds(member, SCHEMAS, {}), name


def test_a_timeline_is_the_centres_but_for_its_entries_which_are_free() -> None:
    (_,), ours = msgspec.json.schema_components([shapes.Timeline], ref_template="#/{name}")
    assert set(ours["Timeline"]["properties"]) == set(SCHEMAS["Timeline"]["properties"])
    assert ours["Timeline"]["properties"]["timeline"]["items"]["type"] == "object"


def test_every_shape_of_the_client_is_held_to_the_document() -> None:
    generic = {shapes.Page, shapes.Whole}  # held by the calls that are answered with them
    every = {s for s in vars(shapes).values() if isinstance(s, type) and issubclass(s, msgspec.Struct)}
    assert every - {msgspec.Struct} - generic - {shapes.Timeline} == set(SHAPES)
    assert every - {msgspec.Struct, shapes.Whole, shapes.Replayed} <= {getattr(client, name) for name in client.__all__}


# -- calls -------------------------------------------------------------------------------------------------------


def operation_of(call: Call[Any]) -> tuple[str, str]:
    for method, path in sorted(OPERATIONS, key=lambda key: key[1].count("{")):
        if method == call.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), call.path):
            return method, path
    raise AssertionError(f"the centre serves no {call.name}")


def calls_by_operation() -> dict[tuple[str, str], list[Call[Any]]]:
    found: dict[tuple[str, str], list[Call[Any]]] = {key: [] for key in OPERATIONS}
    for call in CALLS.values():
        found[operation_of(call)].append(call)
    return found


@pytest.mark.parametrize(("operation", "ways"), calls_by_operation().items(), ids=map(" ".join, OPERATIONS))
def test_all_that_the_centre_offers_can_be_asked_for(operation: tuple[str, str], ways: list[Call[Any]]) -> None:
    document = OPERATIONS[operation]
    assert ways, "the client has no call for it"
    declared = {parameter["name"] for parameter in document["parameters"] if parameter["in"] == "query"}
    assert {name for call in ways for name, _ in call.query} == declared
    if "requestBody" not in document:
        assert not any(call.body for call in ways)
        return
    name = document["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    said: set[str] = set()
    for call in ways:
        msgspec.json.decode(call.body, type=getattr(bodies, name))  # as strictly as the centre reads it
        said |= set(msgspec.json.decode(call.body))
    assert said == set(SCHEMAS[name]["properties"])


def answered(call: Call[Any]) -> str:
    """What the call reads its answer as, in the centre's words."""
    if call.shape is None:
        return ""
    name: str = getattr(call.shape, "__name__", "") or call.shape.__origin__.__name__
    if not hasattr(call.shape, "__origin__"):
        return CALLED.get(name, name)
    inner = call.shape.__args__[0].__name__
    lists = {"PaymentSeen": "PaymentList", "Delivery": "DeliveryList", "Case": "CaseList", "Refund": "RefundList"}
    lists |= {"Endpoint": "EndpointList", "Event": "PaymentEvents"}
    return lists[inner]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_reads_what_it_is_answered(name: str) -> None:
    call = CALLS[name]
    responses = OPERATIONS[operation_of(call)]["responses"]
    good = [response["content"] for status, response in responses.items() if status.startswith("2")]
    schemas = [content["application/json"]["schema"]["$ref"].rpartition("/")[2] for content in good if content]
    assert set(schemas) == ({answered(call)} if call.shape else set())
    if schemas and hasattr(call.shape, "__origin__"):
        listed = SCHEMAS[schemas[0]]["properties"]
        inner = call.shape.__args__[0].__name__
        assert kinds(listed["data"], SCHEMAS, {}) == {("list", frozenset({f"object {CALLED.get(inner, inner)}"}))}
        assert ("next" in listed) is (call.shape.__origin__ is shapes.Page)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_speaks_of_money_where_the_centre_does(name: str) -> None:
    call = CALLS[name]
    verb = {(method, r.path): verb for r in RESOURCES for method, verb in r.verbs.items()}[operation_of(call)]
    assert call.money is verb.money


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.method != "GET"])
def test_every_call_that_changes_something_says_why_it_may_be_made_again(name: str) -> None:
    assert CALLS[name].again != calls.Call.__dataclass_fields__["again"].default


ROOMS = [rooms.Payments, rooms.Refunds, rooms.Events, rooms.Endpoints, rooms.Deliveries, rooms.Cases]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_every_description_is_offered_in_its_room(room: type) -> None:
    name = room.__name__.lower()
    described = {
        f for f in vars(getattr(client, name)).values() if callable(f) and f.__module__ == f"oncepay.client.{name}"
    }
    offers = {attribute: value for attribute, value in vars(room).items() if hasattr(value, "describe")}
    assert {offer.describe for offer in offers.values()} == {f for f in described if not f.__name__.startswith("_")}
    said = {f"{name}.{attribute}" for attribute, offer in offers.items() if isinstance(offer, rooms.Made)}
    assert said == {call for call in CALLS if call.startswith(f"{name}.")}


async def test_both_clients_have_every_room() -> None:
    with client.Client("https://pay.example", "onc_x") as now:
        async with client.AsyncClient("https://pay.example", "onc_x") as later:
            for room in ROOMS:
                name = room.__name__.lower()
                assert type(getattr(now, name)) is type(getattr(later, name)) is room
                assert (getattr(now, name).awaited, getattr(later, name).awaited) == (False, True)


@pytest.mark.parametrize("name", client.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    said = inspect.getdoc(getattr(client, name))
    assert said
    assert not said.startswith(f"{name}("), "made up by a dataclass"


@pytest.mark.parametrize("offer", [o for r in ROOMS for o in vars(r).values() if hasattr(o, "describe")])
def test_every_call_says_what_its_arguments_are_and_what_it_raises(offer: Any) -> None:
    said = " ".join((inspect.getdoc(offer.describe) or "").split())
    assert said
    parameters = inspect.signature(offer.describe).parameters
    named = [name for name in parameters if name in {"payment", "refund", "event", "endpoint", "delivery", "case"}]
    if named and parameters[named[0]].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
        assert "Raises" in said
    assert not [name for name in parameters if name.endswith(("_s", "_ms")) and f"``{name}``" not in said], "units"
