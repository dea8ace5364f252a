"""Events that come in: only what is genuine, timely, and an event of ours gets through. Signed here by an independent
implementation (the ``standardwebhooks`` package) and by the centre itself."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from oncepay.client import ArgumentInvalid, EventUnreadable, SignatureInvalid, TimeInvalid, read_event, verify
from oncepay.publishers.signing import sign

OLD, NEW, STRANGE = ("whsec_" + base64.b64encode(bytes([fill]) * 32).decode() for fill in (1, 2, 3))
NOW = 1_795_000_000
ID = "evt_6EKQ91GVF3MJ3CPRTY1ZQMV3GM_3"

PAYMENT: dict[str, Any] = {
    "id": "pay_6EKQ91GVF3MJ3CPRTY1ZQMV3GM",
    "order_no": "A-1",
    "version": 3,
    "status": "paid",
    "closing": False,
    "minor": 8800,
    "currency": "CNY",
    "subject": "龙井",
    "created_ms": 1_795_000_000_000,
    "deadline_ms": 1_795_007_200_000,
    "kept_minor": 8000,
    "paid": {
        "attempt": "att_6EKQ91GVF3MJ3CPRTY1ZQMV3GM00",
        "channel": "wechat",
        "method": "native",
        "trade_no": "4200935982202611240000000001",
        "minor": 8800,
        "paid_ms": 1_795_000_060_000,
    },
    "closed": None,
    "refunds": [
        {
            "refund_no": "R-1",
            "minor": 800,
            "status": "done",
            "origin": "app",
            "why": "",
            "created_ms": 1_795_000_070_000,
            "settled_ms": 1_795_000_080_000,
        }
    ],
}
EVENT: dict[str, Any] = {
    "id": ID,
    "type": "payment.changed",
    "created_ms": 1_795_000_080_000,
    "version": 3,
    "changes": ["refund.done"],
    "data": PAYMENT,
}


def raw(event: object) -> bytes:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


BODY = raw(EVENT)


def signed(
    body: bytes = BODY, *, secrets: tuple[str, ...] = (NEW,), message_id: str = ID, at: int = NOW
) -> dict[str, str]:
    return sign(secrets, message_id, at, body)


def test_a_genuine_event_is_read() -> None:
    event = verify(NEW, signed(), BODY, NOW)
    assert (event.id, event.type, event.version, event.changes) == (ID, "payment.changed", 3, ("refund.done",))
    payment = event.payment
    assert (payment.order_no, payment.status, payment.minor, payment.kept_minor) == ("A-1", "paid", 8800, 8000)
    assert payment.paid is not None
    assert payment.paid.trade_no == "4200935982202611240000000001"
    assert [(r.refund_no, r.minor, r.status, r.origin) for r in payment.refunds] == [("R-1", 800, "done", "app")]
    assert payment.closed is None


def test_what_others_sign_is_read() -> None:
    theirs = standardwebhooks.Webhook(OLD).sign(ID, dt.datetime.fromtimestamp(NOW, dt.UTC), BODY.decode())
    headers = {"Webhook-Id": ID, "WEBHOOK-TIMESTAMP": str(NOW), "webhook-signature": theirs}
    assert verify([OLD], headers, BODY, NOW).id == ID


@pytest.mark.parametrize("known", [[OLD], [NEW], [NEW, OLD], [STRANGE, OLD], (OLD,), OLD])
def test_during_a_rotation_either_secret_will_do_on_either_side(known: Any) -> None:
    assert verify(known, signed(secrets=(NEW, OLD)), BODY, NOW).id == ID
    assert verify([NEW, OLD], signed(secrets=(OLD,)), BODY, NOW).id == ID


def test_signatures_of_other_kinds_are_passed_over() -> None:
    headers = signed()
    ours = headers["webhook-signature"]
    assert verify(NEW, headers | {"webhook-signature": f"v1a,xxxx v2,{ours[3:]}  {ours}"}, BODY, NOW).id == ID
    for other in (f"v1a,{ours[3:]}", f"v2,{ours[3:]}", ours[3:], "v1,", "v1", f"v1,{ours}", "", "é", "\ud800"):
        with pytest.raises(SignatureInvalid):
            verify(NEW, headers | {"webhook-signature": other}, BODY, NOW)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_any_other_byte_is_refused(at: int, flip: int) -> None:
    forged = BODY[:at] + bytes([BODY[at] ^ flip]) + BODY[at + 1 :]
    with pytest.raises(SignatureInvalid):
        verify(NEW, signed(), forged, NOW)


def test_an_event_of_another_app_or_endpoint_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="another endpoint or app"):
        verify(NEW, signed(secrets=(STRANGE,)), BODY, NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_counts(name: str) -> None:
    headers = signed()
    for other in ("", headers[name] + "0", "9" * 40, "é", "\ud800", "-1", "1_795_000_000", "١"):
        with pytest.raises(SignatureInvalid):
            verify(NEW, headers | {name: other}, BODY, NOW)
    del headers[name]
    with pytest.raises(SignatureInvalid, match=name):
        verify(NEW, headers, BODY, NOW)


@pytest.mark.parametrize(
    ("ahead_s", "says"),
    [
        (600, "10 minutes ahead of this machine's: check the clock of this machine"),
        (301, "5 minutes ahead"),
        (-600, "signed 10 minutes ago by this machine's clock"),
        (-7200, "signed 2 hours ago"),
        (-400_000, "signed 5 days ago"),
    ],
)
def test_a_wrong_clock_is_named(ahead_s: int, says: str) -> None:
    with pytest.raises(TimeInvalid, match=says) as caught:
        verify(NEW, signed(at=NOW + ahead_s), BODY, NOW)
    assert caught.value.ahead_s == ahead_s


@pytest.mark.parametrize("ahead_s", [-300, 0, 300])
def test_within_the_tolerance_clocks_may_differ(ahead_s: int) -> None:
    assert verify(NEW, signed(at=NOW + ahead_s), BODY, NOW).id == ID
    assert verify(NEW, signed(at=NOW + 2 * ahead_s), BODY, NOW, tolerance_s=600).id == ID


def test_of_a_forged_message_the_clock_says_nothing() -> None:
    with pytest.raises(SignatureInvalid) as caught:
        verify(NEW, signed(secrets=(STRANGE,), at=NOW + 600), BODY, NOW)
    assert type(caught.value) is SignatureInvalid


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"paid=1", "not JSON"),
        (b'{"id":', "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"[" * 20_000, "not JSON"),
        (b"[]", "not an event"),
        (b"null", "not an event"),
        (raw(EVENT | {"type": "payment.split"}), "type 'payment.split' is unknown to this version of oncepay"),
        (raw(EVENT | {"type": 7}), "not an event"),
        (raw({k: v for k, v in EVENT.items() if k != "type"}), "not an event"),
        (raw(EVENT | {"version": "3"}), "not an event"),
        (raw(EVENT | {"version": 3.5}), "not an event"),
        (raw(EVENT | {"version": 4}), "is version 4 and shows version 3"),
        (raw(EVENT | {"version": 0, "data": PAYMENT | {"version": 0}}), "is version 0"),
        (raw(EVENT | {"data": PAYMENT | {"status": "mislaid"}}), r"not an event .*status"),
        (raw(EVENT | {"data": PAYMENT | {"minor": "8800"}}), r"not an event .*minor"),
        (raw(EVENT | {"data": {k: v for k, v in PAYMENT.items() if k != "refunds"}}), r"not an event .*refunds"),
        (raw(EVENT | {"id": ID + "0"}), "the header webhook-id names"),
    ],
)
def test_what_is_signed_but_no_event_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(EventUnreadable, match=says):
        verify(NEW, signed(body), body, NOW)


def test_what_a_newer_centre_adds_does_not_disturb() -> None:
    body = raw(EVENT | {"trace": {"id": 1}, "data": PAYMENT | {"tip_minor": 5}, "changes": ["refund.done", "tipped"]})
    assert verify(NEW, signed(body), body, NOW).payment == read_event(BODY).payment


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_AAAA", NEW.removeprefix("whsec_"), "whsec_!!!", "whsec_" + "A" * 200, "WHSEC_" + NEW],
)
def test_what_is_no_secret_is_said_without_quoting_it(secret: str) -> None:
    for secrets in (secret, [NEW, secret]):
        with pytest.raises(ArgumentInvalid) as caught:
            verify(secrets, signed(), BODY, NOW)
        assert not secret[6:] or secret[6:] not in str(caught.value)
    with pytest.raises(ArgumentInvalid, match="no secret"):
        verify([], signed(), BODY, NOW)


def test_a_secret_may_end_in_a_newline_or_lack_its_padding() -> None:
    for written in (NEW + "\n", NEW.rstrip("=")):
        assert verify(written, signed(), BODY, NOW).id == ID
