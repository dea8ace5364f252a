"""Who is believed: only what is signed, to the letter, by a key that the account holds."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1 as MGF
from cryptography.hazmat.primitives.asymmetric.padding import PSS, PKCS1v15

from oncepay.channels.alipay import Alipay
from oncepay.channels.alipay.wire import root_of, take_apart
from oncepay.domain.attempt import Call, Fact
from oncepay.ports import Account, Answered
from tests.channels.alipay_authority import TESTED, Authority
from tests.channels.alipay_kit import (
    ACCOUNT,
    ALIPAY_KEY,
    APP_KEY,
    CERTIFIED,
    NONCE,
    NOW_MS,
    ROOTS,
    SERIAL,
    TRADE,
    account,
    answered,
    done,
    order,
    raw,
    read,
    signature,
    text_of,
)

QUERIED = ROOTS[Call.QUERY].encode()
TEXT = text_of({"code": "10000", "msg": "Success", **TRADE})
SIGN = signature(TEXT).encode()


def fact(answer: Answered, to: Account = ACCOUNT) -> Fact:
    return read(Call.QUERY, answer, to=to).evidence[0].fact


def body(text: bytes = TEXT, sign: bytes = SIGN, *, root: bytes = QUERIED, middle: bytes = b"") -> Answered:
    return raw(b'{"%b":%b%b,"sign":"%b"}' % (root, text, middle, sign))


GOOD = body()


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        raw(b'{"sign":"%b","%b":%b}' % (SIGN, QUERIED, TEXT)),
        raw(
            b' {\n "%b" : %b\t,\r\n "alipay_cert_sn":"","more":[1,{"sign":"x"}], "sign" : "%b" } \n'
            % (QUERIED, TEXT, SIGN)
        ),
        body(middle=b',"alipay_cert_sn":"%b"' % SERIAL.encode()),
        body(middle=b',"alipay_cert_sn":null'),
        body(TEXT + b" "),  # a blank beside the value is none of it
    ],
)
def test_members_are_found_by_name(answer: Answered) -> None:
    assert fact(answer) is Fact.MOVED


@pytest.mark.parametrize(
    "text",
    [
        b'{"code":"10000","subject":"a}b{{\\"q\\\\\\"}","trade_status":"WAIT_BUYER_PAY","out_trade_no":"PC202603010001"}',
        b'{ "code" : "10000",\n"x":[{"y":"]}"},[]], "trade_status":"WAIT_BUYER_PAY","out_trade_no":"PC202603010001" }',
        b'{"code":"10000","subject":"\\u5496\\u5561","trade_status":"WAIT_BUYER_PAY","out_trade_no":"PC202603010001"}',
        '{"code":"10000","subject":"咖啡\\\\","trade_status":"WAIT_BUYER_PAY","out_trade_no":"PC202603010001"}'.encode(),
        b'{"code":"10000","subject":"\\"sign\\":\\"x\\"}","trade_status":"WAIT_BUYER_PAY","out_trade_no":"PC202603010001"}',
        b'{"code":"10000","inner":{"alipay_trade_query_response":{}},"trade_status":"WAIT_BUYER_PAY","out_trade_no":"PC202603010001"}',
    ],
)
def test_the_text_is_cut_out_as_it_stands(text: bytes) -> None:
    answer = body(text, signature(text).encode())
    told = take_apart(answer.body, root_of("alipay.trade.query"))
    assert (told.text, told.sign) == (text, signature(text))
    found = read(Call.QUERY, answer)
    assert found.evidence[0].fact is Fact.PENDING


@pytest.mark.parametrize(
    "answer",
    [
        body(TEXT.replace(b"88.88", b"8.88")),
        body(TEXT.replace(b",", b", ", 1)),
        body(json.dumps(json.loads(TEXT), indent=0).encode()),
        body(sign=b""),
        body(sign=b"QUJD"),
        body(sign=b"&"),
        body(sign="ä".encode()),
        body(sign=SIGN + b"\\n"),
        body(sign=SIGN.replace(b"=", b"")),
        body(sign=b" " + SIGN),
        body(sign=SIGN.lower()),
        body(root=b"alipay_trade_close_response"),
        body(root=b"alipay_trade_query_Response"),
        raw(b'{"%b":%b,"%b":%b,"sign":"%b"}' % (QUERIED, TEXT, QUERIED, TEXT, SIGN)),
        raw(b'{"%b":%b,"sign":"%b","sign":"%b"}' % (QUERIED, TEXT, SIGN, SIGN)),
        raw(b'{"%b":%b,"sign":"%b","\\u0073ign":"x"}' % (QUERIED, TEXT, SIGN)),
        raw(b'{"%b":"%b","sign":"%b"}' % (QUERIED, b"QUJD", signature(b'"QUJD"').encode())),  # encrypted
        raw(b'{"%b":[%b],"sign":"%b"}' % (QUERIED, TEXT, signature(b"[" + TEXT + b"]").encode())),
        raw(b'{"%b":%b,"sign":"%b"}x' % (QUERIED, TEXT, SIGN)),
        raw(b'[{"%b":%b,"sign":"%b"}]' % (QUERIED, TEXT, SIGN)),
        raw(b"\xef\xbb\xbf" + GOOD.body),
        Answered(status=500, headers={}, body=GOOD.body),
        Answered(status=201, headers={}, body=GOOD.body),
        answered(Call.QUERY, {"code": "10000", **TRADE}, key=APP_KEY),
        done(Call.CLOSE, **TRADE),
    ],
)
def test_what_is_not_believed_is_silent(answer: Answered) -> None:
    assert fact(answer) is Fact.SILENT


def test_why_it_is_not_believed_is_said() -> None:
    def words(answer: Answered) -> str:
        return read(Call.QUERY, answer).evidence[0].words

    assert words(raw(b'{"%b":"QUJD","sign":"%b"}' % (QUERIED, SIGN))) == "unreadable: it holds no " + QUERIED.decode()
    assert words(raw(b'{"%b":%b}' % (QUERIED, TEXT))) == "10000 without a signature"
    assert words(body(sign=b"QUJD")) == "the signature does not fit"
    assert words(body(sign=b"&")) == "sign is not base64"
    assert words(Answered(status=502, headers={}, body=b"")) == "HTTP 502"
    assert words(raw(b"")) == "unreadable: Input data was truncated"


def test_a_root_of_its_own_is_preferred_to_an_error() -> None:
    error = b'{"code":"40002","msg":"x"}'
    both = raw(b'{"error_response":%b,"%b":%b,"sign":"%b"}' % (error, QUERIED, TEXT, SIGN))
    assert fact(both) is Fact.MOVED
    signed = raw(b'{"error_response":%b,"sign":"%b"}' % (error, signature(error).encode()))
    assert read(Call.QUERY, signed).evidence[0].fault.value == "account"


def test_slashes_may_have_been_escaped_after_signing() -> None:
    """As the official SDK: once more with plain slashes. The text that is read is the one that was signed."""
    plain = b'{"code":"10000","out_trade_no":"PC202603010001","trade_status":"WAIT_BUYER_PAY","x":"https://a/b"}'
    escaped = plain.replace(b"/", b"\\/")
    assert fact(body(escaped, signature(plain).encode())) is Fact.PENDING
    assert fact(body(plain, signature(escaped).encode())) is Fact.SILENT


def test_only_one_spelling_of_a_signature_is_taken() -> None:
    """The last digit before the padding has four bits to spare: sixteen spellings of the same bytes."""
    digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = SIGN[:-3] + digits[digits.index(SIGN[-3]) ^ 1 : (digits.index(SIGN[-3]) ^ 1) + 1] + b"=="
    assert fact(body(sign=other)) is Fact.SILENT


@pytest.mark.parametrize(
    "sign",
    [
        ALIPAY_KEY.sign(TEXT, PKCS1v15(), hashes.SHA1()),
        ALIPAY_KEY.sign(TEXT, PKCS1v15(), hashes.SHA512()),
        ALIPAY_KEY.sign(TEXT, PSS(MGF(hashes.SHA256()), 32), hashes.SHA256()),
    ],
)
def test_the_algorithm_is_fixed(sign: bytes) -> None:
    assert fact(body(sign=base64.b64encode(sign))) is Fact.SILENT


# -- which key -------------------------------------------------------------------------------------------------------

BOTH = account(CERTIFIED, **ACCOUNT.settings)
OTHER = Authority("Test Financial Certification Authority R9").leaf("Test Channel Co")  # not the account's at all


@pytest.mark.parametrize(
    ("to", "answer", "believed", "refresh"),
    [
        (ACCOUNT, GOOD, True, False),
        (CERTIFIED, answered(Call.QUERY, TEXT, serial=SERIAL), True, False),
        (CERTIFIED, GOOD, True, False),  # it names none: whichever fits
        (BOTH, answered(Call.QUERY, TEXT, serial=SERIAL), True, False),
        (ACCOUNT, answered(Call.QUERY, TEXT, serial=SERIAL), True, False),  # key mode: there is nothing to fetch
        (ACCOUNT, answered(Call.QUERY, TEXT, serial="ab" * 16, key=OTHER.key), False, False),
        (CERTIFIED, answered(Call.QUERY, TEXT, serial="ab" * 16, key=OTHER.key), False, True),
        (CERTIFIED, answered(Call.QUERY, TEXT, serial="ab" * 16), True, False),  # a new certificate of the same key
        (CERTIFIED, answered(Call.QUERY, TEXT, serial=SERIAL, key=OTHER.key), False, False),
        (CERTIFIED, answered(Call.QUERY, TEXT, key=APP_KEY), False, False),
    ],
)
def test_the_key_is_chosen_by_its_serial(to: Account, answer: Answered, believed: bool, refresh: bool) -> None:
    found = read(Call.QUERY, answer, to=to)
    assert (found.evidence[0].fact is Fact.MOVED) is believed
    assert found.refresh is refresh


def test_keys_stand_side_by_side() -> None:
    new = TESTED.leaf("Test Channel Co")
    old_and_new = account(CERTIFIED, alipay_cert=CERTIFIED.settings["alipay_cert"] + new.pem)
    for key, serial in ((ALIPAY_KEY, SERIAL), (new.key, new.serial), (ALIPAY_KEY, ""), (new.key, "")):
        assert fact(answered(Call.QUERY, TEXT, key=key, serial=serial), old_and_new) is Fact.MOVED
    assert fact(answered(Call.QUERY, TEXT, key=OTHER.key, serial=new.serial), old_and_new) is Fact.SILENT


def test_a_certificate_ends() -> None:
    end = datetime.fromtimestamp(NOW_MS / 1000, UTC)
    for days, believed in ((1, True), (-1, False)):
        leaf = TESTED.leaf("Test Channel Co", until=end + timedelta(days=days))
        to = account(CERTIFIED, alipay_cert=leaf.pem)
        answer = answered(Call.QUERY, TEXT, key=leaf.key, serial=leaf.serial)
        found = read(Call.QUERY, answer, to=to)
        assert (found.evidence[0].fact is Fact.MOVED) is believed
        assert found.refresh is not believed


def test_the_certificate_that_an_answer_names_is_the_one_to_fetch() -> None:
    channel = Alipay()

    def asked_for(of: Account = CERTIFIED) -> Any:
        request = channel.build_keys(of, now_ms=NOW_MS, nonce=NONCE)
        if request is None:
            return None
        return json.loads(parse_qs(request.body.decode())["biz_content"][0])["alipay_cert_sn"]

    def answer(serial: str, to: Account = CERTIFIED) -> None:
        told = answered(Call.QUERY, TEXT, serial=serial, key=OTHER.key)
        channel.read(Call.QUERY, told, order(), to, now_ms=NOW_MS, nonce=NONCE)

    assert asked_for() == SERIAL
    answer("ab" * 16)
    assert asked_for() == "ab" * 16
    assert asked_for(account(CERTIFIED)) == "ab" * 16
    answer(SERIAL)
    assert asked_for() == "ab" * 16
    answer("cd" * 16)
    assert asked_for() == "cd" * 16
    answer("ef" * 16, ACCOUNT)
    assert asked_for(ACCOUNT) is None
    assert asked_for() == "cd" * 16
