"""``docs/wire.md`` and its vectors: they are what the centre says today, and what this client makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.client import (
    Attempt,
    CallFailed,
    EventUnreadable,
    OncepayError,
    Refused,
    SignatureInvalid,
    TimeInvalid,
    events,
    payments,
    refunds,
    verify,
)
from oncepay.client.calls import Answer, Call
from oncepay.publishers.signing import sign
from tests.client import wire_vectors
from tests.client.described import CALLS
from tests.client.test_tries import Played

VECTORS: Final[dict[str, Any]] = json.loads(wire_vectors.PATH.read_text("utf-8"))
PAGE: Final = wire_vectors.PATH.with_name("wire.md").read_text("utf-8")
VERDICTS: Final = {"signature": SignatureInvalid, "time": TimeInvalid, "unreadable": EventUnreadable}

named = pytest.mark.parametrize("message", VECTORS["messages"], ids=lambda message: message["name"])


@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_the_vectors_are_what_the_centre_says() -> None:
    assert wire_vectors.PATH.read_text("utf-8") == wire_vectors.written(await wire_vectors.make()), (
        "cure: python -m tests.client.wire_vectors, and read the difference"
    )


@named
def test_this_client_judges_messages_as_the_vectors_say(message: dict[str, Any]) -> None:
    def judge() -> str:
        return verify(message["secrets"], message["headers"], message["body"].encode(), message["now"]).id

    if message["verdict"] == "taken":
        assert judge() == json.loads(message["body"])["id"]
        return
    with pytest.raises(OncepayError) as caught:
        judge()
    assert type(caught.value) is VERDICTS[message["verdict"]]


PAY: Final = f"pay_{wire_vectors.IDS[0]}"
NATIVE: Final = Attempt(channel="wechat", method="native")
TEA: Final[dict[str, Any]] = {"order_no": "A-1", "minor": 8800, "currency": "CNY", "subject": "Green tea"}
AS_CALLED: Final[dict[str, Call[Any]]] = {
    "a payment with its first attempt": payments.create(**TEA, attempt=NATIVE),
    "the same again": payments.create(**TEA, attempt=NATIVE),
    "the same number with another amount": payments.create(**{**TEA, "minor": 8801}),
    "text for a number": payments.create(**{**TEA, "minor": "8800"}),
    "a key that is not one": payments.get(PAY),
    "nothing of that name, or another app's": payments.get(f"pay_{'0' * 26}"),
    "a refund of what is not paid": refunds.create(PAY, refund_no="R-1", minor=800),
    "waiting for a version above 0": payments.wait(PAY, version=0),
    "closing what is paid": payments.close(PAY),
    "a refund": refunds.create(PAY, refund_no="R-1", minor=800),
    "the same refund again": refunds.create(PAY, refund_no="R-1", minor=800),
    "more than what is kept": refunds.create(PAY, refund_no="R-2", minor=8001),
    "what was told, from the very beginning": events.listed(),
    "the channel does not answer in time": payments.create(**{**TEA, "order_no": "A-2"}, attempt=NATIVE),
}
NOT_TO_BE_SAID: Final = {"an unknown field", "a body that is not JSON"}  # with this client


def test_every_exchange_is_one_that_this_client_can_have() -> None:
    assert {exchange["name"] for exchange in VECTORS["exchanges"]} == set(AS_CALLED) | NOT_TO_BE_SAID


@pytest.mark.parametrize("exchange", VECTORS["exchanges"], ids=lambda exchange: exchange["name"])
def test_this_client_makes_the_requests_and_reads_the_answers(exchange: dict[str, Any]) -> None:
    call, request, told = AS_CALLED.get(exchange["name"]), exchange["request"], exchange["answer"]
    if call is not None:
        assert (call.method, call.target) == (request["method"], request["target"])
        assert (json.loads(call.body) if call.body else None) == request.get("body")
    played = Played(
        call or payments.create(**TEA), Answer(told["status"], told["headers"], json.dumps(told["body"]).encode())
    )
    if told["status"] < 300:
        assert played.error is None
        assert getattr(played.result, "replayed", False) is ("oncepay-replayed" in told["headers"])
        assert getattr(played.result, "in_doubt", False) is (told["status"] == 202)
        return
    assert isinstance(played.error, Refused)
    assert (played.error.code, played.error.outcome) == (told["body"]["code"], told["body"].get("outcome"))
    assert played.error.request_id == told["headers"]["oncepay-request-id"]


@pytest.mark.parametrize("refusal", VECTORS["refusals"], ids=lambda refusal: refusal["code"])
def test_this_client_repeats_what_the_vectors_say_may_be_repeated(refusal: dict[str, Any]) -> None:
    headers = {"content-type": "application/problem+json"}
    played = Played(CALLS["refunds.create"], Answer(refusal["status"], headers, json.dumps(refusal).encode()))
    assert isinstance(played.error, CallFailed)
    assert played.error.outcome == refusal["outcome"]
    assert (len(played.sent) > 1) is refusal["retry"]


# -- the consumer of the page ------------------------------------------------------------------------------------


def consumer() -> dict[str, Callable[..., Any]]:
    """What the page's blocks of Python define."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    defined: dict[str, Any] = {}
    exec("\n\n".join(blocks), defined)
    return defined


@named
def test_the_consumer_of_the_page_takes_what_is_genuine_and_acts_on_nothing_else(message: dict[str, Any]) -> None:
    done: list[tuple[str, str]] = []
    (secret, *_) = message["secrets"][::-1]
    arguments: tuple[Any, ...] = (secret, message["headers"], message["body"].encode(), message["now"], {})
    hear = consumer()["hear"]
    if message["verdict"] == "taken":
        assert hear(*arguments, lambda *deed: done.append(deed)) == 204
        assert done == [("A-1", "paid")]
    elif message["verdict"] != "unreadable":
        assert hear(*arguments, lambda *deed: done.append(deed)) == 400
        assert done == []


@given(st.lists(st.sampled_from(VECTORS["story"]["events"]), max_size=8), st.permutations(VECTORS["story"]["events"]))
def test_in_any_order_and_however_often_each_deed_is_done_once(
    more: list[dict[str, Any]], all_of_them: list[dict[str, Any]]
) -> None:
    done: list[str] = []
    known: dict[str, Any] = {}
    hear = consumer()["hear"]
    for event in [*more, *all_of_them]:
        body = json.dumps(event)
        headers = sign((wire_vectors.NEW,), event["id"], wire_vectors.NOW_S, body.encode())
        told = (wire_vectors.NEW, headers, body.encode(), wire_vectors.NOW_S, known)
        assert hear(*told, lambda _order, deed: done.append(deed)) == 204
    assert sorted(done) == sorted(VECTORS["story"]["deeds"])
