"""The exercise finds what it is there to find: a sound channel, broken in one way at a time."""

from __future__ import annotations

import datetime as dt
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from cashdesk import CashDesk
from cashdesk.channel import CAPABILITIES
from hypothesis import given
from hypothesis import strategies as st

from oncepay.domain.attempt import Call, Fact
from oncepay.domain.capabilities import QUERY_AT_MS, Method
from oncepay.domain.change import Credential
from oncepay.domain.errors import Invalid, MethodUnknown
from oncepay.ports import Acknowledgement, Channel, Read, Refused
from oncepay.testing import ChannelBroken, ChannelKit, conformance, exercise_channel
from oncepay.testing.conformance import answers, capabilities, hostile, notifications, requests, watch
from oncepay.testing.conformance.subject import Complaint, Subject
from tests.channels import broken_desk as desk
from tests.channels.broken_desk import KIT, able, calling, changing, doing, giving, looking, raising, reading, saying

Rule = Callable[[Subject], None]
COUNTER: Final = CAPABILITIES.methods["counter"]
CODE: Final = Credential(body="{}", until_ms=1)
ONCE: Final = Method(credential="slip", made_by_call=False, renewable=False)
RARELY: Final = tuple(range(10_000, 90_000, 4_000))
DRAWING: Final = random.Random(1)

# By rule: a channel that breaks it, and what is said of that.
FAULTS: Final[dict[Rule, list[tuple[Channel, str]]]] = {
    capabilities.abilities_hold_together: [
        (able(methods={}), "there is none"),
        (able(methods={"Slip!": COUNTER}), "'Slip!' is not a short word"),
        (able(methods={"slip": ONCE}), "what is made without a call can be made again"),
        (able(currencies=frozenset({"RMB"})), "'RMB' is not in ISO 4217"),
        (able(query_at_ms=(2, 1)), "(2, 1) does not rise"),
        (able(query_at_ms=()), "never asked about"),
        (able(refund_query_at_ms=(0, 1)), "(0, 1) does not rise"),
        (able(expiry_min_ms=2, expiry_max_ms=1), "the least is not below"),
        (able(call_deadline_ms=60_000), "is not within 20 s"),
        (able(absent_apart_ms=0), "some time apart"),
        (able(refund_count=0), "must be able to go back"),
    ],
    capabilities.never_paid_costs_little: [
        (able(query_at_ms=QUERY_AT_MS), "its page never opened: costs 17 calls: query 10"),
        (able(query_at_ms=RARELY), "never paid: costs 2"),
    ],
    requests.bad_accounts_are_refused: [
        (doing(check_account=giving(None)), "check_account must raise Invalid"),
        (doing(check_account=raising(Invalid)), "the kit's own is refused"),
        (doing(check_account=raising(KeyError)), "raises KeyError"),
    ],
    requests.wishes_are_checked: [
        (doing(check_start=giving(None)), "check_start must raise Invalid"),
        (doing(check_start=raising(MethodUnknown)), "the kit's own payer is refused"),
        (doing(check_start=raising(TypeError)), "raises TypeError"),
    ],
    requests.drafts_are_made_of_their_parts: [
        (desk.Counting(), "the same draft made another body"),
        (doing(draft=giving(b"")), "it is empty"),
        (doing(draft=raising(UnicodeError)), "raises UnicodeError"),
    ],
    requests.credentials_without_a_call: [
        (doing(credential=giving(CODE)), "a call makes it: credential must refuse"),
        (doing(credential=changing(body="no JSON")), "not a JSON object"),
        (doing(credential=changing(body='{"type":"code","a":1}')), "type is not 'slip'"),
        (doing(credential=changing(body='{"type":"slip"}')), "nothing but its type"),
        (doing(credential=changing(until_ms=1)), "never works"),
    ],
    requests.requests_repeat_themselves: [
        (doing(build=desk.stamped), "sent again, it says something else"),
        (doing(build=changing(url="https://desk.example/")), "is not in it"),
        (doing(build=changing(body=b"")), "neither of ['88.00', '8800'] is in it"),
        (doing(build=changing(headers=())), "nothing of the account's identity"),
        (doing(build=desk.unquoted), "it cannot be sent: not a URL"),
        (doing(build=changing(url="/orders")), "it cannot be sent: not a URL"),
        (doing(build=changing(headers=(("a", "b\r\nc: d"),))), "it cannot be sent: a character in a"),
    ],
    requests.keys_are_fetched_with_care: [
        (doing(read_keys=giving({"key": "any"})), "an answer that nobody signed is believed"),
        (doing(build_keys=raising(IndexError)), "raises IndexError"),
    ],
    answers.genuine_answers_are_read: [
        (saying(road="in"), "its evidence is none: Invalid enum value 'in'"),
        (saying(road="query"), "it came by query"),
        (saying(minor=None), "moved: (None, 'CNY')"),
        (saying(call=Call.CANCEL), "it is called an answer to cancel"),
        (saying(number="1"), "nothing is said of"),
        (saying(fact=Fact.PENDING), "it is read as pending"),
        (doing(read=changing(credential=None)), "it brings no credential"),
        (doing(read=changing(credential=CODE)), "it brings a credential"),
    ],
    answers.silence_is_never_refusal: [
        (calling(Fact.ABSENT, lambda a: a.status == 404), "unsigned 404, and it is read as absent"),
        (calling(Fact.OVER, lambda a: a.status == 400), "unsigned 400, and it is read as over"),
        (calling(Fact.PENDING, lambda a: a.status == 200), "unsigned 200, and it is read as pending"),
        (desk.giving_up(), "no answer, and it is read as over"),
        (doing(read=raising(TimeoutError)), "raises TimeoutError"),
        (doing(read=giving(None)), "gives None"),
        (reading(lambda *_: Read(evidence=())), "there is no evidence of it"),
    ],
    answers.only_what_is_signed_is_believed: [
        (calling(Fact.MOVED, lambda a: b"paid" in a.body), "signature: foreign, and it is read as moved"),
        (calling(Fact.MOVED, lambda a: b'id"' in a.body and not a.headers), "signature: none, and it is read as moved"),
        (calling(Fact.OVER, lambda a: a.status == 503), "signed 503, and it is read as over"),
        (desk.short_sighted(), "of desk-signature is another"),
    ],
    answers.answers_are_about_what_was_asked: [
        (desk.assuming("minor"), "of another amount, it makes this one succeeded"),
        (desk.assuming("currency"), "of another currency, it makes this one succeeded"),
        (saying(wrong=""), "of another number, it makes this one"),
        (doing(read=changing(credential=CODE)), "of another number, its credential is taken"),
    ],
    answers.nothing_makes_it_raise: [
        (doing(read=desk.trusting), "raises JSONDecodeError"),
        (saying(number=None), "raises TypeError"),  # in the core, which the message would poison
        (saying(trade_no="\0"), "raises Invalid: a text holds a NUL character"),  # in the store
        (saying(words="\n"), "it says '\\n'"),
    ],
    notifications.genuine_notifications_are_read: [
        (doing(read_notification=giving(Refused(why="no"))), "it is refused: no"),
        (doing(read_notification=giving(True)), "gives True"),
        (doing(read_notification=desk.noticing(numbers=())), "its payment is not found by ()"),
        (doing(read_notification=desk.noticing(evidence=())), "nothing is said of"),
    ],
    notifications.every_byte_counts: [
        (doing(read_notification=desk.believing), "signature: foreign, and it is believed"),
        (doing(read_notification=desk.unlocked), "an account without keys believes it"),
        (desk.short_sighted(), "of desk-signature is another, and it is believed"),
    ],
    notifications.another_merchants_is_not_ours: [
        (doing(read_notification=desk.anybodys), "of another account, shop-2, it makes this one"),
    ],
    notifications.no_notification_makes_it_raise: [
        (doing(read_notification=desk.believing), "what nobody signed is believed"),
        (doing(read_notification=desk.parsing), "raises JSONDecodeError"),
        (doing(read_notification=giving(Refused(why="a\nb"))), "it says 'a\\nb'"),
    ],
    notifications.acknowledgements_differ: [
        (doing(acknowledge=giving(Acknowledgement(status=200))), "taken is the same as not taken"),
        (doing(acknowledge=giving(Acknowledgement(status=404))), "taken is 404"),
        (doing(acknowledge=changing(status=204)), "204 has no body"),
    ],
    watch.it_only_translates: [
        (doing(build=looking(time.time)), "calls time.time"),
        (doing(draft=looking(dt.datetime.now)), "calls datetime.now"),
        (doing(read=looking(lambda: DRAWING.randint(1, 6))), "calls _random."),
        (doing(credential=looking(lambda: os.urandom(1))), "calls posix.urandom"),
        (doing(check_start=looking(lambda: Path(os.devnull).open("rb").close())), ".open"),
        (doing(read_notification=looking(lambda: socket.socket().close())), "calls socket."),
        (doing(acknowledge=looking(lambda: time.sleep(0))), "calls time.sleep"),
        (doing(build_keys=looking(lambda: os.getenv("HOME"))), "calls os.getenv"),
    ],
}


def complaints(rule: Rule, channel: Channel, kit: ChannelKit = KIT) -> list[Complaint]:
    """What one rule has against a channel."""
    subject = Subject(lambda: channel, kit)
    rule(subject)
    return subject.complaints


@pytest.mark.parametrize("rule", conformance.RULES, ids=lambda rule: rule.__name__)
def test_a_rule_can_be_kept_and_broken(rule: Rule) -> None:
    assert complaints(rule, CashDesk()) == []
    for channel, says in FAULTS[rule]:
        found = [str(complaint) for complaint in complaints(rule, channel)]
        assert any(says in told for told in found), (says, found[:5])


@pytest.mark.parametrize(
    ("rule", "kit", "says"),
    [
        (answers.genuine_answers_are_read, desk.Mumbling(), "its close is never answered over"),
        (notifications.genuine_notifications_are_read, desk.Mumbling(), "no notification says that a payment was paid"),
        (answers.answers_are_about_what_was_asked, desk.Babbling(), "the kit says the same of another number"),
        (notifications.another_merchants_is_not_ours, desk.Babbling(), "the kit tells it to every merchant"),
    ],
)
def test_a_kit_that_leaves_out_what_matters_is_found(rule: Rule, kit: ChannelKit, says: str) -> None:
    assert any(says in str(complaint) for complaint in complaints(rule, CashDesk(), kit))


def test_a_complaint_says_which_rule_which_call_which_bytes() -> None:
    with pytest.raises(ChannelBroken) as broken:
        exercise_channel(lambda: calling(Fact.ABSENT, lambda a: a.status == 404), KIT)
    lines = str(broken.value).splitlines()
    assert lines[0].startswith("channel 'cashdesk' breaks ")
    at = lines.index("  What nobody signed is silence: no answer, a proxy's page, rubbish, whatever its status")
    assert lines[at + 1 : at + 5] == [
        "    - prepay (counter): unsigned 404, and it is read as absent",
        "        b''",
        "    - prepay (counter): unsigned 404, and it is read as absent",
        "        b'<html><body>502 Bad Gateway</body></html>'",
    ]
    assert lines[at + 7].startswith("    ... and ")


def test_of_what_cannot_be_nothing_else_is_asked() -> None:
    with pytest.raises(ChannelBroken, match="breaks 1 of the rules"):
        exercise_channel(lambda: able(methods={}, currencies=frozenset()), KIT)


def test_it_says_how_often_it_asked() -> None:
    tried = exercise_channel(CashDesk, KIT)
    assert len(tried) == len(conformance.RULES)
    assert sum(tried.values()) > 10_000


def test_it_needs_no_test_tools() -> None:
    code = "import sys, oncepay.testing; print({'pytest', 'hypothesis'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_where_two_messages_differ(one: bytes, other: bytes) -> None:
    start, end = hostile.differing(one, other)
    tail = len(one) - end
    assert one[:start] == other[:start]
    assert one[end:] == other[len(other) - tail :]
    assert one == other or one[start:end] != other[start : len(other) - tail]
