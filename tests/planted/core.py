"""Rules of the core that show in one message or one step, and need no world to be seen."""

from __future__ import annotations

from typing import Final

from oncepay.domain import adopt, commands, decide, fingerprint, hear, ids, plan, settle
from oncepay.domain.attempt import OVER, SUCCEEDED, TRANSITIONS, Fact
from oncepay.engine import intake, step
from oncepay.testing.edits import edit, entry, put
from tests.planted.bug import ASSERTED, Bug
from tests.planted.store import BACK, DOUBT, LOST, TWICE

FACTS: Final = "tests/spec/test_domain_facts.py::test_"
UNPLACED: Final = "tests/spec/test_domain_unknown.py::test_"
SWITCHING: Final = "tests/spec/test_domain_switching.py::test_"
OUTSIDE: Final = "tests/spec/test_domain_outside.py::test_"
IN_DOUBT: Final = "tests/spec/test_doubt.py::test_"
REFUNDS: Final = "tests/spec/test_domain_refund_doubt.py::test_"
INTENTS: Final = "tests/spec/test_intents.py::test_"
STORIES: Final = "tests/spec/test_stories.py::test_"
CHANNELS: Final = "tests/spec/test_channels.py::test_"
PHANTOM: Final = "no phantom"
ONCE: Final = "one order"
AGAIN: Final = "nothing is refunded twice"
ONE: Final = "one at a time"

MESSAGES: Final = (
    Bug(
        "A notification is acknowledged, and what it says is dropped",
        LOST,
        f"{STORIES}the_payer_pays_and_the_shop_hears_once[sqlite",
        edit(intake._place, "await take_in(engine, payment, heard, body)", "pass"),
    ),
    Bug(
        "The late answer of an earlier call counts as that of the call under way",
        ONE,
        f"{IN_DOUBT}the_answer_of_a_call_that_was_made_again_since_is_known_by_its_call[sqlite",
        edit(step.do, "call_no=attempt.calls if call in {Call.PREPAY, Call.REFUND} else 0,", "call_no=0,"),
    ),
    Bug(
        "All of a surplus goes back, though some of it went back without us",
        AGAIN,
        "tests/spec/test_domain_refund_doubt.py::test_of_surplus_goes_back_only_what_has_not_gone_back_without_us",
        edit(settle.send_back, "attempt.minor - reserved(desk.payment, attempt.no)", "attempt.minor"),
    ),
    Bug(
        "A late word that it was closed takes back that it was paid",
        BACK,
        f"{FACTS}over_after_success_is_a_case_and_changes_nothing",
        entry(TRANSITIONS[SUCCEEDED], Fact.OVER, OVER),
    ),
    Bug(
        "That a channel takes back what it said of money calls nobody",
        DOUBT,
        "tests/unit/test_domain_learning.py::test_only_over_after_success_is_a_contradiction",
        put("oncepay.domain.attempt.CONTRADICTIONS", frozenset()),
    ),
    Bug(
        "Of a message that speaks of two numbers only the first is heard",
        LOST,
        f"{FACTS}one_message_may_hold_a_payment_and_its_refund",
        edit(hear.hear, "for evidence in heard.evidence\n    ]", "for evidence in heard.evidence[:1]\n    ]"),
    ),
    Bug(
        "A refund that is done goes out under its next number too",
        AGAIN,
        f"{REFUNDS}a_refund_that_is_done_is_not_called_for_again",
        edit(settle.money_out, "other.refused_ms or desk.now_ms", "other.refused_ms"),
    ),
    Bug(
        "What was promised in a failed refund's stead goes out though that one went out after all",
        AGAIN,
        f"{REFUNDS}money_of_a_failed_refund_that_goes_out_after_all_leaves_room_for_no_other",
        edit(hear._carried_out, "make_room(desk, reversed_)", "pass"),
    ),
    Bug(
        "A fault of our account counts as the end of the payer's attempt",
        PHANTOM,
        f"{FACTS}faults_of_account_balance_and_moment_are_never_over",
        edit(hear._said_of_attempt, "if evidence.fault:\n        return Fact.SILENT", "pass"),
    ),
    Bug(
        "A refusal counts although the payer was given the code before",
        PHANTOM,
        f"{FACTS}a_refusal_says_nothing_once_a_credential_was_handed_out",
        edit(hear._said_of_attempt, "(attempt.calls != 1 or attempt.shown_ms)", "attempt.calls != 1"),
    ),
    Bug(
        "An answer that bears no time counts from when it was heard, however long ago it was given",
        PHANTOM,
        "tests/spec/test_domain_late_answers.py::test_an_answer_without_a_time_counts_from_when_it_was_asked_for",
        edit(hear._dated, "evidence.fact is not Fact.ABSENT", "True"),
    ),
    Bug(
        "Whether a channel's word comes before or after an attempt's end is told by our clock alone",
        "clocks decide nothing",
        f"{FACTS}the_channels_signed_time_counts_before_ours",
        edit(hear._absent_twice, "at_ms = evidence.said_ms or desk.now_ms", "at_ms = desk.now_ms"),
    ),
    Bug(
        "That an order is there after all is forgotten when it is said to be absent again",
        PHANTOM,
        f"{FACTS}there_after_all_makes_absent_count_from_anew",
        edit(hear._countable_in, "if fact is Fact.PENDING and attempt.absent_ms:", "if False:"),
    ),
    Bug(
        "Absent settles while the call that makes the order is still on its way",
        PHANTOM,
        f"{FACTS}absent_does_not_settle_while_a_prepay_is_in_flight",
        edit(
            hear._absent_settles,
            "return not (attempt.until_ms > desk.now_ms and attempt.asked is Call.PREPAY)",
            "return True",
        ),
    ),
    Bug(
        "What is not known becomes refused by time alone",
        PHANTOM,
        f"{FACTS}time_alone_never_settles_what_was_sent",
        edit(
            decide._what_time_does,
            "if never_sent(attempt) and desk.now_ms",
            "if not attempt.settled and desk.now_ms",
        ),
    ),
    *(
        Bug(
            f"What a channel says of the {what} is not compared",
            PHANTOM,
            f"{FACTS}moved_with_wrong_content_is_a_case_and_changes_nothing",
            edit(hear._differing, condition, "if False:"),
        )
        for what, condition in (
            ("amount", "if evidence.minor is not None and evidence.minor != attempt.minor:"),
            ("currency", "if evidence.currency is not None and evidence.currency != attempt.currency:"),
            ("account", "if (heard.channel, heard.account) != (attempt.channel, attempt.account):"),
        )
    ),
    Bug(
        "That money moved is believed where it is not said how much",
        PHANTOM,
        f"{FACTS}moved_with_wrong_content_is_a_case_and_changes_nothing",
        edit(hear._differing, "(evidence.minor is None or evidence.currency is None)", "False"),
    ),
    Bug(
        "What a channel's translator found wrong, the payee or the merchant, is not looked at",
        PHANTOM,
        f"{FACTS}moved_with_wrong_content_is_a_case_and_changes_nothing",
        edit(hear._is_wrong, "wrong = evidence.wrong or _differing(", "wrong = _differing("),
    ),
    Bug(
        "A refund's notification is not compared with what it reverses",
        AGAIN,
        f"{FACTS}a_refund_with_wrong_content_is_a_case_and_changes_nothing",
        edit(hear._differing, "if evidence.of and attempt.of and evidence.of != attempt.of:", "if False:"),
    ),
    Bug(
        "Money of a number that fits nothing is dropped",
        LOST,
        f"{UNPLACED}money_that_fits_nothing_is_never_dropped",
        put("oncepay.domain.adopt.raise_wrong", lambda *_: None),
    ),
    Bug(
        "An attempt whose row was lost is not taken up again",
        LOST,
        f"{UNPLACED}an_unknown_suffix_of_a_known_payment_adopts_the_attempt",
        put("oncepay.domain.hear.adopt_in", lambda *_: None),
    ),
    Bug(
        "A message again is a change again",
        BACK,
        f"{FACTS}a_repeat_makes_no_change_at_all",
        edit(hear._learn, "if fresh or learned.contradiction:", "if True:"),
    ),
    Bug(
        "A query without news is a new version for the app",
        BACK,
        f"{FACTS}a_query_without_news_moves_no_version",
        edit(decide._change, "version=before.version + bool(words)", "version=before.version + 1"),
    ),
    Bug(
        "An event tells of the payment as it was before the change",
        BACK,
        f"{IN_DOUBT}what_the_shop_hears_is_the_whole_snapshot",
        edit(decide._change, "snapshot=snapshot(desk.payment)", "snapshot=snapshot(before)"),
        fails=(*ASSERTED, "TypeError"),
    ),
    Bug(
        "That a code was handed out is not committed with it",
        PHANTOM,
        f"{FACTS}a_credential_is_shown_by_the_change_that_holds_it",
        edit(hear._take_credential, "shown_ms=attempt.shown_ms or desk.now_ms", "shown_ms=attempt.shown_ms"),
    ),
    Bug(
        "A page is given to the payer before it is committed that it was",
        PHANTOM,
        f"{SWITCHING}a_page_that_nobody_was_given_is_not_sent_by_anybody",
        edit(plan._for_attempt, "if now_ms < end and capabilities.by_call(a.method):", "if now_ms < end:"),
    ),
)

MONEY: Final = (
    Bug(
        "A refund is held against what was paid, not against what is still kept",
        AGAIN,
        f"{STORIES}partial_refunds_up_to_the_ceiling_and_one_too_many",
        edit(commands.ask_refund, "if asked.minor > payment.kept:", "if asked.minor > payment.minor:"),
    ),
    Bug(
        "A refund's number is drawn, and is another one when its row was lost",
        AGAIN,
        f"{UNPLACED}a_refund_whose_row_was_lost_is_known_by_its_number_and_not_sent_again",
        edit(
            ids.out_number,
            "hashed(5, refund_no, str(try_))",
            "hashed(5, refund_no, __import__('secrets').token_hex(8))",
        ),
    ),
    Bug(
        "Money back that somebody sent without us is not recorded",
        TWICE,
        f"{SWITCHING}the_channel_says_how_much_went_back_in_all",
        put("oncepay.domain.hear.returned", lambda *_: None),
    ),
    Bug(
        "What somebody sent back in the console is taken for a refund of ours that went out later",
        TWICE,
        f"{OUTSIDE}what_may_have_been_ours_went_out_without_us_if_ours_went_later",
        edit(adopt._may_be_in, "return not said_ms or out.moved_ms <= said_ms + SAID_SLACK_MS", "return True"),
    ),
    Bug(
        "When a refund went out is told by our clock, and taken for later than what was said of it",
        TWICE,
        f"{OUTSIDE}what_may_have_been_ours_is_ours_if_ours_went_before",
        edit(hear._moved_ms, "if attempt.incoming:", "if True:"),
    ),
    Bug(
        "How much went back in all is not heard where the answer to a refund says so",
        TWICE,
        f"{OUTSIDE}the_answer_to_a_refund_says_how_much_went_back_in_all",
        edit(hear._hear_out, "say_returned(desk, attempt.of, evidence, heard)", "pass"),
    ),
    Bug(
        "Beside a refund of ours that failed, money that went back without us calls nobody",
        TWICE,
        f"{OUTSIDE}that_some_went_back_is_a_case_beside_a_refund_that_the_channel_refused",
        edit(hear._may_have_sent_back, "and not (failed and all(_was_not_taken(a) for a in tries))", ""),
    ),
    Bug(
        "More refunds are asked of a channel than it takes for one payment",
        AGAIN,
        "tests/spec/test_domain_cases_refunds.py::test_a_retry_keeps_to_the_channels_pace_count_and_window",
        edit(settle.numbers_taken, "return len(", "return 0 * len(", "sum(not", "0 * sum(not"),
    ),
    Bug(
        "The same order number with another amount is taken for the same order",
        ONCE,
        "tests/wire/test_api_payments.py::test_the_same_again_is_the_same_payment_and_says_so",
        edit(fingerprint.check_same_payment, "if differing:", "if False:"),
        fails=(*ASSERTED, "KeyError"),
    ),
    Bug(
        "The same refund number with another amount is taken for the same refund",
        ONCE,
        "tests/wire/test_api_money_back.py::test_the_same_refund_again_is_the_same_refund",
        edit(fingerprint.check_same_refund, "if refund.minor != minor:", "if False:"),
        fails=(*ASSERTED, "KeyError"),
    ),
    Bug(
        "The same request for a code makes another attempt",
        TWICE,
        f"{CHANNELS}the_same_again_is_the_same_code",
        edit(commands._is_same, "attempt.same == asked.same and", "False and"),
    ),
    Bug(
        "The amount of a payment changes while somebody can still pay the old one",
        PHANTOM,
        "tests/wire/test_api_payments.py::test_closing_reopening_and_amending",
        edit(commands.amend, "if live:", "if False:"),
        fails=(*ASSERTED, "KeyError"),
    ),
    Bug(
        "A payment that is being closed hands out another code",
        ONE,
        "tests/spec/test_domain_facts.py::test_no_credential_is_given_out_for_what_is_no_longer_wanted",
        edit(hear._take_credential, "if not _wanted(desk, attempt):\n        return", "pass"),
    ),
)

BUGS: Final = (*MESSAGES, *MONEY)
