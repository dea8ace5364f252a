"""Who is believed: UnionPay's company, under the account's own authorities, today, and nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from oncepay.channels.unionpay import UnionPay
from oncepay.channels.unionpay.chain import COMPANY, KEPT_MAX, Chain, authorities
from oncepay.channels.unionpay.keys import verify
from oncepay.domain.attempt import Call, Fact
from oncepay.domain.change import Evidence
from oncepay.ports import Account, Answered, Notice, Refused
from tests.channels.unionpay_authority import (
    NOW,
    ROOT_KEY,
    SMALL_KEY,
    UNIONPAY_NAME,
    leaf,
    middle,
    root,
)
from tests.channels.unionpay_kit import (
    ACCOUNT,
    CERTIFICATES,
    CHANNEL,
    FOREIGN_KEY,
    MERCHANT_KEY,
    NOW_MS,
    UNIONPAY_CERTIFICATE,
    UNIONPAY_KEY,
    account,
    answered,
    notice,
    noticed,
    order,
    plain,
    read,
    signed,
    transaction,
    wired,
)

GOOD = transaction(order())
TEST_NAME = "041@Z2017-11-1@00040000:SIGN@00000001"
OURS = account(middle_certificate_pem=middle(), root_certificate_pem=root())
TESTING = account(middle_certificate_pem=middle(), root_certificate_pem=root(), test_environment="true")


def believed(certificate: str, to: Account = OURS, *, now_ms: int = NOW_MS, key: Any = UNIONPAY_KEY) -> str:
    """Why an answer and a notification under a certificate are not believed; "" when they are."""
    answer = answered(GOOD, certificate=wired(certificate), key=key)
    (evidence,) = read(Call.QUERY, answer, to=to, now_ms=now_ms).evidence
    heard = noticed(notice(order()), certificate=wired(certificate), key=key, to=to, now_ms=now_ms)
    if evidence.fact is Fact.MOVED:
        assert isinstance(heard, Notice)
        return ""
    assert evidence.fact is Fact.SILENT
    assert isinstance(heard, Refused)
    assert heard.why in evidence.words
    return heard.why


def test_a_chain_of_our_own() -> None:
    assert believed(leaf()) == ""
    assert believed(CERTIFICATES["unionpay_sign_cert_pem"], ACCOUNT) == ""


@pytest.mark.parametrize(
    ("certificate", "to", "why"),
    [
        (CERTIFICATES["unionpay_sign_cert_pem"], OURS, "issued by somebody else"),
        (leaf(), ACCOUNT, "issued by somebody else"),
        (leaf(issuer_key=ROOT_KEY), OURS, "issued by somebody else"),  # it only says that it is under the middle one
        (leaf(issuer="Other"), OURS, "issued by somebody else"),  # by the middle one's key, and in another's name
        (leaf(issuer="Root", issuer_key=ROOT_KEY), OURS, "issued by somebody else"),  # the root signs no leaves
        (leaf(UNIONPAY_NAME, issuer=UNIONPAY_NAME, issuer_key=UNIONPAY_KEY), OURS, "issued by somebody else"),
        (leaf("041@1@Some Other Company@2"), OURS, "somebody else's: 'Some Other Company'"),
        (leaf("中国银联股份有限公司"), OURS, "somebody else's: ''"),
        (leaf("中国银联股份有限公司@1@2@3"), OURS, "somebody else's: '2'"),
        (leaf("041@1@中国银联股份有限公司 @2"), OURS, "somebody else's"),
        (leaf("041@1@@中国银联股份有限公司"), OURS, "somebody else's: ''"),
        (leaf(UNIONPAY_NAME, "x"), OURS, "somebody else's: ''"),
        (leaf("x", UNIONPAY_NAME), OURS, "somebody else's: ''"),
        (leaf(TEST_NAME), OURS, "somebody else's: '00040000:SIGN'"),
        (CERTIFICATES["middle_pem"], ACCOUNT, "somebody else's"),
        (CERTIFICATES["root_pem"], ACCOUNT, "somebody else's"),
        ("", ACCOUNT, "does not parse"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", ACCOUNT, "does not parse"),
        (CERTIFICATES["unionpay_sign_cert_pem"][100:], ACCOUNT, "does not parse"),
        (leaf(key=SMALL_KEY.public_key()), OURS, "not an RSA key of 2048 bits"),
        (leaf(key=ec.generate_private_key(ec.SECP256R1()).public_key()), OURS, "not an RSA key of 2048 bits"),
        (leaf(algorithm=hashes.MD5()), OURS, "issued by somebody else"),
    ],
)
def test_whose_certificate_is_not_believed(certificate: str, to: Account, why: str) -> None:
    assert why in believed(certificate, to)


def test_the_old_names_are_for_the_test_environment() -> None:
    """There every merchant's certificate has the same third part, so they prove nothing."""
    assert believed(leaf(TEST_NAME), TESTING) == ""
    assert believed(leaf(UNIONPAY_NAME), TESTING) == ""
    assert "somebody else's" in believed(leaf("041@1@Some Other Company@2"), TESTING)
    assert "00040000:SIGN" in believed(CERTIFICATES["merchant_cert_pem"], ACCOUNT, key=MERCHANT_KEY)
    assert believed(CERTIFICATES["merchant_cert_pem"], account(test_environment="true"), key=MERCHANT_KEY) == ""


def test_another_merchants_certificate_with_its_own_key() -> None:
    assert "Some Other Company" in believed(CERTIFICATES["foreign_cert_pem"], ACCOUNT, key=FOREIGN_KEY)


def test_a_right_certificate_with_a_wrong_key() -> None:
    assert believed(UNIONPAY_CERTIFICATE, ACCOUNT, key=FOREIGN_KEY) == "the signature does not fit"


def test_links_signed_with_sha1_are_believed() -> None:
    """UnionPay's test environment has them, and production may."""
    old = account(
        middle_certificate_pem=middle(algorithm=hashes.SHA1()), root_certificate_pem=root(algorithm=hashes.SHA1())
    )
    assert believed(leaf(algorithm=hashes.SHA1()), old) == ""


@pytest.mark.parametrize("which", ["leaf", "middle", "root"])
def test_all_of_the_chain_must_be_valid_now(which: str) -> None:
    """It is looked at each time: what was believed yesterday may be over today."""
    lives = {"begins": NOW - timedelta(hours=2), "ends": NOW + timedelta(hours=2)}
    chain = Chain(
        authorities(middle(**(lives if which == "middle" else {})), root(**(lives if which == "root" else {}))),
        frozenset({COMPANY}),
    )
    text = leaf(**(lives if which == "leaf" else {}))
    edge_ms = 2 * 3_600_000
    for now_ms, good in [
        (NOW_MS - edge_ms - 1, False),
        (NOW_MS - edge_ms, True),
        (NOW_MS, True),
        (NOW_MS + edge_ms, True),
        (NOW_MS + edge_ms + 1, False),
    ]:
        if good:
            chain.keep(text, chain.believed(text, now_ms=now_ms))
        else:
            with pytest.raises(ValueError, match="not valid now"):
                chain.believed(text, now_ms=now_ms)


def test_authorities_change() -> None:
    """Old and new ones side by side, in either text."""
    both = account(
        middle_certificate_pem=CERTIFICATES["middle_pem"] + middle(),
        root_certificate_pem=root() + CERTIFICATES["root_pem"],
    )
    assert believed(leaf(), both) == ""
    assert believed(CERTIFICATES["unionpay_sign_cert_pem"], both) == ""


def test_a_certificate_is_parsed_once() -> None:
    channel = UnionPay()
    answer = answered(transaction(order()))

    def fact() -> Fact:
        return channel.read(Call.QUERY, answer, order(), ACCOUNT, now_ms=NOW_MS, nonce="").evidence[0].fact

    assert fact() is Fact.MOVED
    with patch("oncepay.channels.unionpay.chain.x509.load_pem_x509_certificates", side_effect=AssertionError):
        assert fact() is Fact.MOVED


def kept(chain: Chain) -> list[str]:
    return list(chain._kept)


def said_by(chain: Chain, certificate: str, key: Any = UNIONPAY_KEY) -> None:
    verify(signed(GOOD, certificate=certificate, key=key), chain, now_ms=NOW_MS)


def test_few_certificates_are_kept_and_only_with_a_signature_that_fits() -> None:
    chain = Chain(authorities(middle(), root()), frozenset({COMPANY}))
    texts = [leaf(f"{at}@1@{COMPANY}@2") for at in range(KEPT_MAX + 3)]
    for text in texts:
        said_by(chain, text)
        said_by(chain, text)
    assert kept(chain) == texts[3:]
    for at in range(3):
        said_by(chain, leaf(f"{at}@1@them@2"))
        said_by(chain, texts[-1] + "\r\n" * at, FOREIGN_KEY)  # the right certificate, written otherwise
    assert kept(chain) == texts[3:]
    said_by(chain, texts[0])
    assert kept(chain) == [*texts[4:], texts[0]]


# -- what is signed --------------------------------------------------------------------------------------------------


def evidence(answer: Answered) -> Evidence:
    (found,) = read(Call.QUERY, answer).evidence
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {"version": "5.0.0"},
        {"version": "5.1"},
        {"version": ""},
        {"signMethod": "11"},
        {"signMethod": "12"},
        {"signMethod": "1"},
        {"signMethod": ""},
        {"encoding": "GBK"},
        {"encoding": ""},
    ],
)
def test_how_it_is_signed_is_fixed(fields: dict[str, str]) -> None:
    found = transaction(order(), **fields)
    assert evidence(answered(found)).fact is Fact.SILENT
    assert isinstance(noticed(found), Refused)


@pytest.mark.parametrize("encoding", ["UTF-8", "utf-8", "Utf-8"])
def test_the_encoding_may_be_written_in_any_case(encoding: str) -> None:
    assert evidence(answered(transaction(order(), encoding=encoding))).fact is Fact.MOVED


@pytest.mark.parametrize("without", ["signature", "signPubKeyCert"])
def test_without_signature_or_certificate(without: str) -> None:
    fields = {name: value for name, value in signed(GOOD).items() if name != without}
    assert evidence(Answered(status=200, headers={}, body=plain(fields))).fact is Fact.SILENT
    body = urlencode(fields).encode()
    assert isinstance(CHANNEL.read_notification({}, body, ACCOUNT, now_ms=NOW_MS), Refused)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: "a",
        lambda text: text + "=",
        lambda text: text[:-1],
        lambda text: text.replace("=", ""),
        lambda text: text + " ",
        lambda text: text[:40] + "\r\n" + text[40:],
        lambda text: text[:40] + "%" + text[41:],
        lambda text: text.replace("A", "Ä"),
        lambda text: text[:-3] + chr(ord(text[-3]) + 1) + text[-2:],  # the same bytes, spelt otherwise
    ],
)
def test_a_signature_that_is_not_base64_is_refused(spoil: Any) -> None:
    fields = signed(GOOD)
    fields["signature"] = spoil(fields["signature"])
    assert evidence(Answered(status=200, headers={}, body=plain(fields))).fact is Fact.SILENT
