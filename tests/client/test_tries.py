"""When a call is made again, after how long, and what is said in the end: the conversation alone, in its own time."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.client import (
    Absent,
    ArgumentInvalid,
    Around,
    CallFailed,
    ChannelRefused,
    Conflict,
    Invalid,
    KeyReused,
    Limits,
    NotSent,
    Refused,
    TimeInvalid,
    Unauthorized,
    Unavailable,
    Unknown,
    endpoints,
    payments,
    refunds,
)
from oncepay.client.calls import Answer, Call
from oncepay.client.tries import PASSING, PAUSE_MAX_S, TRY_MIN_S, Lost, Pause, Send, converse
from tests.client.described import CALLS, PAYMENT

CREATE = payments.create(order_no="A-1", minor=8800, currency="CNY", subject="Tea")
GET = payments.get(PAYMENT)
REFUND = refunds.create(PAYMENT, refund_no="R-1", minor=800)
REMOVE = endpoints.remove("e1")
ROTATE = endpoints.rotate("e1")

UNREACHED = Lost(sent=False, why="no connection")
SILENT = Lost(sent=True, why="no answer within 15 s")
PROXY = Answer(502, {"content-type": "text/html"}, b"<h1>Bad\n gateway</h1>")


def said(status: int, code: str, **members: Any) -> Answer:
    """A refusal in the words of a centre."""
    headers = {"content-type": "application/problem+json", "oncepay-request-id": "req_1"}
    if "after" in members:
        headers["retry-after"] = str(members.pop("after"))
    problem = {"title": "Title.", "status": status, "detail": "Detail.", "code": code, "retry": False, **members}
    return Answer(status, headers, json.dumps(problem).encode())


STARTED = {
    "id": PAYMENT, "order_no": "A-1", "version": 0, "status": "open", "closing": False, "minor": 8800, "currency": "CNY",
    "subject": "Tea", "created_ms": 1, "deadline_ms": 2, "kept_minor": 0, "paid": None, "closed": None, "refunds": [],
    "attempts": [], "attempt": None,
}  # fmt: skip
OK = Answer(201, {"content-type": "application/json"}, json.dumps(STARTED).encode())
AGAIN = Answer(200, {"content-type": "application/json", "oncepay-replayed": "true"}, OK.body)


class Played:
    """A conversation whose answers come from a list; the last is said for ever. A try that is silent takes all its
    time, another takes a tenth of a second."""

    def __init__(self, call: Call[Any], *told: Answer | Lost, limits: Limits = Limits(), draw: float = 0.5) -> None:  # noqa: B008
        self.now = 1000.0
        self.sent: list[float] = []
        self.pauses: list[float] = []
        self.result: Any = None
        self.error: CallFailed | None = None
        left: Iterable[Answer | Lost] = iter(told)
        talk = converse(call, limits, Around(clock=lambda: self.now, draw=lambda: draw))
        answer: Answer | Lost | None = None
        try:
            while True:
                step = talk.send(answer)
                if isinstance(step, Send):
                    self.sent.append(step.seconds)
                    answer = next(left, told[-1])  # type: ignore[call-overload]
                    self.now += step.seconds if answer is SILENT else 0.1
                else:
                    assert isinstance(step, Pause)
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                    answer = None
        except StopIteration as end:
            self.result = end.value
        except CallFailed as error:
            self.error = error

    @property
    def end(self) -> tuple[type[CallFailed] | None, str | None]:
        return (type(self.error), self.error.outcome) if self.error else (None, None)


@pytest.mark.parametrize(
    ("call", "told", "kind", "outcome", "tries"),
    [
        # a lost answer is asked for again
        (CREATE, [OK], None, None, 1),
        (CREATE, [UNREACHED, OK], None, None, 2),
        (CREATE, [SILENT, AGAIN], None, None, 2),
        (CREATE, [PROXY, PROXY, AGAIN], None, None, 3),
        (CREATE, [said(503, "overloaded", retry=True, outcome="unknown", after=1), OK], None, None, 2),
        (CREATE, [said(409, "busy", retry=True, outcome="unknown", after=1), OK], None, None, 2),
        (CREATE, [said(500, "internal", retry=True, outcome="unknown"), AGAIN], None, None, 2),
        (CREATE, [Answer(429, {"retry-after": "2"}, b""), OK], None, None, 2),
        # a refusal is final, and known to be
        (CREATE, [said(409, "key_reused", outcome="not_sent", field="amount.minor")], KeyReused, "not_sent", 1),
        (CREATE, [said(409, "payment_paid", outcome="not_sent")], Conflict, "not_sent", 1),
        (CREATE, [said(402, "channel_refused", outcome="failed")], ChannelRefused, "failed", 1),
        (CREATE, [said(422, "invalid", outcome="not_sent", field="subject")], Invalid, "not_sent", 1),
        (CREATE, [said(401, "unauthorized", outcome="not_sent")], Unauthorized, "not_sent", 1),
        (CREATE, [said(413, "body_too_large")], Invalid, "not_sent", 1),
        (CREATE, [said(418, "teapot", outcome="not_sent")], Refused, "not_sent", 1),
        (GET, [said(404, "payment_absent")], Absent, None, 1),
        # unless an earlier try may have been done, of which it knows nothing
        (CREATE, [SILENT, said(401, "unauthorized", outcome="not_sent")], Unauthorized, "unknown", 2),
        (CREATE, [PROXY, said(409, "payment_paid", outcome="not_sent")], Conflict, "unknown", 2),
        (CREATE, [said(503, "commit_unknown", retry=True, outcome="unknown"), said(422, "invalid", outcome="not_sent")],
         Invalid, "unknown", 2),
        (CREATE, [said(503, "account_paused", retry=True, outcome="not_sent"), said(422, "invalid", outcome="not_sent")],
         Invalid, "not_sent", 2),
        (CREATE, [SILENT, said(402, "channel_refused", outcome="failed")], ChannelRefused, "failed", 2),
        # what is not in the words of a centre says nothing of what became of it
        (CREATE, [Answer(404, {"content-type": "text/html"}, b"<p>no such page")], Unknown, "unknown", 1),
        (CREATE, [Answer(301, {"location": "https://www.example/"}, b"")], Unknown, "unknown", 1),
        (CREATE, [Answer(200, {"content-type": "text/html"}, b"<p>log in, please")], Unknown, "unknown", 1),
        (CREATE, [Answer(201, {}, b"")], Unknown, "unknown", 1),
        (CREATE, [Answer(400, {"content-type": "application/problem+json"}, b"[]")], Unknown, "unknown", 1),
        (CREATE, [Answer(400, {"content-type": "application/problem+json"}, b'{"code": 7}')], Unknown, "unknown", 1),
        (GET, [Answer(200, {}, b"{}")], Unknown, None, 1),
        # an answer to another question is none
        (payments.create(order_no="A-2", minor=8800, currency="CNY", subject="Tea"), [OK], Unknown, "unknown", 1),
        (payments.create(order_no="A-1", minor=8801, currency="CNY", subject="Tea"), [OK], Unknown, "unknown", 1),
        (payments.get("pay_OTHER"), [OK], Unknown, None, 1),
        # done is done, also when only the second answer says so
        (REMOVE, [Answer(204, {}, b"")], None, None, 1),
        (REMOVE, [said(404, "endpoint_absent")], Absent, None, 1),
        (REMOVE, [SILENT, said(404, "endpoint_absent")], None, None, 2),
        (REMOVE, [SILENT, said(404, "route_absent")], Absent, None, 2),
        # what cannot be repeated is not repeated by itself, unless it never left
        (ROTATE, [SILENT], Unknown, None, 1),
        (ROTATE, [PROXY], Unknown, None, 1),
        (ROTATE, [said(503, "unavailable", retry=True)], Unavailable, None, 1),
        (ROTATE, [UNREACHED, UNREACHED, said(404, "endpoint_absent")], Absent, None, 3),
    ],
)  # fmt: skip
def test_how_a_call_ends(
    call: Call[Any], told: list[Answer | Lost], kind: type[CallFailed] | None, outcome: str | None, tries: int
) -> None:
    played = Played(call, *told)
    assert (played.end, len(played.sent)) == ((kind, outcome), tries)
    if played.error:
        assert played.error.tries == tries
        assert str(played.error).startswith(f"{call.method} {call.path}: ")


@pytest.mark.parametrize(
    ("call", "told", "kind", "outcome"),
    [
        (CREATE, UNREACHED, NotSent, "not_sent"),
        (CREATE, SILENT, Unknown, "unknown"),
        (CREATE, PROXY, Unknown, "unknown"),
        (CREATE, said(503, "unavailable", retry=True, outcome="unknown", after=2), Unavailable, "unknown"),
        (CREATE, said(503, "account_paused", retry=True, outcome="not_sent", after=5), Unavailable, "not_sent"),
        (GET, SILENT, Unknown, None),
        (REFUND, SILENT, Unknown, "unknown"),
    ],
)
def test_all_tries_together_end_in_time(call: Call[Any], told: Answer | Lost, kind: type, outcome: str | None) -> None:
    played = Played(call, told)
    assert played.end == (kind, outcome)
    assert 1000 < played.now <= 1000 + Limits().total_s
    assert len(played.sent) > 1


def test_who_was_once_silent_may_have_done_it() -> None:
    """A try that never left says nothing of the one before."""
    assert Played(CREATE, SILENT, UNREACHED).end == (Unknown, "unknown")


def test_silence_is_told_with_what_to_do() -> None:
    for call, says in [
        (
            CREATE,
            "no answer within 15 s. Whether it was done is not known; make the same call again: the order_no makes",
        ),
        (REFUND, "make the same call again: the refund_no makes it the same refund"),
        (ROTATE, "do not simply make it again: a rotation ends the secret before the last"),
    ]:
        assert says in str(Played(call, SILENT).error)
    assert str(Played(GET, SILENT).error) == f"GET /v1/payments/{PAYMENT}: no answer within 15 s"


def test_an_answer_that_is_no_centres_is_shown() -> None:
    text = str(
        Played(CREATE, Answer(302, {"location": "https://login.example/", "content-type": "text/html"}, b"")).error
    )
    assert "the answer is 302 to https://login.example/ (text/html)" in text
    assert "'<h1>Bad gateway</h1>'" in str(Played(CREATE, PROXY).error)
    assert len(str(Played(CREATE, Answer(200, {}, b"x" * 100_000)).error)) < 800


def test_a_refusal_says_what_the_centre_said() -> None:
    answer = said(
        409, "refund_too_large", outcome="not_sent", detail="minor is 9, 8 is kept", field="minor", kept_minor=8
    )
    error = Played(REFUND, answer).error
    assert isinstance(error, Conflict)
    assert str(error) == f"POST /v1/payments/{PAYMENT}/refunds: refund_too_large: minor is 9, 8 is kept"
    assert (error.status, error.code, error.field, error.retry) == (409, "refund_too_large", "minor", False)
    assert (error.problem["kept_minor"], error.request_id, error.title) == (8, "req_1", "Title.")


@pytest.mark.parametrize("told", [UNREACHED, SILENT, said(409, "payment_paid", outcome="not_sent", paid_ms=7)])
def test_an_error_survives_the_way_between_processes(told: Answer | Lost) -> None:
    error = Played(CREATE, told).error
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
    late = TimeInvalid("too late", -400.0)
    assert pickle.loads(pickle.dumps(late)).ahead_s == -400.0


def test_what_was_there_before_is_said() -> None:
    assert Played(CREATE, OK).result.replayed is False
    assert Played(CREATE, AGAIN).result.replayed is True


# -- pauses ------------------------------------------------------------------------------------------------------


@given(st.floats(0, 1, exclude_max=True))
def test_pauses_grow_up_to_a_bound_and_are_drawn(draw: float) -> None:
    pauses = Played(CREATE, UNREACHED, limits=Limits(total_s=60), draw=draw).pauses
    assert all(pause <= min(0.2 * 2**n, PAUSE_MAX_S) for n, pause in enumerate(pauses))
    assert pauses == sorted(pauses)


def test_who_has_hours_is_tried_for_hours() -> None:
    played = Played(CREATE, UNREACHED, limits=Limits(total_s=8_000.0))
    assert isinstance(played.error, NotSent)
    assert len(played.sent) > 1_100
    assert played.pauses[-1] == 0.5 * PAUSE_MAX_S


def test_retry_after_is_the_least_pause_and_the_draw_comes_on_top() -> None:
    played = Played(CREATE, said(503, "unavailable", retry=True, after=4), OK, draw=0.5)
    assert played.pauses == [4.1]
    for unread in ("soon", "-1", "", "9" * 30, "1.5", "٣"):
        assert Played(CREATE, Answer(503, {"retry-after": unread}, b""), OK, draw=0.5).pauses == [0.1]


def test_who_is_to_wait_longer_than_there_is_time_is_told_at_once() -> None:
    played = Played(CREATE, said(503, "account_paused", retry=True, outcome="not_sent", after=600))
    assert isinstance(played.error, Unavailable)
    assert (played.error.outcome, played.error.after_s, played.pauses) == ("not_sent", 600, [])


def test_a_try_has_its_share_of_the_time_and_never_more_than_is_left() -> None:
    assert Played(CREATE, SILENT, draw=0.0).sent == [15.0, 15.0]
    assert Played(CREATE, SILENT, limits=Limits(total_s=20), draw=0.0).sent == [15.0, 5.0]
    assert Played(CREATE, SILENT, limits=Limits(total_s=0.01)).sent == [TRY_MIN_S]


def test_a_call_that_asks_the_centre_to_wait_has_that_much_more() -> None:
    assert Played(payments.wait(PAYMENT, wait_s=25), SILENT, draw=0.0).sent == [40.0, 15.0]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_what_is_no_time_is_refused(seconds: float) -> None:
    for part in ("total_s", "try_s", "connect_s"):
        with pytest.raises(ArgumentInvalid):
            Limits(**{part: seconds})
    with pytest.raises(ArgumentInvalid):
        Limits().within(seconds)


# -- for whatever is answered ------------------------------------------------------------------------------------

TOLD = st.one_of(
    st.sampled_from([UNREACHED, SILENT, PROXY, OK]),
    st.builds(
        said,
        st.sampled_from([400, 401, 402, 404, 409, 422, 429, 500, 503]),
        st.sampled_from(["payment_absent", "key_reused", "busy", "internal", "endpoint_absent"]),
        retry=st.booleans(),
        outcome=st.sampled_from(["not_sent", "unknown", "failed"]),
        after=st.integers(0, 40),
    ),
    st.builds(
        Answer,
        st.integers(200, 599),
        st.dictionaries(st.sampled_from(["content-type", "retry-after", "location"]), st.text(max_size=20)),
        st.binary(max_size=40),
    ),
)


@given(st.sampled_from(sorted(CALLS)), st.lists(TOLD, min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_whatever_is_answered_the_call_ends_in_time_and_silence_is_never_a_failure(
    name: str, told: list[Answer | Lost], draw: float
) -> None:
    call = CALLS[name]
    played = Played(call, *told, draw=draw)
    assert played.now <= 1000 + Limits().total_s + call.wait_s + 0.2
    heard = told[: len(played.sent)]
    error = played.error
    if error is None:
        return
    assert (error.outcome is None) is not call.money
    last = heard[-1]
    if error.outcome == "failed":
        assert isinstance(last, Answer)
        assert b'"failed"' in last.body, "only a centre says failed"
    in_doubt = [one for one in heard if one is SILENT or (isinstance(one, Answer) and one.status in PASSING - {503})]
    if call.money and in_doubt and error.outcome == "not_sent":
        assert all(isinstance(one, Answer) and b'"not_sent"' in one.body for one in in_doubt)
    if call.once:
        assert SILENT not in heard[:-1], "it would be done twice"
