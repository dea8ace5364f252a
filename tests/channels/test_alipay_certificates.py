"""A new certificate of the vendor's: fetched, believed only with a chain to the root and of the same company."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from oncepay.channels.alipay.accounts import open_account
from oncepay.domain.attempt import Call, Fact
from oncepay.ports import Account, Answered, NotSent, Unknown
from tests.channels.alipay_authority import NOW, ROOT, TESTED, Authority, Leaf
from tests.channels.alipay_kit import (
    ACCOUNT,
    ALIPAY_KEY,
    APP_KEY,
    CERTIFICATES,
    CERTIFIED,
    CHANNEL,
    NONCE,
    NOW_MS,
    SERIAL,
    TRADE,
    account,
    answered,
    raw,
    read,
    signature,
    text_of,
    unsigned,
)

DOWNLOAD = "alipay_open_app_alipaycert_download_response"
COMPANY = "Test Channel Co"
HELD = TESTED.leaf(COMPANY)
NEW = TESTED.leaf(COMPANY)
# The account holds one certificate, and that of the authority that signed it.
TO = account(CERTIFIED, alipay_cert=HELD.pem + TESTED.pem, alipay_root_cert=CERTIFICATES["root_bundle_pem"] + ROOT.pem)


def brought(*certificates: Leaf | str, key: RSAPrivateKey | None = None, serial: str = "", **changed: str) -> Answered:
    """The answer to a download."""
    pems = "".join(c if isinstance(c, str) else c.pem for c in certificates)
    content = {"code": "10000", "msg": "Success", "alipay_cert_content": base64.b64encode(pems.encode()).decode()}
    return answered(Call.QUERY, content | changed, root=DOWNLOAD, serial=serial, key=key or HELD.key)


def kept(answer: Any, to: Account = TO) -> Mapping[str, Any] | None:
    return CHANNEL.read_keys(answer, to, now_ms=NOW_MS)


def serials(settings: Mapping[str, Any] | None) -> set[str]:
    assert settings is not None
    return set(open_account(account(TO, **settings)).verifiers)


@pytest.mark.parametrize(
    "answer",
    [
        brought(NEW),
        brought(NEW, key=NEW.key, serial=NEW.serial),  # signed with the very one that it brings
        brought(NEW, TESTED),
        brought(NEW, TESTED, ROOT),
        brought("\n\n" + NEW.pem + "\n"),
        brought(alipay_cert_content=base64.b64encode(NEW.certificate.public_bytes(Encoding.DER)).decode()),
    ],
)
def test_old_certificates_stay_and_new_ones_come_after(answer: Answered) -> None:
    settings = kept(answer)
    assert serials(settings) == {HELD.serial, NEW.serial}
    assert settings is not None
    assert {k: v for k, v in settings.items() if k != "alipay_cert"} == {
        k: v for k, v in TO.settings.items() if k != "alipay_cert"
    }
    renewed = account(TO, **settings)
    for leaf in (HELD, NEW):
        told = read(
            Call.QUERY, answered(Call.QUERY, {"code": "10000", **TRADE}, key=leaf.key, serial=leaf.serial), to=renewed
        )
        assert (told.evidence[0].fact, told.refresh) == (Fact.MOVED, False)
    assert kept(answer, renewed) == settings


def test_nothing_new_changes_nothing() -> None:
    assert kept(brought(HELD)) == TO.settings
    vectors = brought(CERTIFICATES["alipay_cert_pem"], key=ALIPAY_KEY, serial=SERIAL)
    assert kept(vectors, CERTIFIED) == CERTIFIED.settings


def test_the_authority_between_may_be_the_one_that_we_hold() -> None:
    without = account(TO, alipay_cert=HELD.pem)
    assert kept(brought(NEW), without) is None
    assert serials(kept(brought(NEW, TESTED), without)) == {HELD.serial, NEW.serial}


STRANGER = Authority("Test Financial Class 1 T1", above=Authority("Test Financial Certification Authority T1"))
PRETENDER = Authority("Pretender", company=COMPANY, above=TESTED, ca=False)  # the vendor's own, and no authority
PLAIN = {"code": "10000", "alipay_cert_content": base64.b64encode(NEW.pem.encode()).decode()}


@pytest.mark.parametrize(
    "answer",
    [
        NotSent(why="refused"),
        Unknown(why="timed out"),
        raw(b""),
        raw(b"<html>"),
        unsigned(Call.QUERY, PLAIN, root=DOWNLOAD),
        unsigned(Call.QUERY, PLAIN, root=DOWNLOAD, tail=b',"sign":""'),
        brought(NEW, code="40004"),
        brought(NEW, key=APP_KEY),
        brought(NEW, key=NEW.key, alipay_cert_content=base64.b64encode(HELD.pem.encode()).decode()),
        answered(Call.QUERY, PLAIN, key=HELD.key),
        answered(Call.QUERY, PLAIN, key=HELD.key, root=DOWNLOAD, status=500),
        answered(Call.QUERY, {"code": "10000"}, key=HELD.key, root=DOWNLOAD),
        answered(Call.QUERY, b'{"code":"10000","alipay_cert_content":17}', key=HELD.key, root=DOWNLOAD),
        brought(NEW, alipay_cert_content="%%%"),
        brought(NEW, alipay_cert_content=base64.b64encode(b"nonsense").decode()),
        brought(NEW, alipay_cert_content=base64.b64encode("-----证书".encode()).decode()),
        brought(),
        brought("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        brought(TESTED),  # no certificate of the vendor's among them
        # not of the vendor's company, although of its authority
        brought(TESTED.leaf("Another Merchant Ltd")),
        brought(NEW, TESTED.leaf("Another Merchant Ltd")),
        brought(TESTED.leaf(f"{COMPANY} ")),
        brought(CERTIFICATES["app_cert_pem"]),
        # not to a root of ours
        brought(STRANGER.leaf(COMPANY)),
        brought(STRANGER.leaf(COMPANY), STRANGER),
        brought(NEW, STRANGER.leaf(COMPANY), STRANGER),
        # by one that may not sign others
        brought(PRETENDER.leaf(COMPANY), PRETENDER, TESTED),
        # not yet, not any more
        brought(TESTED.leaf(COMPANY, start=NOW + timedelta(days=1))),
        brought(TESTED.leaf(COMPANY, until=NOW - timedelta(days=1))),
        brought((ended := Authority("Ended", above=ROOT, until=NOW - timedelta(days=1))).leaf(COMPANY), ended),
        brought(TESTED.leaf(COMPANY, bits=1024)),
    ],
)
def test_certificates_that_are_not_believed(answer: Any) -> None:
    assert kept(answer) is None


def test_a_root_ends_too() -> None:
    old = Authority("Old root", until=NOW - timedelta(days=1))
    leaf = old.leaf(COMPANY)
    assert kept(brought(leaf), account(TO, alipay_root_cert=old.pem)) is None
    young = Authority("Young root")
    assert kept(brought(young.leaf(COMPANY)), account(TO, alipay_root_cert=young.pem)) is not None


def test_a_long_chain_comes_to_an_end() -> None:
    chain = [ROOT]
    for depth in range(4):
        chain.append(Authority(f"Depth {depth}", above=chain[-1]))
    assert kept(brought(chain[3].leaf(COMPANY), *chain[1:4])) is not None
    assert kept(brought(chain[4].leaf(COMPANY), *chain[1:5])) is None


def test_what_is_asked() -> None:
    request = CHANNEL.build_keys(CERTIFIED, now_ms=NOW_MS, nonce=NONCE)
    assert request is not None
    assert "method=alipay.open.app.alipaycert.download&" in request.url
    assert request.body == b"biz_content=%7B%22alipay_cert_sn%22%3A%22" + SERIAL.encode() + b"%22%7D"


def test_in_key_mode_there_is_nothing_to_fetch() -> None:
    assert CHANNEL.build_keys(ACCOUNT, now_ms=NOW_MS, nonce=NONCE) is None
    text = text_of(PLAIN)
    body = b'{"%b":%b,"sign":"%b"}' % (DOWNLOAD.encode(), text, signature(text).encode())
    assert kept(raw(body), ACCOUNT) is None


def test_an_app_that_moves_to_certificates_fetches_with_either() -> None:
    moving = account(TO, **ACCOUNT.settings, use="public_key")
    request = CHANNEL.build_keys(moving, now_ms=NOW_MS, nonce=NONCE)
    assert request is not None
    assert "cert_sn" not in request.url
    assert serials(kept(brought(NEW, key=ALIPAY_KEY), moving)) == {"", HELD.serial, NEW.serial}
