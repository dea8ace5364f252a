"""What a channel makes of answers: of genuine ones what they say, of all others nothing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import msgspec

from oncepay.domain.attempt import Call, Direction, Fact, Status
from oncepay.domain.change import Evidence
from oncepay.domain.ids import in_number, out_number
from oncepay.ports import Answer, Answered, Read
from oncepay.testing.conformance import hostile
from oncepay.testing.conformance.kit import About, Said
from oncepay.testing.conformance.requests import check_credential
from oncepay.testing.conformance.story import BECOMES, OUT_CALLS, PAYMENT_ID, REFUND_NO, road_of
from oncepay.testing.conformance.subject import Sealed, Subject

SEED: Final = 1
# Without these a payment could not be brought to its end. Of each row, one is enough.
NEEDED: Final = {
    Call.PREPAY: ({Fact.PENDING},),
    Call.QUERY: ({Fact.PENDING}, {Fact.MOVED}, {Fact.ABSENT, Fact.OVER}),
    Call.CLOSE: ({Fact.OVER},),
    Call.REFUND: ({Fact.PENDING, Fact.MOVED},),
    Call.QUERY_REFUND: ({Fact.MOVED}, {Fact.ABSENT}),
}


def genuine_answers_are_read(subject: Subject) -> None:
    """What the vendor says is read as what it says, and the core takes it."""
    said: dict[Call | None, set[Fact]] = {}
    for message in subject.answers():
        about = message.about
        said.setdefault(about.call, set()).add(about.fact)
        read = subject.read(about, message.answer)
        if read is None:
            continue
        check_evidence(subject, message, read.evidence)
        if about.call is Call.PREPAY and about.fact is Fact.PENDING:
            raw = message.answer.body
            if subject.require(read.credential, about, "it brings no credential", raw) and read.credential:
                check_credential(subject, about, about.attempt.method, read.credential)
        elif about.call is not Call.PREPAY:
            subject.require(read.credential is None, about, "it brings a credential", message.answer.body)
    for call in subject.calls:
        for one_of in NEEDED.get(call, ()):
            words = " or ".join(sorted(fact.value for fact in one_of))
            subject.require(one_of & said.get(call, set()), "the kit", f"its {call.value} is never answered {words}")


def check_evidence(subject: Subject, message: Sealed, evidence: tuple[Evidence, ...]) -> None:
    """It is what was said, of the number that it was said of, and enough for the core."""
    about, raw = message.about, message.answer.body
    attempt = about.attempt
    try:
        msgspec.convert(msgspec.to_builtins(evidence), tuple[Evidence, ...])
    except msgspec.ValidationError as error:
        subject.complain(about, f"its evidence is none: {error}", raw)
        return
    own = [e for e in evidence if e.number == attempt.no]
    subject.require(own, about, f"nothing is said of {attempt.no}, but of {[e.number for e in evidence]}", raw)
    for e in evidence:
        subject.require(not e.wrong, about, f"it is called wrong: {e.wrong}", raw)
        subject.require(e.call is about.call, about, f"it is called an answer to {e.call}", raw)
        subject.require(e.road is road_of(about.call), about, f"it came by {e.road}", raw)
    for e in own:
        subject.require(e.fact is about.fact, about, f"it is read as {e.fact} ({e.words})", raw)
        subject.require(e.direction is attempt.direction, about, f"it is money {e.direction}", raw)
        if e.fact is Fact.MOVED:
            told = (e.minor, e.currency)
            subject.require(told == (attempt.minor, attempt.currency), about, f"moved: {told}", raw)
    becomes = BECOMES[about.fact]
    if about.call is Call.CLOSE and becomes is Status.OVER and not subject.capabilities.close_final:
        becomes = Status.SENT
    status = subject.after(about, evidence, raw)
    if status is not None:
        subject.require(status is becomes, about, f"the core makes {status.value} of it, not {becomes.value}", raw)


def silence_is_never_refusal(subject: Subject) -> None:
    """What nobody signed is silence: no answer, a proxy's page, rubbish, whatever its status."""
    for call in subject.calls:
        # a number that was adopted from a message has no method
        for method in subject.called_methods if call is Call.PREPAY else ("", subject.method):
            about = subject.story.about(call, Fact.SILENT, method)
            for nothing in hostile.NO_ANSWERS:
                check_silent(subject, about, nothing, "no answer")
            for status in hostile.STATUSES:
                for body in hostile.BODIES:
                    answer = Answered(status=status, headers=hostile.HEADERS, body=body)
                    check_silent(subject, about, answer, f"unsigned {status}")


def check_silent(subject: Subject, about: About, answer: Answer, why: str, unless: Read | None = None) -> None:
    """It says nothing of the attempt. ``unless``: or nothing but this."""
    read = subject.read(about, answer)
    if read is None or read == unless:
        return
    raw = answer.body if isinstance(answer, Answered) else None
    subject.require(read.evidence, about, f"{why}, and there is no evidence of it", raw)
    for e in read.evidence:
        named = (e.number, e.direction, e.call, e.road)
        should = (about.attempt.no, about.attempt.direction, about.call, road_of(about.call))
        subject.require(e.fact is Fact.SILENT, about, f"{why}, and it is read as {e.fact}", raw)
        subject.require(named == should, about, f"{why}, and it is called {named}, not {should}", raw)
    subject.require(read.credential is None, about, f"{why}, and it brings a credential", raw)


def only_what_is_signed_is_believed(subject: Subject) -> None:
    """Only what the vendor signed is believed, to the last byte."""
    longest: dict[Call | None, Sealed] = {}
    for message in subject.answers():
        about, said, answer = message.about, message.said, message.answer
        read = subject.read(about, answer)
        for seal in ("foreign", "none"):
            check_silent(subject, about, subject.sealed(about, said, seal).answer, f"signature: {seal}")
        for body in hostile.cut(answer.body):
            check_silent(subject, about, msgspec.structs.replace(answer, body=body), "cut short", read)
        for status in (500, 502, 503, 504):
            if said.status < 500:
                failed = subject.sealed(about, msgspec.structs.replace(said, status=status)).answer
                check_silent(subject, about, failed, f"signed {status}")
        known = longest.setdefault(about.call, message)
        if len(said.content) > len(known.said.content):
            longest[about.call] = message
    for message in longest.values():
        about, answer = message.about, message.answer
        read = subject.read(about, answer)
        for changed in hostile.flipped(answer, subject.sealed(about, message.said, "foreign").answer):
            unless = None if changed.signature else read
            check_silent(subject, about, changed.answer, f"{changed.which} is another", unless)


def answers_are_about_what_was_asked(subject: Subject) -> None:
    """What is said of another number, amount, currency, merchant or payment is not taken for this one's."""
    for message in subject.answers():
        about = message.about
        for told, other in others_of(subject, about):
            said = subject.kit.says(other)
            if said is None or said == message.said:
                must = told in {"number", "amount"} and said is not None and about.fact is Fact.MOVED
                asked = about.call in {Call.QUERY, Call.QUERY_REFUND}  # the reply to a call may well be short
                subject.require(not (must and asked), about, f"the kit says the same of another {told}")
                continue
            read = subject.read(about, subject.sealed(other, said).answer)
            if read is not None:
                check_untaken(subject, about, read.evidence, told, said)
                subject.require(
                    read.credential is None, about, f"of another {told}, its credential is taken", said.content
                )


def others_of(subject: Subject, about: About) -> Iterator[tuple[str, About]]:
    """The same of another number, of money another amount and currency, of a refund another payment, and to another
    merchant: (which, about)."""
    attempt = about.attempt
    back = attempt.direction is Direction.OUT
    number = out_number(PAYMENT_ID, REFUND_NO, 1) if back else in_number(PAYMENT_ID, 1)
    fields: list[tuple[str, dict[str, object]]] = [("number", {"no": number})]
    if about.fact is Fact.MOVED:
        fields += [("amount", {"minor": attempt.minor + by}) for by in (1, -1)]
        fields += [("currency", {"currency": "EUR" if attempt.currency == "USD" else "USD"})]
    for told, field in fields:
        yield told, msgspec.structs.replace(about, attempt=msgspec.structs.replace(attempt, **field))
    if about.paying is not None:
        trade_no = "9" + about.paying.trade_no[1:]
        paying = msgspec.structs.replace(about.paying, no=in_number(PAYMENT_ID, 2), trade_no=trade_no)
        reversing = msgspec.structs.replace(attempt, of=paying.no)
        yield "payment that it reverses", msgspec.structs.replace(about, attempt=reversing, paying=paying)
    for account in subject.kit.others:
        yield f"account, {account.id}", msgspec.structs.replace(about, account=account)


def check_untaken(subject: Subject, about: About, evidence: tuple[Evidence, ...], told: str, said: Said) -> None:
    """The core learns nothing of this attempt from it."""
    status = subject.after(about, evidence, said.content)
    if status is not None:
        untaken = status is BECOMES[Fact.SILENT]
        subject.require(untaken, about, f"of another {told}, it makes this one {status.value}", said.content)


def nothing_makes_it_raise(subject: Subject) -> None:
    """Nothing that arrives makes it raise, or the core or the store, not even what the vendor signed by mistake."""
    dice = random.Random(SEED)
    genuine = list(subject.answers())
    for message in genuine:
        about = message.about
        for content in hostile.contents(message.said.content, dice):
            for status in {200, message.said.status}:
                answer = subject.sealed(about, Said(content, status)).answer
                read = subject.read(about, answer)
                if read is not None:
                    subject.check_words(read, about, content)
                    subject.after(about, read.evidence, content)
        for call in subject.calls:  # an answer that was meant for another call
            if (call in OUT_CALLS) is (about.call in OUT_CALLS):
                subject.read(msgspec.structs.replace(about, call=call), message.answer)
        adopted = msgspec.structs.replace(about.attempt, method="")
        subject.read(msgspec.structs.replace(about, attempt=adopted), message.answer)
