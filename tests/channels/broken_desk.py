"""The cash desk of ``docs/channels/example``, broken in one way at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from cashdesk import CashDesk
from cashdesk.channel import CAPABILITIES
from desk_kit import DeskKit

from oncepay.domain.attempt import Attempt, Call, Fact
from oncepay.ports import Account, Answer, Answered, Channel, Draft, Notice, Read
from oncepay.testing import About, Said
from oncepay.testing.conformance.subject import Subject

KIT: Final = DeskKit()
Method = Callable[..., Any]


# -- in general ------------------------------------------------------------------------------------------------------


def able(**fields: Any) -> Channel:
    """With other abilities."""
    desk = CashDesk()
    desk.capabilities = msgspec.structs.replace(CAPABILITIES, **fields)
    return desk


def doing(**methods: Method) -> Channel:
    """With other methods, each given the sound one before its arguments."""
    desk = CashDesk()
    for name, method in methods.items():
        sound = getattr(desk, name)
        setattr(desk, name, lambda *given, _method=method, _sound=sound, **named: _method(_sound, *given, **named))
    return desk


def giving(value: Any) -> Method:
    """Always the same."""
    return lambda *_, **__: value


def changing(**fields: Any) -> Method:
    """What the sound one gives, with other fields."""
    return lambda sound, *given, **named: msgspec.structs.replace(sound(*given, **named), **fields)


def looking(look: Callable[[], object]) -> Method:
    """It looks at something first."""

    def method(sound: Method, *given: Any, **named: Any) -> Any:
        look()
        return sound(*given, **named)

    return method


def raising(error: type[Exception]) -> Method:
    def method(*_: Any, **__: Any) -> Any:
        raise error("no")

    return method


# -- what it says ----------------------------------------------------------------------------------------------------


class Counting(CashDesk):
    """Every first body is another one."""

    count = 0

    def draft(self, draft: Draft, account: Account) -> bytes:
        self.count += 1
        return super().draft(draft, account)[:-1] + f',"count":{self.count}}}'.encode()


def stamped(sound: Method, *given: Any, body: bytes, now_ms: int, **named: Any) -> Any:
    """The time stands in the body."""
    return sound(*given, body=body and body + b"%d" % now_ms, now_ms=now_ms, **named)


def unquoted(sound: Method, call: Call, attempt: Attempt, *given: Any, **named: Any) -> Any:
    """The number stands in the address as it is."""
    request = sound(call, attempt, *given, **named)
    return msgspec.structs.replace(request, url=f"https://desk.example/{attempt.no}")


# -- what it makes of answers ----------------------------------------------------------------------------------------


def reading(change: Callable[[Read, Answer, Attempt], Read]) -> Channel:
    """Except for what it makes of what it has read."""

    def read(sound: Method, call: Call, answer: Answer, attempt: Attempt, account: Account, **named: Any) -> Read:
        return change(sound(call, answer, attempt, account, **named), answer, attempt)

    return doing(read=read)


def saying(**fields: Any) -> Channel:
    """Its evidence has other fields."""
    return reading(lambda read, _, __: _with(read, **fields))


def assuming(name: str) -> Channel:
    """A field of its evidence is taken from the attempt, whatever was said."""
    return reading(lambda read, _, attempt: _with(read, **{name: getattr(attempt, name)}))


def calling(fact: Fact, when: Callable[[Answered], bool]) -> Channel:
    """Some answers are called a fact, signed or not."""
    return reading(
        lambda read, answer, _: _with(read, fact=fact) if isinstance(answer, Answered) and when(answer) else read
    )


def giving_up() -> Channel:
    """No answer is a refusal."""
    return reading(lambda read, answer, _: read if isinstance(answer, Answered) else _with(read, fact=Fact.OVER))


def _with(read: Read, **fields: Any) -> Read:
    return msgspec.structs.replace(read, evidence=tuple(msgspec.structs.replace(e, **fields) for e in read.evidence))


def trusting(sound: Method, call: Call, answer: Answer, *given: Any, **named: Any) -> Any:
    """What the desk signed is JSON, of course."""
    if isinstance(answer, Answered) and answer.headers.get("desk-signature"):
        json.loads(answer.body)
    return sound(call, answer, *given, **named)


# -- what it makes of notifications ----------------------------------------------------------------------------------


def noticing(**fields: Any) -> Method:
    """Its notices have other fields."""

    def read_notification(sound: Method, *given: Any, **named: Any) -> Any:
        heard = sound(*given, **named)
        return msgspec.structs.replace(heard, **fields) if isinstance(heard, Notice) else heard

    return read_notification


def believing(sound: Method, headers: Any, body: bytes, *given: Any, **named: Any) -> Any:
    """Whatever speaks of money is true."""
    if b"paid" in body or body == b"[]":
        return Notice(numbers=("1",), evidence=())
    return sound(headers, body, *given, **named)


def parsing(sound: Method, headers: Any, body: bytes, *given: Any, **named: Any) -> Any:
    """It looks before it verifies."""
    json.loads(body)
    return sound(headers, body, *given, **named)


def unlocked(sound: Method, headers: Any, body: bytes, account: Account, **named: Any) -> Any:
    """Without a secret there is nothing that could not fit."""
    return sound(headers, body, account if account.secrets else KIT.account, **named)


def anybodys(sound: Method, headers: Any, body: bytes, account: Account, **named: Any) -> Any:
    """Looks for a merchant whose key fits, and takes it for theirs."""
    heard = [sound(headers, body, known, **named) for known in (account, *KIT.others)]
    return next((found for found in heard if isinstance(found, Notice)), heard[0])


# -- signatures ------------------------------------------------------------------------------------------------------

LOOKED_AT: Final = 16  # characters of a signature


def short_sighted() -> Channel:
    """Looks only at the beginning of a signature: what follows may be anything."""
    subject = Subject(CashDesk, KIT)
    genuine = [message.answer.headers["desk-signature"] for message in (*subject.answers(), *subject.notices())]
    whole = {signature[:LOOKED_AT]: signature for signature in genuine}

    def repaired(headers: Mapping[str, str]) -> dict[str, str]:
        given = headers.get("desk-signature", "")
        return {**headers, "desk-signature": whole.get(given[:LOOKED_AT], given)}

    def read(sound: Method, call: Call, answer: Answer, *given: Any, **named: Any) -> Any:
        if isinstance(answer, Answered):
            answer = msgspec.structs.replace(answer, headers=repaired(answer.headers))
        return sound(call, answer, *given, **named)

    def read_notification(sound: Method, headers: Mapping[str, str], *given: Any, **named: Any) -> Any:
        return sound(repaired(headers), *given, **named)

    return doing(read=read, read_notification=read_notification)


# -- kits ------------------------------------------------------------------------------------------------------------


class Mumbling(DeskKit):
    """Of some things nothing is ever heard."""

    def says(self, about: About) -> Said | None:
        return (
            None if (about.call, about.fact) in {(Call.CLOSE, Fact.OVER), (None, Fact.MOVED)} else super().says(about)
        )


class Babbling(DeskKit):
    """It says the same of everything."""

    def says(self, about: About) -> Said | None:
        same = msgspec.structs.replace(about.attempt, no="1", minor=1)
        return super().says(msgspec.structs.replace(about, attempt=same, account=self.account))
