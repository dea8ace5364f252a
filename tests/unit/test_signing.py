"""Webhook signatures, read back by an independent implementation (the ``standardwebhooks`` package) and by our own."""

from __future__ import annotations

import base64
import time

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from oncepay.publishers.signing import SecretInvalid, SignatureInvalid, key_of, new_secret, sign, verify

OLD, NEW, STRANGE = (new_secret(bytes([fill]) * 32) for fill in (1, 2, 3))
BODY = '{"amount":8800,"subject":"龙井"}'.encode()
NOW_S = 1_795_000_000


def test_the_example_of_the_specification() -> None:
    """The vector that the reference implementations share."""
    secrets = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",)
    headers = sign(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("known", [OLD, NEW], ids=["old", "new"])
def test_during_rotation_a_receiver_may_know_either_secret(known: str) -> None:
    now_s = int(time.time())
    headers = sign((NEW, OLD), "evt_1", now_s, BODY)
    assert headers["webhook-signature"].count("v1,") == 2
    assert standardwebhooks.Webhook(known).verify(BODY, headers) == {"amount": 8800, "subject": "龙井"}
    assert verify([known], headers, BODY, now_s) == "evt_1"


def test_a_stranger_reads_nothing() -> None:
    now_s = int(time.time())
    headers = sign((NEW, OLD), "evt_1", now_s, BODY)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(STRANGE).verify(BODY, headers)
    with pytest.raises(SignatureInvalid):
        verify([STRANGE], headers, BODY, now_s)


def test_we_read_what_others_sign() -> None:
    import datetime as dt

    now = dt.datetime.fromtimestamp(NOW_S, dt.UTC)
    theirs = standardwebhooks.Webhook(OLD).sign("evt_2", now, BODY.decode())
    headers = {"webhook-id": "evt_2", "webhook-timestamp": str(NOW_S), "webhook-signature": f"v1a,xxxx {theirs}"}
    assert verify([NEW, OLD], headers, BODY, NOW_S) == "evt_2"


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_any_other_byte_is_refused(at: int, flip: int) -> None:
    headers = sign((NEW,), "evt_1", NOW_S, BODY)
    forged = BODY[:at] + bytes([BODY[at] ^ flip]) + BODY[at + 1 :]
    with pytest.raises(SignatureInvalid):
        verify([NEW], headers, forged, NOW_S)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_counts(name: str) -> None:
    headers = sign((NEW,), "evt_1", NOW_S, BODY)
    for other in ("", headers[name] + "0", "9" * 40, "é"):
        with pytest.raises(SignatureInvalid):
            verify([NEW], headers | {name: other}, BODY, NOW_S)
    del headers[name]
    with pytest.raises(SignatureInvalid, match=name):
        verify([NEW], headers, BODY, NOW_S)


def test_old_and_future_messages_are_refused() -> None:
    headers = sign((NEW,), "evt_1", NOW_S, BODY)
    assert verify([NEW], headers, BODY, NOW_S + 300) == verify([NEW], headers, BODY, NOW_S - 300) == "evt_1"
    for now_s in (NOW_S + 301, NOW_S - 301):
        with pytest.raises(SignatureInvalid, match="300 s"):
            verify([NEW], headers, BODY, now_s)


def test_an_id_with_a_full_stop_is_not_signed() -> None:
    """Or ``evt_1`` at time 5 with body ``7.x`` could pass for ``evt_1.5`` at time 7 with body ``x``."""
    with pytest.raises(ValueError, match="full stop"):
        sign((NEW,), "evt_1.5", 7, b"x")


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS*",
        "whsec_é",
    ],
)
def test_what_is_no_secret(secret: str) -> None:
    with pytest.raises(SecretInvalid) as caught:
        key_of(secret)
    assert len(secret) < 8 or secret.removeprefix("whsec_") not in str(caught.value)


def test_no_secret_at_all_signs_nothing() -> None:
    with pytest.raises(SecretInvalid):
        sign((), "evt_1", NOW_S, BODY)


def test_padding_may_be_left_out() -> None:
    assert key_of(new_secret(bytes(25)).rstrip("=")) == bytes(25)
