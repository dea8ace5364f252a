"""The channel under exercise: every call to it is guarded, and what is wrong is written down and gone on from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, ParamSpec, TypeVar

import msgspec

from oncepay.domain.attempt import Call, Fact, Status
from oncepay.domain.change import Evidence
from oncepay.domain.errors import OncepayError
from oncepay.ports import Account, Answer, Answered, Channel, Draft, Notice, Read, Refused, Request
from oncepay.testing.conformance.kit import About, ChannelKit, Said, Seal
from oncepay.testing.conformance.story import PAYING_CALLS, Story

NONCE: Final = "5f4dcc3b5aa765d61d8327deb882cf99"
SHOWN_BYTES: Final = 300  # of a message in a complaint
WORDS_MAX: Final = 1_000
SHOWN_TIMES: Final = 3  # complaints of one rule that are told in full

K = TypeVar("K")
P = ParamSpec("P")
T = TypeVar("T")


class Complaint(msgspec.Struct, frozen=True):
    """What is wrong. ``rule``: which sentence is broken; ``where``: in which call, of which message; ``what``: the
    bytes, where there are some."""

    rule: str
    where: str
    says: str
    what: bytes | None = None

    def __str__(self) -> str:
        text = f"{self.where}: {self.says}"
        if self.what is None:
            return text
        more = f" ... {len(self.what)} bytes" if len(self.what) > SHOWN_BYTES else ""
        return f"{text}\n        {self.what[:SHOWN_BYTES]!r}{more}"


class ChannelBroken(AssertionError):
    """A channel does not do what every channel must. ``complaints``: all that was found."""

    def __init__(self, name: str, complaints: list[Complaint]) -> None:
        self.complaints = complaints
        by_rule: dict[str, list[Complaint]] = {}
        for complaint in complaints:
            by_rule.setdefault(complaint.rule, []).append(complaint)
        lines = [f"channel {name!r} breaks {len(by_rule)} of the rules:"]
        for rule, broken in by_rule.items():
            lines.append(f"  {rule}")
            lines += [f"    - {complaint}" for complaint in broken[:SHOWN_TIMES]]
            if len(broken) > SHOWN_TIMES:
                lines.append(f"    ... and {len(broken) - SHOWN_TIMES} more")
        super().__init__("\n".join(lines))


class Sealed(msgspec.Struct, frozen=True):
    """A message of the vendor's as it comes off the wire."""

    about: About
    said: Said
    answer: Answered


class Subject:
    """One channel, made twice: what one of the two makes, the other must make too, as after a restart."""

    def __init__(self, make: Callable[[], Channel], kit: ChannelKit) -> None:
        self.channel, self.twin = make(), make()
        self.capabilities = self.channel.capabilities
        self.kit = kit
        self.story = Story(kit.account, self.capabilities, kit.now_ms)
        self.rule = ""
        self.complaints: list[Complaint] = []
        self.tried: Counter[str] = Counter()

    # -- saying what is wrong ----------------------------------------------------------------------------------------

    def complain(self, where: object, says: str, what: bytes | None = None) -> None:
        """Write down that the rule of the moment is broken."""
        self.complaints.append(Complaint(self.rule, name_of(where), says, what))

    def require(self, true: object, where: object, says: str, what: bytes | None = None) -> bool:
        """One question of the rule of the moment; whether the answer is yes."""
        self.tried[self.rule] += 1
        if not true:
            self.complain(where, says, what)
        return bool(true)

    def guarded(
        self, where: object, what: bytes | None, work: Callable[P, T], *given: P.args, **named: P.kwargs
    ) -> T | None:
        """What the channel gives, or None when it raised, which it must not. ``what``: the bytes that it was given."""
        self.tried[self.rule] += 1
        try:
            return work(*given, **named)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self.complain(where, f"raises {type(error).__name__}: {error}"[:SHOWN_BYTES], what)
            return None

    def made(
        self,
        kind: type[K] | tuple[type[K], ...],
        where: object,
        what: bytes | None,
        work: Callable[P, object],
        *given: P.args,
        **named: P.kwargs,
    ) -> K | None:
        """As ``guarded``, where the channel must give something of a kind."""
        before = len(self.complaints)
        value = self.guarded(where, what, work, *given, **named)
        if isinstance(value, kind):
            return value
        if len(self.complaints) == before:
            self.complain(where, f"gives {value!r}"[:SHOWN_BYTES], what)
        return None

    def refusable(
        self, where: object, work: Callable[P, T], *given: P.args, **named: P.kwargs
    ) -> T | OncepayError | None:
        """As ``guarded``, where the channel may also refuse, by an error that an app or an operator understands."""

        def refused() -> T | OncepayError:
            try:
                return work(*given, **named)
            except OncepayError as refusal:
                return refusal

        return self.guarded(where, None, refused)

    # -- the calls ---------------------------------------------------------------------------------------------------

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls that the engine will make of this channel."""
        can = self.capabilities
        made = {Call.PREPAY: bool(self.called_methods), Call.CLOSE: can.closes, Call.CANCEL: can.cancels}
        return tuple(call for call in Call if made.get(call, True))

    @property
    def called_methods(self) -> list[str]:
        """Methods whose credential a call makes."""
        return [name for name, method in self.capabilities.methods.items() if method.made_by_call]

    @property
    def method(self) -> str:
        """The method that the story is told with: one that is called, where there is one."""
        return next(iter([*self.called_methods, *self.capabilities.methods]), "")

    def read(self, about: About, answer: Answer, *, of: Account | None = None) -> Read | None:
        """What the channel makes of an answer."""
        assert about.call is not None
        what = answer.body if isinstance(answer, Answered) else None
        given = (about.call, answer, about.attempt, of or self.kit.account)
        return self.made(Read, about, what, self.channel.read, *given, now_ms=self.kit.now_ms, nonce=NONCE)

    def hear(
        self, headers: Mapping[str, str], body: bytes, where: object = "notification", *, of: Account | None = None
    ) -> Notice | Refused | None:
        """What the channel makes of a notification."""
        given = (headers, body, of or self.kit.account)
        kinds: tuple[type[Notice | Refused], ...] = (Notice, Refused)
        return self.made(kinds, where, body, self.channel.read_notification, *given, now_ms=self.kit.now_ms)

    def check_words(self, read: Read | Notice | Refused, where: object, what: bytes | None) -> None:
        """What it says to people is fit for a line of a log, whatever the message holds."""
        if isinstance(read, Refused):
            texts = [read.why]
        else:
            texts = [text for e in read.evidence for text in (e.words, e.wrong)]
        for text in texts:
            self.require(text.isprintable() and len(text) <= WORDS_MAX, where, f"it says {text[:50]!r}", what)

    def after(self, about: About, evidence: tuple[Evidence, ...], what: bytes) -> Status | None:
        """What the core makes of the attempt when it hears this. If the core or the store refuses, the message would
        poison the payment."""
        return self.guarded(about, what, self.story.after, about, evidence)

    def draft(self, draft: Draft, channel: Channel | None = None) -> bytes:
        """The first body of an attempt. Raises what the channel raises."""
        return (channel or self.channel).draft(draft, self.kit.account)

    def first_body(self, about: About) -> bytes:
        """The first body that ``build`` gets for a call. Raises what the channel raises."""
        if about.call not in PAYING_CALLS:
            return b""
        payer = self.kit.payers.get(about.attempt.method, {}) if about.attempt.incoming else {}
        return self.draft(self.story.draft(about, payer=payer))

    def build(self, about: About, body: bytes, *, later_ms: int = 0, nonce: str = NONCE, host: int = 0) -> Request:
        """One signed request. Raises what the channel raises."""
        assert about.call is not None
        now_ms = self.kit.now_ms + later_ms
        return self.channel.build(
            about.call, about.attempt, self.kit.account, body=body, now_ms=now_ms, nonce=nonce, host=host
        )

    # -- what the vendor says ----------------------------------------------------------------------------------------

    def sealed(self, about: About, said: Said, seal: Seal = "genuine") -> Sealed:
        """A message as it comes off the wire."""
        headers, body = self.kit.seals(about, said, seal)
        return Sealed(about, said, Answered(status=said.status, headers=headers, body=body))

    def answers(self) -> Iterator[Sealed]:
        """Every answer that the vendor gives to one of our calls, genuine."""
        for call in self.calls:
            for method in self.called_methods if call is Call.PREPAY else [self.method]:
                for fact in Fact:
                    about = self.story.about(call, fact, method)
                    said = self.kit.says(about)
                    if said is not None:
                        yield self.sealed(about, said)

    def notices(self) -> Iterator[Sealed]:
        """Every notification of the vendor's, genuine."""
        for out in (False, True):
            for fact in Fact:
                about = self.story.about(None, fact, self.method, out=out)
                said = self.kit.says(about)
                if said is not None:
                    yield self.sealed(about, said)


def name_of(where: object) -> str:
    """How a complaint names what it is about."""
    if not isinstance(where, About):
        return str(where)
    if where.call is None:
        return f"notification of {'money back' if where.paying else 'a payment'} that says {where.fact.value}"
    method = f" ({where.attempt.method})" if where.call is Call.PREPAY else ""
    said = "" if where.fact is Fact.SILENT else f" answered {where.fact.value}"
    return f"{where.call.value}{method}{said}"
