"""Notifications: payments and refunds at one address, identities that must agree, and all the ways of not being
believed."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote_plus

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from oncepay.domain.attempt import Direction, Fact, Reason, Road
from oncepay.ports import Account, Notice, Refused
from tests.channels.alipay_authority import ROOT, TESTED, public_pem
from tests.channels.alipay_kit import (
    ACCOUNT,
    ALIPAY_KEY,
    APP_ID,
    APP_KEY,
    CERTIFIED,
    CHANNEL,
    NO,
    NOW_MS,
    PAID,
    PARTLY_BACK,
    REFUND_NO,
    SELLER_ID,
    SERIAL,
    TRADE_NO,
    account,
    form,
    heard,
    notice,
    notified,
    signature,
    string_to_sign,
)

NOTICED_MS = 1_772_339_481_000  # its notify_time


def why(body: bytes, *, by: Account = ACCOUNT) -> str:
    found = heard(body, by=by)
    assert isinstance(found, Refused), found
    assert (found.probe, found.refresh) == (False, False)
    return found.why


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in PARTLY_BACK.items() if name not in names}


# -- what is told ----------------------------------------------------------------------------------------------------


def test_a_payment() -> None:
    found = notice(notified(PAID))
    (paid,) = found.evidence
    assert (found.numbers, found.echo) == ((NO,), "pc:7")
    assert (paid.number, paid.fact, paid.minor, paid.currency) == (NO, Fact.MOVED, 8888, "CNY")
    assert (paid.road, paid.call, paid.said_ms, paid.wrong) == (Road.NOTIFICATION, None, NOTICED_MS, "")
    assert (paid.trade_no, paid.channel_ms, paid.channel_day) == (TRADE_NO, 1_772_339_480_000, 20260301)
    assert (paid.returned_minor, paid.refunded) == (None, False)


def test_a_refund_speaks_of_two_numbers() -> None:
    """What went back is said of the payment, all of it together; how much this refund was is left to its query."""
    found = notice(notified(PARTLY_BACK))
    paid, back = found.evidence
    assert found.numbers == (NO, REFUND_NO)
    assert (paid.number, paid.fact, paid.minor, paid.returned_minor) == (NO, Fact.MOVED, 8888, 888)
    assert (back.number, back.of, back.direction, back.fact) == (REFUND_NO, NO, Direction.OUT, Fact.PENDING)
    assert (back.minor, back.currency, back.wrong, back.said_ms) == (None, None, "", NOTICED_MS)


@pytest.mark.parametrize("out_biz_no", ["", TRADE_NO, NO, "a b", "x" * 65, "退款"])
def test_a_refund_without_a_number_of_its_own(out_biz_no: str) -> None:
    found = notice(notified(PARTLY_BACK | {"out_biz_no": out_biz_no}))
    assert found.numbers == (NO,)
    assert [(e.number, e.returned_minor) for e in found.evidence] == [(NO, 888)]


UNPAID = without("gmt_payment", "gmt_refund", "refund_fee", "out_biz_no")
CLOSED = {"trade_status": "TRADE_CLOSED", "gmt_close": "2026-03-03 11:00:00"}


@pytest.mark.parametrize(
    ("fields", "fact", "returned"),
    [
        (UNPAID | {"trade_status": "WAIT_BUYER_PAY"}, Fact.PENDING, None),
        (PAID | {"trade_status": "TRADE_FINISHED"}, Fact.MOVED, None),
        (PARTLY_BACK | {"trade_status": "TRADE_FINISHED"}, Fact.MOVED, 888),
        (PAID | {"refund_fee": "0.00"}, Fact.MOVED, 0),
        (UNPAID | CLOSED, Fact.OVER, None),
        (UNPAID | CLOSED | {"refund_fee": "0.00"}, Fact.OVER, None),
        (PARTLY_BACK | CLOSED | {"refund_fee": "88.88"}, Fact.MOVED, 8888),
        (PAID | CLOSED, Fact.MOVED, 8888),
        (UNPAID | CLOSED | {"gmt_refund": "2026-03-03 11:00:00.512"}, Fact.MOVED, 8888),
        (UNPAID | CLOSED | {"refund_fee": "88.88"}, Fact.MOVED, 8888),
        (PAID | {"trade_status": "TRADE_PENDING"}, Fact.SILENT, None),
    ],
)
def test_the_states_of_a_payment(fields: dict[str, str], fact: Fact, returned: int | None) -> None:
    paid = notice(notified(fields)).evidence[0]
    assert (paid.fact, paid.returned_minor, paid.wrong) == (fact, returned, "")
    assert paid.reason is (Reason.CLOSED if fact is Fact.OVER else Reason.NONE)
    assert paid.minor == (8888 if fact is Fact.MOVED else None)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"app_id": "2021000000000009"}, f"app_id is '2021000000000009', not '{APP_ID}'"),
        ({"app_id": ""}, f"app_id is '', not '{APP_ID}'"),
        ({"seller_id": "2088000000000000"}, f"seller_id is '2088000000000000', not '{SELLER_ID}'"),
        ({"seller_id": ""}, f"seller_id is '', not '{SELLER_ID}'"),
    ],
)
def test_a_payment_of_another_merchant_is_wrong(fields: dict[str, str], wrong: str) -> None:
    found = notice(notified(PARTLY_BACK | fields))
    assert [e.wrong for e in found.evidence] == [wrong, wrong]


@pytest.mark.parametrize(
    ("passed_back", "echo"),
    [("pc%3A7", "pc:7"), ("pc:7", "pc:7"), ("", ""), ("a\n%00b", "ab"), ("%E8%8C%B6", "茶"), ("茶", "茶"), ("%", "%")],
)
def test_the_echo(passed_back: str, echo: str) -> None:
    assert notice(notified(PAID | {"passback_params": passed_back})).echo == echo


# -- the letters of it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("charset", ["utf-8", "gbk", "gb2312", "GBK"])
def test_the_charset_is_the_senders(charset: str) -> None:
    body = notified(PAID | {"charset": charset}, charset=charset)
    assert (b"%E5%92%96" in body) is (charset == "utf-8")
    assert notice(body).evidence[0].fact is Fact.MOVED


def test_a_charset_that_the_signature_does_not_have() -> None:
    fields = PAID | {"charset": "gbk", "sign_type": "RSA2"}
    sign = signature(string_to_sign(fields, charset="gbk"))
    assert why(form({**fields, "sign": sign}, charset="utf-8")) == "the signature does not fit"


@pytest.mark.parametrize(
    "value", ["a b", "a+b", "100%", "a&b=c", '"quoted"', "&quot;", "<b>", " trimmed ", "\r\n", "%2B", "ä茶🍵"]
)
def test_values_are_signed_as_they_are(value: str) -> None:
    assert notice(notified(PAID | {"subject": value})).evidence[0].fact is Fact.MOVED


def test_fields_that_nobody_knows_are_signed_too() -> None:
    assert notice(notified(PAID | {"invented_tomorrow": "x"})).evidence[0].fact is Fact.MOVED
    added = notified(PAID) + b"&invented_tomorrow=x"
    assert why(added) == "the signature does not fit"


def test_order_does_not_matter() -> None:
    pairs = notified(PAID).split(b"&")
    assert notice(b"&".join(reversed(pairs))) == notice(b"&".join(pairs))


def test_what_is_empty_may_be_signed_or_not() -> None:
    fields = PAID | {"body": "", "point_amount": ""}
    assert notice(notified(fields)).evidence[0].fact is Fact.MOVED
    sign = signature(string_to_sign(PAID))
    assert notice(form({**fields, "sign_type": "RSA2", "sign": sign})).evidence[0].fact is Fact.MOVED
    emptied = {**PAID, "total_amount": "", "sign_type": "RSA2", "sign": sign}
    assert why(form(emptied)) == "the signature does not fit"


def test_escapes_in_small_letters_say_the_same() -> None:
    body = notified(PAID)
    small = re.sub(rb"%..", lambda escape: escape[0].lower(), body)
    assert small != body
    assert notice(small) == notice(body)


SIGNED = {**PAID, "sign_type": "RSA2", "sign": signature(string_to_sign(PAID))}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (form(SIGNED | {"sign_type": "RSA"}), "sign_type is 'RSA', not RSA2"),
        (form(SIGNED | {"sign_type": "rsa2"}), "sign_type is 'rsa2', not RSA2"),
        (form(SIGNED | {"sign_type": ""}), "sign_type is '', not RSA2"),
        (form(SIGNED | {"sign_type": "RSA2 "}), "sign_type is 'RSA2 ', not RSA2"),
        (form({k: v for k, v in SIGNED.items() if k != "sign_type"}), "sign_type is '', not RSA2"),
        (form({k: v for k, v in SIGNED.items() if k != "sign"}), "the signature does not fit"),
        (form(SIGNED | {"sign": ""}), "the signature does not fit"),
        (form(SIGNED | {"sign": "QUJD"}), "the signature does not fit"),
        (form(SIGNED | {"sign": "&"}), "sign is not base64"),
        (form(SIGNED | {"sign": "%"}), "sign is not base64"),
        (form(SIGNED | {"sign": "A"}), "sign is not base64"),
        (form(SIGNED | {"sign": SIGNED["sign"] + "\n"}), "sign is not base64"),
        (form(SIGNED | {"sign": SIGNED["sign"].replace("+", " ")}), "sign is not base64"),
        (form(SIGNED | {"sign": SIGNED["sign"][:-2]}), "sign is not base64"),
        (form(SIGNED | {"sign": "签名"}), "unreadable"),
        (form(SIGNED | {"sign_type": "签"}), "unreadable"),
        (form(SIGNED | {"out_trade_no": "PC9"}), "the signature does not fit"),
        (form(SIGNED | {"subject": "咖啡 A+B 100% "}), "the signature does not fit"),
        (form(SIGNED) + b"&sign=" + quote_plus(SIGNED["sign"]).encode(), "'sign' stands twice"),
        (form(SIGNED) + b"&total_amount=88.88", "'total_amount' stands twice"),
        (form(SIGNED) + b"&total%5Famount=88.88", "a name is no plain word"),
        (form(SIGNED) + b"".join(b"&x%d=" % n for n in range(256)), "more than 256 fields"),
        (form(SIGNED) + b"&", "it is no form"),
        (form(SIGNED) + b"&x", "it is no form"),
        (form(SIGNED) + b"&=x", "it is no form"),
        (b"&" + form(SIGNED), "it is no form"),
        (form(SIGNED) + b"&x=%", "a percent sign without two digits"),
        (form(SIGNED) + b"&x=%2", "a percent sign without two digits"),
        (form(SIGNED) + b"&x=%GG", "a percent sign without two digits"),
        (form(SIGNED).replace(b"&", b"&amp;"), "it is no form"),
        (b"", "it is no form"),
        (b"\xff\xfe", "it is no form"),
        (b"{}", "it is no form"),
        (b"<xml/>", "it is no form"),
        (b"a=b", "sign_type is '', not RSA2"),
        (notified(PAID, key=APP_KEY), "the signature does not fit"),
        (notified(PAID, key=TESTED.key), "the signature does not fit"),
    ],
)
def test_a_message_that_is_not_believed(body: bytes, reason: str) -> None:
    assert reason in why(body)


def split(fields: dict[str, str], **pieces: str) -> bytes:
    """A genuine notice whose fields are cut in another way: what is signed of it is the same to the letter."""
    names = sorted(fields)
    text = "&".join(f"{name}={fields[name]}" for name in names)
    cut = {name: value for name, value in fields.items() if name not in pieces} | pieces
    cut = {name: value for name, value in cut.items() if value != "-"}
    assert "&".join(f"{name}={cut[name]}" for name in sorted(cut)) == text
    signed = {**cut, "sign_type": "RSA2", "sign": signature(text.encode())}
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in signed.items()).encode()


def test_a_field_that_swallows_others_is_not_believed() -> None:
    """Somebody who holds a genuine notice would turn "paid, then sent back" into "never paid"."""
    back = PARTLY_BACK | {"trade_status": "TRADE_CLOSED", "refund_fee": "88.88", "gmt_close": "2026-03-02 10:05:12"}
    create, payment, refund = (back[name] for name in ("gmt_create", "gmt_payment", "gmt_refund"))
    swallowing = split(
        back,
        gmt_create=f"{create}&gmt_payment={payment}&gmt_refund={refund}",
        gmt_payment="-",
        gmt_refund="-",
        passback_params=f"{back['passback_params']}&refund_fee={back['refund_fee']}",
        refund_fee="-",
    )
    assert "holds another" in why(swallowing)


def test_a_name_that_swallows_others_is_not_believed() -> None:
    """Another program of the merchant's sold something for one fen, with a subject that holds a field."""
    cheap = PAID | {"subject": "Tea&total_amount=88.88", "total_amount": "0.01"}
    name = f"total_amount=0.01&trade_no={TRADE_NO}&trade_status"
    dear = split(cheap, subject="Tea", total_amount="88.88", trade_no="-", trade_status="-", **{name: "TRADE_SUCCESS"})
    assert "it is no form" in why(dear)
    name = "total_amount=0.01&trade_no"
    dear = split(cheap, subject="Tea", total_amount="88.88", trade_no="-", **{name: TRADE_NO})
    assert "it is no form" in why(dear)


def test_text_for_people_may_hold_what_it_likes() -> None:
    for subject in ("Tom & Jerry", "a=1&b=2", "x&total_amount", "&&=="):
        assert notice(notified(PAID | {"subject": subject})).evidence[0].fact is Fact.MOVED


def test_the_old_algorithm_is_not_believed_under_the_new_name() -> None:
    sign = ALIPAY_KEY.sign(string_to_sign(PAID), PKCS1v15(), hashes.SHA1())
    for sign_type in ("RSA", "RSA2"):
        assert why(form({**PAID, "sign_type": sign_type, "sign": base64.b64encode(sign).decode()}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (without("notify_type"), "neither a payment nor a refund: ''"),
        (PAID | {"notify_type": "dut_user_sign"}, "neither a payment nor a refund: 'dut_user_sign'"),
        (without("out_trade_no"), "out_trade_no is ''"),
        (PAID | {"out_trade_no": "a b"}, "out_trade_no is 'a b'"),
        (PAID | {"out_trade_no": "x" * 65}, "out_trade_no is 'xxx"),
        (PAID | {"out_trade_no": "号"}, "unreadable"),
        (PAID | {"out_trade_no": f"{NO}\n"}, "out_trade_no is"),
        (PAID | {"total_amount": "88,88"}, "no amount in yuan"),
        (PAID | {"total_amount": ""}, "no amount in yuan"),
        (PAID | {"refund_fee": "some"}, "no amount in yuan"),
        (PAID | {"trade_status": "成功"}, "unreadable"),
        (PAID | {"trade_no": "2026\0"}, "trade_no is"),
        (PAID | {"trade_no": "2026 1"}, "trade_no is"),
        (PAID | {"trade_no": "2" * 65}, "trade_no is"),
        (PAID | {"app_id": "应用"}, "unreadable"),
    ],
)
def test_a_signed_message_that_cannot_be_taken(fields: dict[str, str], reason: str) -> None:
    assert reason in why(notified(fields))


def test_a_return_to_the_shop_is_no_notification() -> None:
    """The browser's way back is signed by the same rule and the same key, and proves nothing about money."""
    returned = {
        name: PAID[name]
        for name in ("app_id", "charset", "version", "out_trade_no", "trade_no", "total_amount", "seller_id")
    }
    assert "neither" in why(
        notified({**returned, "method": "alipay.trade.page.pay.return", "timestamp": "2026-03-01 12:31:20"})
    )


# -- which key -------------------------------------------------------------------------------------------------------


def test_certificate_mode() -> None:
    for fields in (PAID, PAID | {"alipay_cert_sn": SERIAL}):
        assert notice(notified(fields), by=CERTIFIED).evidence[0].fact is Fact.MOVED


def test_a_certificate_that_only_a_notification_names_is_not_fetched() -> None:
    """Anybody can send one. The next answer of the vendor's names it too."""
    body = notified(PAID | {"alipay_cert_sn": "ab" * 16}, key=TESTED.key)
    assert "does not hold: 'abab" in why(body, by=CERTIFIED)


def test_a_valid_certificate_of_the_same_authority_is_not_the_vendors() -> None:
    merchants = TESTED.leaf("Another Merchant Ltd")
    trusting = account(CERTIFIED, alipay_root_cert=CERTIFIED.settings["alipay_root_cert"] + ROOT.pem)
    body = notified(PAID | {"alipay_cert_sn": merchants.serial}, key=merchants.key)
    assert why(body, by=trusting)


def test_another_accounts_key_is_not_believed() -> None:
    ours = account(alipay_public_key=public_pem(TESTED.key))
    assert isinstance(heard(notified(PAID, key=TESTED.key), by=ours), Notice)
    assert why(notified(PAID, key=TESTED.key))
    assert why(notified(PAID), by=ours)


def test_no_header_makes_a_forged_message_believed() -> None:
    told = {"host": "localhost", "x-forwarded-for": "127.0.0.1", "user-agent": "Mozilla/4.0", "sign": SIGNED["sign"]}
    found = CHANNEL.read_notification(told, notified(PAID, key=APP_KEY), ACCOUNT, now_ms=NOW_MS)
    assert isinstance(found, Refused)


def test_an_account_that_cannot_work_believes_nothing() -> None:
    assert "alipay_public_key" in why(notified(PAID), by=account(drop=("alipay_public_key",)))


def test_the_answers_to_a_notification() -> None:
    taken, again = CHANNEL.acknowledge(taken=True), CHANNEL.acknowledge(taken=False)
    assert (taken.status, taken.body, taken.content_type) == (200, b"success", "text/plain")
    assert again.status == 503
    assert b"success" not in again.body
