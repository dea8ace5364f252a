"""Two independent readings of the same documents: our channel talks to the sandbox over loopback, and they agree."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from oncepay.channels.unionpay import UnionPay
from oncepay.domain.attempt import Attempt, Call, Direction, Fact, Reason
from oncepay.domain.change import Fault
from oncepay.domain.ids import in_number, out_number, payment_id
from oncepay.ports import Account, Notice, Refused
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.unionpay import keys as unionpay_keys
from tests.channels.talk import Talk
from tests.channels.unionpay_kit import order, refund
from tests.sandbox import alipay_vectors
from tests.sandbox.merchant import Receiver
from tests.sandbox.vectors import vector_keys

PAYMENT = payment_id("installation", "pc", "7")
NO, BACK = in_number(PAYMENT, 0), out_number(PAYMENT, "r-1", 0)


@pytest.fixture(scope="module")
def drawn() -> bytes:
    return msgspec.json.encode(unionpay_keys.new_keys(random.Random(1), time.time()))


@pytest.fixture
async def sandbox(drawn: bytes) -> AsyncIterator[Sandbox]:
    keys = msgspec.json.decode(drawn, type=unionpay_keys.KeyFile)
    alipay = alipay_vectors.vector_keys()
    async with Sandbox(seed=1, keys=vector_keys(), alipay_keys=alipay, unionpay_keys=keys) as sandbox:
        yield sandbox


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def account_of(sandbox: Sandbox, **settings: Any) -> Account:
    """An account as ``sandbox.json`` tells it, with more settings."""
    told = sandbox.config["unionpay"]["account"]
    return Account(id="up-main", channel="unionpay", **(told | {"settings": told["settings"] | settings}))


@pytest.fixture
async def talk(sandbox: Sandbox, receiver: Receiver) -> AsyncIterator[Talk]:
    async with aiohttp.ClientSession() as session:
        yield Talk(sandbox, session, receiver, UnionPay(), account_of(sandbox))


def live(talk: Talk, method: str = "front", no: str = NO) -> Attempt:
    """An attempt by the sandbox's clock."""
    return order(no, method, created_ms=talk.now_ms, expires_ms=talk.now_ms + 900_000)


async def started(talk: Talk, method: str, no: str = NO) -> tuple[Attempt, dict[str, Any]]:
    """An attempt and what the payer pays with."""
    attempt = live(talk, method, no)
    if method == "front":
        made = talk.channel.credential(attempt, talk.account, body=talk.body(attempt))
    else:
        found = await talk.read(Call.PREPAY, attempt)
        assert [(e.fact, e.wrong) for e in found.evidence] == [(Fact.PENDING, "")]
        assert found.credential is not None
        made = found.credential
    assert made.until_ms == attempt.expires_ms
    credential = json.loads(made.body)
    assert credential.pop("type") == {"front": "form", "qr": "qr", "app": "tn"}[method]
    return attempt, {"form": credential} if method == "front" else credential


async def paid(talk: Talk, method: str = "front") -> Attempt:
    attempt, credential = await started(talk, method)
    talk.sandbox.pay_for(credential)
    await talk.sandbox.settle()
    talk.sandbox.advance(1)
    moved = await talk.ask(Call.QUERY, attempt)
    talk.paying = msgspec.structs.replace(attempt, trade_no=moved.trade_no, moved_ms=moved.channel_ms)
    return attempt


@pytest.mark.parametrize("method", ["front", "qr", "app"])
async def test_a_payment_from_start_to_paid(talk: Talk, method: str) -> None:
    attempt, credential = await started(talk, method)
    first = await talk.ask(Call.QUERY, attempt)
    assert first.fact is (Fact.ABSENT if method == "front" else Fact.PENDING)
    done = talk.sandbox.pay_for(credential)
    await talk.sandbox.settle()
    talk.sandbox.advance(2)
    moved = await talk.ask(Call.QUERY, attempt)
    assert (moved.fact, moved.minor, moved.currency) == (Fact.MOVED, 8888, "CNY")
    assert moved.trade_no == done["transaction_id"]
    assert abs(moved.channel_ms - talk.now_ms) < 60_000
    notice = talk.heard(0)
    assert isinstance(notice, Notice)
    assert (notice.numbers, notice.echo) == ((NO,), "pc:7")
    (told,) = notice.evidence
    same = ("number", "fact", "minor", "currency", "trade_no", "channel_ms", "channel_day", "wrong")
    assert {name: getattr(told, name) for name in same} == {name: getattr(moved, name) for name in same}


async def test_the_same_again_is_known_and_brings_no_code(talk: Talk) -> None:
    attempt, _ = await started(talk, "qr")
    again = await talk.read(Call.PREPAY, attempt)
    assert [(e.fact, e.words[:2]) for e in again.evidence] == [(Fact.PENDING, "12")]
    assert again.credential is None


async def test_a_form_is_the_same_whenever_it_is_made(talk: Talk) -> None:
    attempt, credential = await started(talk, "front")
    talk.sandbox.advance(60)
    later = talk.channel.credential(attempt, talk.account, body=talk.body(attempt))
    assert json.loads(later.body)["fields"] == credential["form"]["fields"]


async def test_a_declined_card_is_no_end(talk: Talk) -> None:
    attempt, credential = await started(talk, "front")
    talk.sandbox.pay_for(credential | {"fail": "61"})
    declined = await talk.ask(Call.QUERY, attempt)
    assert (declined.fact, declined.words[:2]) == (Fact.PENDING, "61")
    assert talk.receiver.got == []
    talk.sandbox.pay_for(credential)
    talk.sandbox.advance(2)
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.MOVED


async def test_paid_in_time_by_unionpays_clock(talk: Talk) -> None:
    """Ours is ahead, and the first card was declined: it was called over, and the money that then came went back."""
    attempt, credential = await started(talk, "front")
    talk.sandbox.pay_for(credential | {"fail": "61"})
    talk.sandbox.advance(800)
    ahead = msgspec.structs.replace(attempt, expires_ms=attempt.expires_ms - 240_000)
    assert (await talk.ask(Call.QUERY, ahead)).fact is Fact.PENDING
    talk.sandbox.pay_for(credential)
    talk.sandbox.advance(2)
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.MOVED


@pytest.mark.parametrize("shows", ["69", "34", "05"])
async def test_what_nobody_paid_in_time(talk: Talk, shows: Any) -> None:
    talk.sandbox.switches.unionpay.expired_shows = shows
    attempt, _ = await started(talk, "qr")
    talk.sandbox.advance(1200)
    found = await talk.ask(Call.QUERY, attempt)
    expected = {"69": (Fact.OVER, Reason.EXPIRED), "34": (Fact.ABSENT, Reason.NONE), "05": (Fact.PENDING, Reason.NONE)}
    assert (found.fact, found.reason) == expected[shows]


async def test_an_internet_bank_that_came_late(talk: Talk) -> None:
    """Debited after payTimeout: not paid; UnionPay sends it back by itself, and a person is told to see that it does."""
    attempt, credential = await started(talk, "qr")
    talk.sandbox.faults.replace({"once": [{"fault": "late_bank"}]})
    talk.sandbox.advance(901)
    talk.sandbox.pay_for(credential)
    await talk.sandbox.settle()
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.PENDING
    talk.sandbox.advance(300)
    found = await talk.ask(Call.QUERY, attempt)
    assert (found.fact, found.reason, found.attention) == (Fact.OVER, Reason.EXPIRED, "debited_late")
    assert talk.receiver.got == []


async def test_a_number_with_another_time_is_not_found(talk: Talk) -> None:
    attempt = await paid(talk)
    talk.sandbox.advance(2)
    other = msgspec.structs.replace(attempt, created_ms=attempt.created_ms + 1000)
    assert (await talk.ask(Call.QUERY, other)).fact is Fact.ABSENT


async def test_asked_too_often(talk: Talk) -> None:
    attempt, _ = await started(talk, "qr")
    assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.PENDING
    found = await talk.ask(Call.QUERY, attempt)
    assert (found.fact, found.fault) == (Fact.SILENT, Fault.MOMENT)


# -- refunds and voids -----------------------------------------------------------------------------------------------


def back(talk: Talk, minor: int = 888, no: str = BACK) -> Attempt:
    return refund(no, NO, minor, created_ms=talk.now_ms)


@pytest.mark.parametrize("method", ["front", "qr", "app"])
@pytest.mark.parametrize("failing", ["", "01", "36"])
async def test_a_refund(talk: Talk, method: str, failing: str) -> None:
    await paid(talk, method)
    attempt = back(talk)
    assert (await talk.ask(Call.QUERY_REFUND, attempt)).fact is Fact.ABSENT
    if failing:
        talk.sandbox.faults.replace({"once": [{"fault": "refund_closed", "how": failing}]})
    accepted = await talk.ask(Call.REFUND, attempt)
    assert (accepted.fact, accepted.minor, accepted.words) == (Fact.PENDING, 888, "")
    again = await talk.ask(Call.REFUND, attempt)
    assert (again.fact, again.words[:2]) == (Fact.PENDING, "12")
    talk.sandbox.advance(10)
    await talk.sandbox.settle()
    ended = await talk.ask(Call.QUERY_REFUND, attempt)
    reasons = {"01": Reason.CLOSED, "36": Reason.REFUSED}
    assert (ended.fact, ended.reason) == ((Fact.OVER, reasons[failing]) if failing else (Fact.MOVED, Reason.NONE))
    notice = talk.heard(1)
    assert isinstance(notice, Notice)
    assert (notice.numbers, notice.echo) == ((NO, BACK), "pc:7")
    (told,) = notice.evidence
    assert (told.number, told.of, told.direction) == (BACK, NO, Direction.OUT)
    same = ("fact", "reason", "minor", "currency", "trade_no", "channel_ms")
    assert {name: getattr(told, name) for name in same} == {name: getattr(ended, name) for name in same}


async def test_a_refund_without_money_is_tried_again_later(talk: Talk) -> None:
    await paid(talk)
    attempt = back(talk)
    talk.sandbox.faults.replace({"once": [{"fault": "not_enough"}]})
    found = await talk.ask(Call.REFUND, attempt)
    assert (found.fact, found.fault) == (Fact.SILENT, Fault.BALANCE)
    assert (await talk.ask(Call.QUERY_REFUND, attempt)).fact is Fact.ABSENT
    assert (await talk.ask(Call.REFUND, attempt)).fact is Fact.PENDING


async def test_what_somebody_gave_back_in_the_console(talk: Talk) -> None:
    await paid(talk)
    talk.sandbox.refund(NO, 8888)
    found = await talk.ask(Call.REFUND, back(talk))
    assert (found.fact, found.attention) == (Fact.PENDING, "outside_refund")


async def test_more_than_is_left_is_refused(talk: Talk) -> None:
    await paid(talk)
    talk.sandbox.refund(NO, 8001)
    found = await talk.ask(Call.REFUND, back(talk))
    assert (found.fact, found.reason, found.words[:2]) == (Fact.OVER, Reason.REFUSED, "36")


async def test_a_void_and_what_follows_one_that_is_not_taken(talk: Talk) -> None:
    talk.account = account_of(talk.sandbox, void_same_day=True)
    await paid(talk)
    attempt = back(talk, 8888)
    body = json.loads(talk.body(attempt))
    voids = body["txnType"] == "31"  # not in the last minutes of a settlement day
    assert (await talk.ask(Call.REFUND, attempt)).fact is Fact.PENDING
    talk.sandbox.advance(10)
    await talk.sandbox.settle()
    ended = await talk.ask(Call.QUERY_REFUND, attempt)
    assert (ended.fact, ended.minor) == (Fact.MOVED, 8888)
    assert talk.sandbox.books(NO)[0].state == ("VOIDED" if voids else "REFUND")


async def test_a_void_after_the_cut_leaves_room_for_a_refund(talk: Talk) -> None:
    await paid(talk)
    attempt = back(talk, 8888)
    late = json.loads(talk.body(attempt)) | {"txnType": "31"}
    talk.bodies[attempt.no] = msgspec.json.encode(late)
    talk.sandbox.switches.unionpay.txn_time_window_s = 3 * 86_400
    talk.sandbox.advance(86_400)
    found = await talk.ask(Call.REFUND, attempt)
    assert (found.fact, found.reason, found.words[:2]) == (Fact.OVER, Reason.CLOSED, "35")
    second = back(talk, 8888, out_number(PAYMENT, "r-1", 1))
    assert (await talk.ask(Call.REFUND, second)).fact is Fact.PENDING


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "fact", "fault"),
    [
        ({"fault": "drop_after"}, Fact.SILENT, Fault.NONE),
        ({"fault": "http_500_after"}, Fact.SILENT, Fault.NONE),
        ({"fault": "http_502_after"}, Fact.SILENT, Fault.NONE),
        ({"fault": "http_429_after"}, Fact.SILENT, Fault.MOMENT),
        ({"fault": "system_error_after"}, Fact.SILENT, Fault.MOMENT),
        ({"fault": "answer_03_after"}, Fact.SILENT, Fault.NONE),
        ({"fault": "answer_04_after"}, Fact.SILENT, Fault.NONE),
        ({"fault": "answer_05_after"}, Fact.SILENT, Fault.NONE),
        ({"fault": "garbage"}, Fact.SILENT, Fault.NONE),
        ({"fault": "truncated"}, Fact.SILENT, Fault.NONE),
        ({"fault": "forged_200"}, Fact.SILENT, Fault.NONE),
        ({"fault": "forged_200", "how": "other"}, Fact.SILENT, Fault.NONE),
        ({"fault": "cert_lf"}, Fact.SILENT, Fault.NONE),
        ({"fault": "cert_expired"}, Fact.SILENT, Fault.NONE),
        ({"fault": "cert_foreign"}, Fact.SILENT, Fault.NONE),
        ({"fault": "cert_stranger"}, Fact.SILENT, Fault.NONE),
        ({"fault": "refused_401"}, Fact.SILENT, Fault.ACCOUNT),
        ({"fault": "refused_403"}, Fact.SILENT, Fault.ACCOUNT),
        ({"fault": "http_429"}, Fact.SILENT, Fault.MOMENT),
    ],
)
async def test_whatever_goes_wrong_is_no_refusal(talk: Talk, rule: dict[str, Any], fact: Fact, fault: Fault) -> None:
    """A refund whose answer is not understood: the same number again, or a question, tells; and it goes out once."""
    await paid(talk)
    attempt = back(talk)
    talk.sandbox.faults.replace({"once": [{"call": "refund", **rule}]})
    found = await talk.ask(Call.REFUND, attempt)
    assert (found.fact, found.fault) == (fact, fault)
    assert (await talk.ask(Call.REFUND, attempt)).fact is Fact.PENDING
    talk.sandbox.advance(10)
    assert (await talk.ask(Call.QUERY_REFUND, attempt)).fact is Fact.MOVED
    assert [row.amount for row in talk.sandbox.books(NO)[0].refunds] == [888]


@pytest.mark.parametrize("fault", ["cert_sha1", "cert_rotate"])
async def test_other_certificates_of_unionpays_are_believed(talk: Talk, fault: str) -> None:
    attempt, _ = await started(talk, "qr")
    talk.sandbox.faults.replace({"once": [{"fault": fault}]})
    for _ in range(2):
        assert (await talk.ask(Call.QUERY, attempt)).fact is Fact.PENDING
        talk.sandbox.advance(2)


@pytest.mark.parametrize("fault", ["cert_foreign", "cert_stranger", "cert_expired", "cert_lf", "notify_forged"])
async def test_notifications_that_are_not_believed(talk: Talk, fault: str) -> None:
    talk.receiver.status = 503
    _, credential = await started(talk, "front")
    talk.sandbox.faults.replace({"once": [{"fault": fault, "call": "notify"}]})
    talk.sandbox.pay_for(credential)
    await talk.sandbox.settle()
    assert isinstance(talk.heard(0), Refused)
    talk.sandbox.advance(60)
    await talk.sandbox.settle()
    assert isinstance(talk.heard(1), Notice)


async def test_the_pfx_of_the_sandbox_works_too(talk: Talk) -> None:
    block = talk.sandbox.config["unionpay"]
    given = {name: block[name] for name in ("merchant_p12_base64", "merchant_p12_password")}
    settings = {n: v for n, v in talk.account.settings.items() if n != "merchant_certificate_pem"}
    talk.account = msgspec.structs.replace(talk.account, settings=settings, secrets=given)
    talk.channel.check_account(talk.account)
    await started(talk, "qr")
