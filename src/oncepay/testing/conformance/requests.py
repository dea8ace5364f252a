"""What a channel says: accounts and wishes that are refused in time, first bodies, credentials, signed requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from oncepay.domain.attempt import Call, Fact
from oncepay.domain.capabilities import DAY, MIN
from oncepay.domain.change import Credential
from oncepay.domain.errors import Invalid, OncepayError
from oncepay.domain.money import decimal_text
from oncepay.outbound import RequestInvalid
from oncepay.outbound.message import compose
from oncepay.ports import Account, Answered, Request
from oncepay.testing.conformance import hostile
from oncepay.testing.conformance.kit import About
from oncepay.testing.conformance.story import PAYING_CALLS, PAYMENT_ID
from oncepay.testing.conformance.subject import NONCE, Subject

SUBJECTS: Final = (
    "茶" * 127,
    "a'b\"c\\d",
    "a&b=c%20+d",
    "<b>&amp;",
    "tea\U0001f375",
    "line\r\nline",
    "\u2028",
    "𝕋" * 127,
)
OPTIONS: Final[tuple[Mapping[str, Any], ...]] = (
    {"no-such-channel": {}},
    {"no-such-channel": None},
    {"": []},
)
# A number that is adopted from a message begins with the payment's id; what follows may be anything.
ODD_SUFFIXES: Final = ("/../x?y=1#z", "&a=b%20", " \r\nx: y", "é\u2028")
SHAPES: Final[tuple[Any, ...]] = (None, [], "text", 1, {"no_such_option": 1}, {"": None}, [[[]]])


def bad_accounts_are_refused(subject: Subject) -> None:
    """An account that cannot work is refused, and believes nothing."""
    account = subject.kit.account
    for good in (account, *subject.kit.others):
        refusal = subject.refusable(f"account {good.id}", subject.channel.check_account, good)
        if isinstance(refusal, OncepayError):
            subject.complain(f"account {good.id}", f"the kit's own is refused: {refusal.detail}")
    for what, broken in _broken(account):
        refusal = subject.refusable(what, subject.channel.check_account, broken)
        subject.require(isinstance(refusal, Invalid), what, "check_account must raise Invalid")
    for name in account.secrets:
        for text in hostile.TEXTS:
            odd = msgspec.structs.replace(
                account, secrets={**account.secrets, name: text}, revision=account.revision + 1
            )
            subject.refusable(f"secrets.{name}={text[:20]!r}", subject.channel.check_account, odd)


def _broken(account: Account) -> Iterator[tuple[str, Account]]:
    """Accounts that cannot work."""
    base = {"revision": account.revision + 1}
    yield "no identity", msgspec.structs.replace(account, identity={}, **base)
    if account.secrets:
        yield "no secrets", msgspec.structs.replace(account, secrets={}, **base)
    for name in account.secrets:
        less = {other: value for other, value in account.secrets.items() if other != name}
        yield f"no secrets.{name}", msgspec.structs.replace(account, secrets=less, **base)


def wishes_are_checked(subject: Subject) -> None:
    """What a method cannot take is refused, before anything is stored."""
    check, payers = subject.channel.check_start, subject.kit.payers
    for name in subject.capabilities.methods:
        payer = payers.get(name, {})
        refusal = subject.refusable(name, check, name, payer, {})
        if isinstance(refusal, OncepayError):
            subject.complain(name, f"the kit's own payer is refused: {refusal.detail}")
        refused: list[tuple[str, Mapping[str, str], Mapping[str, Any]]] = [
            (f"payer {sorted(payer)} and a field more", {**payer, "no_such_field": "x"}, {}),
            *((f"options {options}", payer, options) for options in OPTIONS),
        ]
        for told, odd_payer, options in refused:
            refusal = subject.refusable(f"{name}, {told}", check, name, odd_payer, options)
            subject.require(isinstance(refusal, Invalid), f"{name}, {told}", "check_start must raise Invalid")
        for shape in SHAPES:
            told = f"{name}, options.{subject.channel.name}={shape!r}"
            subject.refusable(told, check, name, payer, {subject.channel.name: shape})
        for field in payer:
            for text in hostile.TEXTS:
                told = f"{name}, payer.{field}={text[:20]!r}"
                subject.refusable(told, check, name, {**payer, field: text}, {})
    refusal = subject.refusable("no-such-method", check, "no-such-method", {}, {})
    subject.require(isinstance(refusal, Invalid), "no-such-method", "check_start must raise Invalid")


def drafts_are_made_of_their_parts(subject: Subject) -> None:
    """A first body is made of the draft and the account alone: the same parts, the same bytes."""
    for about in _drafted(subject):
        where = f"first body of {about.attempt.method or 'a refund'}"
        payer = subject.kit.payers.get(about.attempt.method, {}) if about.attempt.incoming else {}
        draft = subject.story.draft(about, payer=payer)
        body = subject.made(bytes, where, None, subject.draft, draft)
        if not subject.require(body, where, "it is empty"):
            continue
        for maker in (subject.channel, subject.twin):
            again = subject.made(bytes, where, None, subject.draft, draft, maker)
            subject.require(again == body, where, "the same draft made another body", again)
        for text in SUBJECTS:
            odd = msgspec.structs.replace(draft, subject=text, note=text if about.paying else "")
            subject.refusable(f"{where}, {text[:20]!r}", subject.draft, odd)
        for currency in sorted(subject.capabilities.currencies):
            priced = msgspec.structs.replace(about.attempt, currency=currency)
            odd = msgspec.structs.replace(draft, attempt=priced)
            subject.made(bytes, f"{where} in {currency}", None, subject.draft, odd)
        for minor in (1, 2**53 - 1):
            priced = msgspec.structs.replace(about.attempt, minor=minor)
            odd = msgspec.structs.replace(draft, attempt=priced)
            subject.refusable(f"{where} of {minor}", subject.draft, odd)


def _drafted(subject: Subject) -> Iterator[About]:
    for method in subject.capabilities.methods:
        yield subject.story.about(Call.PREPAY, Fact.PENDING, method)
    yield subject.story.about(Call.REFUND, Fact.PENDING, subject.method)


def credentials_without_a_call(subject: Subject) -> None:
    """A credential that is made without a call is the same whenever it is made; others are not made at all."""
    for name, method in subject.capabilities.methods.items():
        about = subject.story.about(Call.PREPAY, Fact.PENDING, name, out=False)
        body = subject.made(bytes, name, None, subject.first_body, about)
        if body is None:
            continue
        given = (about.attempt, subject.kit.account)
        if method.made_by_call:
            refusal = subject.refusable(name, subject.channel.credential, *given, body=body)
            subject.require(isinstance(refusal, OncepayError), name, "a call makes it: credential must refuse")
            continue
        makers = (subject.channel, subject.channel, subject.twin)
        first, *again = (subject.made(Credential, name, None, maker.credential, *given, body=body) for maker in makers)
        if first is not None:
            subject.require([first, first] == again, name, "made again, it is another one")
            check_credential(subject, name, name, first)


def check_credential(subject: Subject, where: object, method: str, credential: Credential) -> None:
    """A credential is a JSON object that says of which kind it is, and works for a while."""
    raw = credential.body.encode()
    try:
        body = msgspec.json.decode(raw, type=dict[str, Any])
    except ValueError:
        subject.complain(where, "its credential is not a JSON object", raw)
        return
    kind = subject.capabilities.methods[method].credential
    subject.require(body.get("type") == kind, where, f"its credential's type is not {kind!r}", raw)
    subject.require(len(body) > 1, where, "its credential holds nothing but its type", raw)
    subject.require(credential.until_ms > subject.kit.now_ms, where, "its credential never works", raw)


def requests_repeat_themselves(subject: Subject) -> None:
    """A request is well formed, names number, amount and merchant, and says the same however often it is sent."""
    for call in subject.calls:
        for method in subject.called_methods if call is Call.PREPAY else [subject.method]:
            about = subject.story.about(call, Fact.PENDING, method)
            where = f"request of {call.value} ({method})"
            body = subject.made(bytes, where, None, subject.first_body, about)
            first = None if body is None else _built(subject, where, about, body)
            if body is None or first is None:
                continue
            _check_names(subject, where, about, first)
            said = subject.kit.instruction(first)
            for later_ms, nonce, host in ((7 * MIN, NONCE, 0), (0, "0" * 32, 0), (0, NONCE, 1), (DAY, "1" * 32, 5)):
                again = _built(subject, where, about, body, later_ms=later_ms, nonce=nonce, host=host)
                if again is not None:
                    same = subject.kit.instruction(again) == said
                    subject.require(same, where, "sent again, it says something else", subject.kit.instruction(again))
    for odd in ODD_SUFFIXES:
        about = subject.story.about(Call.QUERY, Fact.PENDING, "")
        adopted = msgspec.structs.replace(about.attempt, no=PAYMENT_ID + odd)
        _built(subject, f"query of {adopted.no!r}", msgspec.structs.replace(about, attempt=adopted), b"")


def _built(subject: Subject, where: str, about: About, body: bytes, **how: Any) -> Request | None:
    request = subject.made(Request, where, None, subject.build, about, body, **how)
    if request is not None:
        check_request(subject, where, request)
    return request


def check_request(subject: Subject, where: str, request: Request) -> None:
    """It is one that our client sends as it is."""
    try:
        compose(request.method, request.url, request.headers, request.body)
    except RequestInvalid as error:
        subject.complain(where, f"it cannot be sent: {error}", request.url.encode())


def _check_names(subject: Subject, where: str, about: About, request: Request) -> None:
    """The number, what it is worth, what it reverses, and who asks."""
    text = "\n".join((
        unquote_plus(request.url),
        *(f"{name}: {value}" for name, value in request.headers),
        unquote_plus(request.body.decode(errors="replace")),
        subject.kit.instruction(request).decode(errors="replace"),
    ))  # fmt: skip
    attempt, paying, account = about.attempt, about.paying, subject.kit.account
    subject.require(attempt.no in text, where, f"its number {attempt.no} is not in it", text.encode())
    if about.call in PAYING_CALLS:
        amounts = {str(attempt.minor), decimal_text(attempt.minor, attempt.currency)}
        subject.require(any(a in text for a in amounts), where, f"neither of {sorted(amounts)} is in it", text.encode())
    if about.call is Call.REFUND and paying is not None:
        reversed_ = paying.no in text or paying.trade_no in text
        subject.require(reversed_, where, f"neither {paying.no} nor {paying.trade_no} is in it", text.encode())
    who = any(value and value in text for value in (*account.identity.values(), *account.secrets.values()))
    subject.require(who, where, "nothing of the account's identity is in it", text.encode())


def keys_are_fetched_with_care(subject: Subject) -> None:
    """The vendor's keys are fetched by a signed request, and only a believed answer changes them."""
    channel, account, now_ms = subject.channel, subject.kit.account, subject.kit.now_ms
    request = subject.guarded("build_keys", None, channel.build_keys, account, now_ms=now_ms, nonce=NONCE)
    if request is not None:
        check_request(subject, "build_keys", request)
    answers = [*hostile.NO_ANSWERS]
    answers += [Answered(status=s, headers=hostile.HEADERS, body=b) for s in (200, 500) for b in hostile.BODIES]
    for answer in answers:
        what = answer.body if isinstance(answer, Answered) else None
        found = subject.guarded("read_keys", what, channel.read_keys, answer, account, now_ms=now_ms)
        subject.require(found is None, "read_keys", "an answer that nobody signed is believed", what)
