"""What a channel makes of notifications: anybody can send one, so it is believed only to the letter."""

from __future__ import annotations

import random
from typing import Final

import msgspec

from oncepay.domain.attempt import Fact
from oncepay.domain.ids import payment_of
from oncepay.ports import Acknowledgement, Answered, Notice, Refused
from oncepay.testing.conformance import hostile
from oncepay.testing.conformance.answers import SEED, check_evidence, check_untaken, others_of
from oncepay.testing.conformance.kit import Said
from oncepay.testing.conformance.story import PAYMENT_ID
from oncepay.testing.conformance.subject import Sealed, Subject

BODY_MAX: Final = 4_096  # of an acknowledgement


def genuine_notifications_are_read(subject: Subject) -> None:
    """A notification is read as what it says, and the core takes it."""
    paid = False
    for message in subject.notices():
        about, answer = message.about, message.answer
        notice = subject.hear(answer.headers, answer.body, about)
        if notice is None:
            continue
        if not isinstance(notice, Notice):
            subject.complain(about, f"it is refused: {notice.why}", answer.body)
            continue
        paid = paid or (about.fact is Fact.MOVED and about.paying is None)
        numbers = notice.numbers
        found = bool(numbers) and payment_of(numbers[0]) == PAYMENT_ID
        subject.require(found, about, f"its payment is not found by {numbers}", answer.body)
        subject.require(about.attempt.no in numbers, about, f"{about.attempt.no} is not in {numbers}", answer.body)
        check_evidence(subject, message, notice.evidence)
    if subject.kit.notifies:
        subject.require(
            paid, "the kit", "no notification says that a payment was paid (notifies = False if there is none)"
        )


def every_byte_counts(subject: Subject) -> None:
    """Whoever changes a byte of a notification is refused, and so is who signs it with another key, or not at all."""
    for message in subject.notices():
        about, answer = message.about, message.answer
        notice = subject.hear(answer.headers, answer.body, about)
        for seal in ("foreign", "none"):
            forged = subject.sealed(about, message.said, seal).answer
            _refused(subject, message, forged, f"signature: {seal}")
        for body in hostile.cut(answer.body):
            _refused(subject, message, msgspec.structs.replace(answer, body=body), "cut short", notice)
        for changed in hostile.flipped(answer, subject.sealed(about, message.said, "foreign").answer):
            unless = None if changed.signature else notice
            _refused(subject, message, changed.answer, f"{changed.which} is another", unless)
        lost = msgspec.structs.replace(subject.kit.account, secrets={}, settings={}, revision=9_999)
        believed = subject.hear(answer.headers, answer.body, about, of=lost)
        subject.require(isinstance(believed, Refused | None), about, "an account without keys believes it", answer.body)


def _refused(
    subject: Subject, message: Sealed, answer: Answered, why: str, unless: Notice | Refused | None = None
) -> None:
    """It is not believed, or says nothing but what it said."""
    heard = subject.hear(answer.headers, answer.body, message.about)
    refused = heard is None or isinstance(heard, Refused) or heard == unless
    subject.require(refused, message.about, f"{why}, and it is believed", answer.body)


def another_merchants_is_not_ours(subject: Subject) -> None:
    """What the vendor tells of other money, or to another merchant, is not taken for ours."""
    for message in subject.notices():
        about = message.about
        told_apart = not subject.kit.others
        for told, other in others_of(subject, about):
            said = subject.kit.says(other)
            if said is None or told == "number":  # of another number it is simply about that one
                continue
            if said != message.said:
                told_apart = told_apart or other.account is not about.account
                answer = subject.sealed(other, said).answer
                heard = subject.hear(answer.headers, answer.body, about)
                if isinstance(heard, Notice):
                    check_untaken(subject, about, heard.evidence, told, said)
        subject.require(told_apart, about, "the kit tells it to every merchant in the same words")


def no_notification_makes_it_raise(subject: Subject) -> None:
    """No notification makes it raise, or the core or the store, not even one that was signed by mistake."""
    for body in hostile.BODIES:
        heard = subject.hear(hostile.HEADERS, body)
        subject.require(isinstance(heard, Refused | None), "notification", "what nobody signed is believed", body)
        if heard is not None:
            subject.check_words(heard, "notification", body)
    dice = random.Random(SEED)
    for message in subject.notices():
        for content in hostile.contents(message.said.content, dice):
            answer = subject.sealed(message.about, Said(content)).answer
            heard = subject.hear(answer.headers, answer.body, message.about)
            if heard is not None:
                subject.check_words(heard, message.about, content)
            if isinstance(heard, Notice):
                subject.after(message.about, heard.evidence, content)


def acknowledgements_differ(subject: Subject) -> None:
    """The vendor can tell "taken" from "send it again"."""
    taken = subject.made(Acknowledgement, "acknowledge", None, subject.channel.acknowledge, taken=True)
    later = subject.made(Acknowledgement, "acknowledge", None, subject.channel.acknowledge, taken=False)
    if taken is None or later is None:
        return
    subject.require(200 <= taken.status < 300, "acknowledge", f"taken is {taken.status}", taken.body)
    different = (taken.status, taken.body) != (later.status, later.body)
    subject.require(different, "acknowledge", "taken is the same as not taken", later.body)
    for said in (taken, later):
        subject.require(200 <= said.status < 600 and len(said.body) <= BODY_MAX, "acknowledge", "it cannot be sent")
        subject.require(
            said.content_type.isascii() and said.content_type.isprintable(), "acknowledge", "its type is odd"
        )
        subject.require(said.status != 204 or not said.body, "acknowledge", "204 has no body", said.body)
