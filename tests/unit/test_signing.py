"""Webhook signatures, read back by an independent implementation, the ``standardwebhooks`` package."""

from __future__ import annotations

import base64
import time

import pytest
import standardwebhooks

from oncepay.publishers.signing import SecretInvalid, key_of, sign
from tests.wire.loopback import secret_of

OLD, NEW, STRANGE = (secret_of(bytes([fill]) * 32) for fill in (1, 2, 3))
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


def test_a_stranger_reads_nothing() -> None:
    now_s = int(time.time())
    headers = sign((NEW, OLD), "evt_1", now_s, BODY)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(STRANGE).verify(BODY, headers)


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
    assert key_of(secret_of(bytes(25)).rstrip("=")) == bytes(25)
