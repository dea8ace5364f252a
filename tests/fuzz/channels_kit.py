"""What targets of channels share: what may be told of money, whoever told it."""

from __future__ import annotations

from typing import Final

import msgspec

from oncepay.channels.texts import WORDS_MAX
from oncepay.domain.attempt import Fact
from oncepay.domain.change import Evidence, Hear
from oncepay.domain.money import MINOR_MAX
from oncepay.ports import Notice, Read, Refused

INT_MAX: Final = 2**63 - 1


def check_evidence(found: tuple[Evidence, ...]) -> None:
    """It can be stored, read again, and looked at in a log; its numbers are amounts and times."""
    for one in found:
        assert one.words.isprintable(), one.words
        assert len(one.words) <= WORDS_MAX
        for minor in (one.minor, one.returned_minor):
            assert minor is None or 0 <= minor <= MINOR_MAX, minor
        for text in (one.number, one.of, one.trade_no, one.currency or ""):
            assert text.isascii(), text
            assert text.isprintable(), text
            assert len(text) <= 64, text
        assert all(abs(number) <= INT_MAX for number in (one.channel_ms, one.said_ms, one.channel_day))
        assert one.number
    heard = Hear(evidence=found, channel="any", account="any")
    assert msgspec.json.decode(msgspec.json.encode(heard), type=Hear) == heard


def check_notice(found: Notice | Refused) -> Notice | Refused:
    """Believed or not, it can be written down."""
    if isinstance(found, Refused):
        found.why.encode()
        return found
    assert found.evidence
    assert found.numbers
    assert found.echo.isprintable()
    found.echo.encode()
    check_evidence(found.evidence)
    return found


def check_read(read: Read) -> Read:
    """An answer says one thing of the attempt that it is about."""
    (_,) = read.evidence
    check_evidence(read.evidence)
    msgspec.json.encode(read.credential)
    return read


def check_silent(read: Read, *, unless: tuple[Read, ...] = ()) -> None:
    """Nobody signed this: it says nothing, or what was signed before."""
    check_read(read)
    said = [one.fact for one in read.evidence]
    assert said == [Fact.SILENT] or any(read.evidence == genuine.evidence for genuine in unless), said
    assert said != [Fact.SILENT] or read.credential is None
