"""What Alipay's refusals mean, as tables of bytes: silence is never refusal, a refusal is of a call, not of money."""

from __future__ import annotations

import msgspec
import pytest

from oncepay.channels.alipay.codes import CODES, FAMILIES, SUB_CODES, last_part
from oncepay.domain.attempt import Call, Direction, Fact, Road
from oncepay.domain.change import Fault
from oncepay.ports import Answer, NotSent, Unknown
from tests.channels.alipay_kit import (
    NO,
    OUT,
    REFUND_NO,
    TRADE,
    answered,
    evidence,
    failed,
    order,
    raw,
    read,
    refund,
    unsigned,
)
from tests.channels.kit import ABSENT, ACCOUNT_, ASK, BALANCE, MOMENT, REFUSED, said

CALLS = (Call.PREPAY, Call.QUERY, Call.CLOSE, Call.CANCEL, Call.REFUND, Call.QUERY_REFUND)

# -- refusals --------------------------------------------------------------------------------------------------------

NOTHING = (ASK,) * 6
ACCOUNTS = (ACCOUNT_,) * 6
LATER = (MOMENT,) * 6
PAY = (REFUSED, ASK, ASK, ASK, ASK, ASK)
BACK = (ASK, ASK, ASK, ASK, REFUSED, ASK)
BOTH = (REFUSED, ASK, ASK, ASK, REFUSED, ASK)
SUB_CODE_ROWS = [
    # sub code as it comes, then: prepay, query, close, cancel, refund, query of the refund
    ("ACQ.SYSTEM_ERROR", NOTHING),
    ("AQC.SYSTEM_ERROR", NOTHING),
    ("aop.ACQ.SYSTEM_ERROR", NOTHING),
    ("SYSTEM_ERROR", NOTHING),
    ("isp.unknow-error", NOTHING),
    ("ACQ.INVALID_PARAMETER", BOTH),
    ("aop.ACQ.INVALID_PARAMETER", BOTH),
    ("INVALID_PARAMETER", BOTH),
    ("ACQ.PARTNER_ERROR", ACCOUNTS),
    ("ACQ.ACCESS_FORBIDDEN", ACCOUNTS),
    ("ACQ.INVALID_RECEIVE_ACCOUNT", ACCOUNTS),
    ("ACQ.MERCHANT_STATUS_NOT_NORMAL", ACCOUNTS),
    ("ACQ.SUB_MERCHANT_TYPE_INVALID", ACCOUNTS),
    ("ACQ.SUB_MERCHANT_CREATE_FAIL", ACCOUNTS),
    ("ACQ.TRADE_NOT_EXIST", (ASK, ABSENT, ABSENT, ABSENT, REFUSED, ABSENT)),
    ("ACQ.TRADE_HAS_SUCCESS", NOTHING),
    ("ACQ.TRADE_HAS_CLOSE", NOTHING),
    ("ACQ.CONTEXT_INCONSISTENT", NOTHING),
    ("ACQ.TRADE_STATUS_ERROR", BACK),
    ("ACQ.REASON_TRADE_STATUS_INVALID", BACK),
    ("ACQ.REASON_ILLEGAL_STATUS", BACK),
    ("ACQ.TRADE_HAS_FINISHED", BACK),
    ("ACQ.TRADE_NOT_ALLOW_REFUND", BACK),
    ("ACQ.NOT_ALLOW_PARTIAL_REFUND", BACK),
    ("ACQ.ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND", BACK),
    ("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", BACK),
    ("ACQ.REASON_TRADE_REFUND_FEE_ERR", BACK),
    ("ACQ.REFUND_FEE_ERROR", BACK),
    ("ACQ.DISCORDANT_REPEAT_REQUEST", NOTHING),
    ("ACQ.SELLER_BALANCE_NOT_ENOUGH", (ASK, ASK, ASK, ASK, BALANCE, ASK)),
    ("ACQ.REFUND_CHARGE_ERROR", (ASK, ASK, ASK, ASK, MOMENT, ASK)),
    ("ACQ.REASON_TRADE_BEEN_FREEZEN", BACK),
    ("ACQ.BUYER_ERROR", BACK),
    ("ACQ.BUYER_NOT_EXIST", BACK),
    ("ACQ.REFUND_ACCOUNT_NOT_EXIST", BACK),
    ("ACQ.CUSTOMER_VALIDATE_ERROR", BACK),
    ("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", BACK),
    ("ACQ.REFUNDALLOC_UNAUTH_LIMIT", BACK),
    ("ACQ.ENTERPRISE_PAY_BIZ_ERROR", BACK),
    ("ACQ.TRADE_CANCEL_TIME_OUT", NOTHING),
    ("ACQ.CANCEL_NOT_ALLOWED", NOTHING),
    ("ACQ.BUYER_SELLER_EQUAL", PAY),
    ("ACQ.TRADE_BUYER_NOT_MATCH", PAY),
    ("ACQ.BUYER_BALANCE_NOT_ENOUGH", PAY),
    ("ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH", PAY),
    ("ACQ.PAYMENT_AUTH_CODE_INVALID", PAY),
    ("ACQ.BEYOND_PAY_RESTRICTION", PAY),
    ("ACQ.BEYOND_PER_RECEIPT_SINGLE_RESTRICTION", PAY),
    ("ACQ.BEYOND_PER_RECEIPT_DAY_RESTRICTION", PAY),
    ("ACQ.TOTAL_FEE_EXCEED", PAY),
    ("ACQ.PAYMENT_REQUEST_HAS_RISK", PAY),
    ("ACQ.RISK_MERCHANT_IP_NOT_EXIST", PAY),
    ("ACQ.EXIST_FORBIDDEN_WORD", PAY),
    ("ACQ.PAYMENT_FAIL", NOTHING),
    ("ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR", PAY),
    ("ACQ.APPLY_PC_MERCHANT_CODE_ERROR", PAY),
    ("ACQ.SUB_GOODS_SIZE_MAX_COUNT", PAY),
    ("ACQ.INVENTED_TOMORROW", NOTHING),
    ("", NOTHING),
    ("isv.invalid-parameter", BOTH),
    ("isv.illegal-json", BOTH),
    ("isv.suspected-attack", BOTH),
]
CODE_ROWS = [
    ("10003", "", NOTHING),
    ("20000", "isp.unknow-error", NOTHING),
    ("20000", "aop.unknow-error", NOTHING),
    ("20000", "ACQ.TRADE_NOT_EXIST", NOTHING),
    ("20001", "aop.invalid-auth-token", ACCOUNTS),
    ("20001", "aop.auth-token-time-out", ACCOUNTS),
    ("20001", "aop.invalid-app-auth-token", ACCOUNTS),
    ("20001", "aop.app-auth-token-time-out", ACCOUNTS),
    ("40001", "isv.missing-method", ACCOUNTS),
    ("40001", "isv.missing-app-cert-sn", ACCOUNTS),
    ("40001", "isv.missing-alipay-root-cert-sn", ACCOUNTS),
    ("40001", "isv.invalid-parameter", ACCOUNTS),
    ("40002", "isv.invalid-signature", ACCOUNTS),
    ("40002", "isv.invalid-app-id", ACCOUNTS),
    ("40002", "isv.invalid-timestamp", ACCOUNTS),
    ("40002", "isv.invalid-app-cert-sn", ACCOUNTS),
    ("40002", "isv.app-cert-expired", ACCOUNTS),
    ("40002", "", ACCOUNTS),
    ("40002", "isv.invalid-parameter", BOTH),
    ("40002", "isv.illegal-json", BOTH),
    ("40002", "isv.suspected-attack", BOTH),
    ("40003", "isv.missing-signature-config", ACCOUNTS),
    ("40003", "isv.invalid-app-state", ACCOUNTS),
    ("40005", "isv.app-call-limited", LATER),
    ("40005", "isv.method-call-limited", LATER),
    ("40006", "isv.insufficient-isv-permissions", ACCOUNTS),
    ("40006", "isv.insufficient-user-permissions", ACCOUNTS),
    ("40006", "isv.app-api-punished", ACCOUNTS),
    ("40404", "ACQ.TRADE_NOT_EXIST", NOTHING),
    ("99999", "", NOTHING),
    ("", "ACQ.TRADE_NOT_EXIST", NOTHING),
]


@pytest.mark.parametrize(("code", "sub_code", "expected"), [*(("40004", *row) for row in SUB_CODE_ROWS), *CODE_ROWS])
def test_a_signed_refusal(code: str, sub_code: str, expected: tuple[str, ...]) -> None:
    found = {call: evidence(call, failed(call, sub_code, code=code)) for call in CALLS}
    assert tuple(said(found[call]) for call in CALLS) == expected
    for call in CALLS:
        assert found[call].words == f"{sub_code or code} 为什么".strip()
        assert found[call].wrong == ""
        assert found[call].direction is (Direction.OUT if call in OUT else Direction.IN)
        assert found[call].number == (REFUND_NO if call in OUT else NO)
        assert found[call].of == (NO if call in OUT else "")
        assert found[call].road is (Road.QUERY if call in {Call.QUERY, Call.QUERY_REFUND} else Road.REPLY)
        assert (found[call].minor, found[call].said_ms) == (None, 0)


@pytest.mark.parametrize(
    ("code", "sub_code", "first", "insisted"),
    [
        ("40004", "ACQ.INVENTED_TOMORROW", ASK, REFUSED),
        ("40004", "ACQ.TRADE_HAS_CLOSE", ASK, REFUSED),
        ("40004", "", ASK, REFUSED),
        ("40004", "ACQ.SYSTEM_ERROR", ASK, ASK),
        ("40004", "aop.AQC.SYSTEM_ERROR", ASK, ASK),
        ("20000", "isp.unknow-error", ASK, ASK),
        ("99999", "ACQ.INVENTED_TOMORROW", ASK, ASK),
        ("40004", "ACQ.REFUND_CHARGE_ERROR", MOMENT, MOMENT),
        ("40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH", BALANCE, BALANCE),
        ("40006", "isv.app-api-punished", ACCOUNT_, ACCOUNT_),
    ],
)
def test_a_refund_that_is_refused_again_and_again(code: str, sub_code: str, first: str, insisted: str) -> None:
    """The sixth time it counts as refused; what then becomes of its number, its query decides."""
    answer = failed(Call.REFUND, sub_code, code=code)
    tries = [msgspec.structs.replace(refund(), calls=n) for n in (1, 5, 6, 50)]
    assert [said(evidence(Call.REFUND, answer, attempt)) for attempt in tries] == [first, first, insisted, insisted]
    answer, attempt = failed(Call.PREPAY, sub_code, code=code), msgspec.structs.replace(order(), calls=6)
    assert said(evidence(Call.PREPAY, answer, attempt)) == said(evidence(Call.PREPAY, answer))


def test_every_code_that_we_know_is_tried() -> None:
    tried = {last_part(sub_code) for sub_code, _ in SUB_CODE_ROWS}
    assert set(SUB_CODES) <= tried
    assert all(any(part.startswith(head) for part in tried) for head in FAMILIES)
    assert set(CODES) <= {code for code, *_ in CODE_ROWS} | {"40004"}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("sub_code", ["ACQ.TRADE_NOT_EXIST", "ACQ.INVALID_PARAMETER", "ACQ.SYSTEM_ERROR"])
def test_a_refusal_of_another_trade_is_wrong(call: Call, sub_code: str) -> None:
    found = evidence(call, failed(call, sub_code, out_trade_no="PC9"))
    assert found.wrong == ("" if found.fact is Fact.SILENT else f"out_trade_no is 'PC9', not '{NO}'")
    assert evidence(call, failed(call, sub_code, out_trade_no=NO)).wrong == ""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("code", "sub_code", "fault"),
    [
        ("40002", "isv.invalid-app-id", Fault.ACCOUNT),
        ("40002", "isv.invalid-signature", Fault.ACCOUNT),
        ("40002", "isv.invalid-timestamp", Fault.ACCOUNT),
        ("40002", "", Fault.ACCOUNT),
        ("40002", "isv.invalid-parameter", Fault.NONE),  # of what one request holds: the account's others go on
        ("40002", "isv.illegal-json", Fault.NONE),
        ("40002", "isv.suspected-attack", Fault.NONE),
        ("40001", "isv.missing-method", Fault.ACCOUNT),
        ("40003", "isv.invalid-app-state", Fault.ACCOUNT),
        ("40006", "isv.insufficient-isv-permissions", Fault.ACCOUNT),
        ("20001", "aop.invalid-app-auth-token", Fault.ACCOUNT),
        ("40005", "isv.app-call-limited", Fault.MOMENT),
        ("20000", "isp.unknow-error", Fault.NONE),
        ("40004", "ACQ.TRADE_NOT_EXIST", Fault.NONE),
        ("40004", "ACQ.INVALID_PARAMETER", Fault.NONE),
        ("40004", "ACQ.TRADE_HAS_CLOSE", Fault.NONE),
        ("10000", "", Fault.NONE),
    ],
)
@pytest.mark.parametrize("tail", [b"", b',"sign":""', b',"sign":null', b',"sign":17'])
def test_an_unsigned_refusal_is_never_about_money(
    call: Call, code: str, sub_code: str, fault: Fault, tail: bytes
) -> None:
    content = {"code": code, "msg": "m", "sub_code": sub_code, "out_trade_no": NO} | TRADE
    for root in ("", "error_response"):
        told = read(call, unsigned(call, content, root=root, tail=tail))
        (found,) = told.evidence
        assert (found.fact, found.fault, found.wrong) == (Fact.SILENT, fault, "")
        assert (told.credential, told.refresh) == (None, False)
        assert found.words


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        NotSent(why="connection refused"),
        Unknown(why="timed out"),
        raw(b""),
        raw(b"<html>"),
        raw(b"[]"),
        raw(b"{}"),
        raw(b"null"),
        raw(b"\xff\xfe"),
        raw(b'{"sign":"QUJD"}'),
        raw(b'{"x":' + b"[" * 200_000),
        raw(b'{"error_response":"text"}'),
        raw(b'{"error_response":{},"sign":""}'),
        raw(b'{"error_response":{"code":10000},"sign":""}'),
        raw(b'{"error_response":{"code":"10000"},"sign":""}'),
        raw(b'{"error_response":{"code":"40002"},"error_response":{"code":"40002"}}'),
        raw(b'{"error_response":{"code":"40002","code":"40002"}}'),
        raw(b'{"error_response":{"code":"40002"}}', status=500),
        raw(b'{"error_response":{"code":"40002"}}', status=302),
        raw(b'{"error_response":{"code":"40002"}}', status=404),
        raw(b'{"error_response":{"code":"40002"}} '.replace(b"}} ", b"}}x")),
        raw('{"error_response":{"code":"40002","sub_msg":"无效"}}'.encode("gbk")),
    ],
)
def test_silence(call: Call, answer: Answer) -> None:
    told = read(call, answer)
    assert [(e.fact, e.fault, e.wrong) for e in told.evidence] == [(Fact.SILENT, Fault.NONE, "")]
    assert (told.credential, told.refresh) == (None, False)
    assert told.evidence[0].words


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"code":10000}',
        b'{"code":null}',
        b'{"code":"10000","out_trade_no":17,"qr_code":17,"trade_status":17,"action":17,"refund_status":17,"fund_change":17}',
        b'{"code":"10000","code":"10000"}',
        b'{"code":"40004","sub_code":17}',
        b'{"code":"40004","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
)
def test_what_is_signed_and_unreadable_is_silent(call: Call, content: bytes) -> None:
    told = read(call, answered(call, content))
    assert [(e.fact, e.fault, e.wrong) for e in told.evidence] == [(Fact.SILENT, Fault.NONE, "")]
    assert (told.credential, told.refresh) == (None, False)


def test_words_are_cleaned_and_cut() -> None:
    found = evidence(Call.QUERY, failed(Call.QUERY, "A\0B" + "长" * 500))
    assert found.words == "AB" + "长" * 198
