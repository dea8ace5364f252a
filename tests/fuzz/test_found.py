"""What fuzzing found, so that it is not found again."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import msgspec
import pytest
from cryptography import x509

from oncepay.client import EventUnreadable, read_event
from oncepay.config import ConfigInvalid, from_env, split_listen
from oncepay.domain.errors import Invalid
from oncepay.domain.once import StandsTwice, check_once
from oncepay.http.bodies import NewAttempt, NewPayment
from oncepay.http.reading import DEPTH_MAX, NAME_MAX, Nothing, read_json, read_query
from oncepay.store import rows
from tests.channels import alipay_kit, unionpay_kit, wechat_kit
from tests.fuzz import alipay, away, doors, unionpay, wechat
from tests.fuzz.wechat import der_of

DEEP = 200


def deep(inside: bytes) -> bytes:
    """Options with this far within."""
    return b'{"channel":"a","method":"b","options":%b%b%b}' % (b'{"a":[' * DEEP, inside, b"]}" * DEEP)


QUICK_S = 0.5  # each of these took 5 to 20 s, and the whole process stood still


def refused(run: Callable[[], object]) -> Invalid:
    with pytest.raises(Invalid) as caught:
        run()
    return caught.value


def quickly(run: Callable[[], object]) -> None:
    began = time.thread_time()
    run()
    assert time.thread_time() - began < QUICK_S


def test_a_name_made_of_our_own_words_costs_no_time() -> None:
    """A refusal quotes the name, and where it speaks of was looked for from each of its letters to the end."""
    raw = msgspec.json.encode({" - at `$" * 30_000 + "\n": 1})
    quickly(lambda: refused(lambda: read_json(msgspec.json.Decoder(NewPayment), raw)))


def test_which_of_many_members_stands_twice_costs_no_time() -> None:
    raw = b"{%b}" % b",".join(b'"%d":0' % number for number in (*range(25_000), 24_999))

    def check() -> None:
        with pytest.raises(StandsTwice, match="24999"):
            check_once(raw, msgspec.json.decode(raw))

    quickly(check)


@pytest.mark.parametrize(
    "run",
    [
        lambda: read_query(Nothing, b"\x03" * 16_000),
        lambda: read_query(Nothing, b"a" * 9_000 + b"=1"),
        lambda: read_query(Nothing, b"&".join([b"a" * 7_000 + b"=1"] * 2)),
        lambda: read_query(Nothing, b"a" * 9_000 + b"=%00"),
        lambda: read_json(
            msgspec.json.Decoder(NewAttempt),
            b'{"channel":"a","method":"b","options":{"%b\\u0000":1}}' % (b"x" * 100_000),
        ),
        lambda: read_json(
            msgspec.json.Decoder(NewAttempt),
            b'{"channel":"a","method":"b","options":{"%b":"\\u0000"}}' % (b"x" * 100_000),
        ),
        lambda: read_json(msgspec.json.Decoder(NewAttempt), b'{"%b - at `$":1}' % (b"x" * 9_000)),
        lambda: read_json(msgspec.json.Decoder(NewAttempt), deep(b"9" * 4_301)),
        lambda: read_json(msgspec.json.Decoder(NewAttempt), deep(b'"\\u0000"')),
    ],
)
def test_a_refusal_says_no_long_name_back(run: Callable[[], object]) -> None:
    error = refused(run)
    assert len(error.detail) <= 4 * NAME_MAX
    assert all(len(str(value)) <= DEPTH_MAX * NAME_MAX for value in error.fields.values())


def test_no_answer_says_a_long_name_back() -> None:
    name = b"x" * 50_000
    for attempt in (b'"payer":{"%b":"1"}', b'"options":{"%b":1}'):
        raw = b'{"order_no":"F-1","amount":{"minor":1,"currency":"CNY"},"subject":"s","attempt":{"channel":"wechat","method":"native",%b}}'
        doors.request(b"POST /v1/payments\n\n" + raw % (attempt % name))


def test_an_event_that_cannot_be_read_is_not_quoted_whole() -> None:
    event = away.EVENTS[0]
    for raw in (b'{"id":"evt_1","type":"%b"' % (b"payment." * 1_000), event.replace(b"evt_", b"9" * 9_000, 1)):
        with pytest.raises(EventUnreadable) as caught:
            read_event(raw.replace(b'"version": 1', b'"version": 2', 1))
        assert len(str(caught.value)) < 400


# -- certificates: the library refuses some of them in ways of its own ----------------------------------------------------

VERSION = bytes.fromhex("a003020102")  # v3, as every certificate begins


def of_version_five(pem: str) -> str:
    der = der_of(pem)
    assert der.count(VERSION) == 1
    return pem_of(der.replace(VERSION, VERSION[:-1] + b"\x04"))


def with_an_extension_twice(pem: str) -> str:
    """Its key usage becomes a second one of its basic constraints."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    first, second = (extension.oid.dotted_string.rpartition(".")[2] for extension in list(certificate.extensions)[:2])
    head = bytes.fromhex("0603551d")
    der = der_of(pem).replace(head + bytes((int(second),)), head + bytes((int(first),)))
    with pytest.raises(x509.DuplicateExtension):
        _ = x509.load_der_x509_certificate(der).extensions
    return pem_of(der)


def with_a_name_of_bits(pem: str) -> str:
    """The common name of its subject becomes a string of bits."""
    der = der_of(pem)
    common_name = bytes.fromhex("06035504030c")
    at = der.rindex(common_name) + len(common_name) - 1
    return pem_of(der[:at] + b"\x03" + der[at + 1 : at + 2] + b"\x00" + der[at + 3 :])


def pem_of(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


def test_a_certificate_of_another_version_is_refused_by_name() -> None:
    pem = of_version_five(wechat_kit.KEYS["platform_certificate_pem"])
    account = wechat_kit.account(platform_certificates=[{"serial_no": wechat_kit.SERIAL, "pem": pem}])
    assert "platform_certificates" in str(refused(lambda: wechat_kit.CHANNEL.check_account(account)))
    pem = of_version_five(alipay_kit.CERTIFICATES["alipay_cert_pem"])
    account = alipay_kit.account(alipay_kit.CERTIFIED, alipay_cert=pem)
    assert "alipay_cert" in str(refused(lambda: alipay_kit.CHANNEL.check_account(account)))
    pem = of_version_five(unionpay_kit.CERTIFICATES["merchant_cert_pem"])
    account = unionpay_kit.account(merchant_certificate_pem=pem)
    assert "merchant_certificate_pem" in str(refused(lambda: unionpay_kit.CHANNEL.check_account(account)))


def test_a_strange_certificate_that_is_fetched_is_not_believed() -> None:
    for strange in (of_version_five, with_a_name_of_bits):
        wechat.certificate(strange(wechat_kit.KEYS["platform_certificate_pem"]).encode())
        unionpay.certificate(strange(unionpay_kit.CERTIFICATES["unionpay_sign_cert_pem"]).encode())
    pem = alipay_kit.CERTIFICATES["alipay_cert_pem"]
    for text in (of_version_five(pem), with_an_extension_twice(pem), with_a_name_of_bits(pem)):
        alipay.certificate(text.encode())
        alipay.certificate(der_of(text))


# -- the edge ---------------------------------------------------------------------------------------------------------------


def test_many_wishes_for_another_protocol_in_one_piece() -> None:
    """Each was declined inside the one before it, until that was too deep: the rest went unanswered."""
    wish = b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    assert doors.said_to(wish * 1_200) == [204] * 1_200


# -- settings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("LEASE_S", ["nan", "inf", "1e300", "12"]),
        ("WEBHOOK_TIMEOUT_S", ["0", "-1", "nan"]),
        ("FRESH_GAP_S", ["-1", "nan", "inf"]),
        ("START_BUDGET_S", ["0", "nan", "inf"]),
        ("CALLS_PER_S", ["nan", "inf", "-1"]),
        ("RAW_DAYS", ["30", "99999999999999999999", "-1"]),
        ("PUBLIC_URL", ["https://", "https://a b", "https://a\n", "ftp://a", "https://a?b=c", "https://a/#b"]),
        ("LISTEN", ["", "host", ":80", "a b:80", "host:65536", "host:²", "host:-1", "[::1]", "http://host:80"]),
    ],
)
def test_settings_that_nothing_can_be_built_on(name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(ConfigInvalid, match=f"ONCEPAY_{name}"):
            from_env({f"ONCEPAY_{name}": value})


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "[::1]:65535", "localhost:8480", "pay-1.example_x:1", "::1:80", "[fe80::1%eth0]:80"]
)
def test_where_it_can_listen(listen: str) -> None:
    assert split_listen(from_env({"ONCEPAY_LISTEN": listen}).listen)[0] in listen


def test_a_cursor_that_is_deeper_than_it_can_be_read() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 3_000).decode()
    assert refused(lambda: rows.place_of(deep, int, str)).fields["field"] == "after"
