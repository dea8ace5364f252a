"""Rules of the loop around the core: calls and their intents, messages that poison, workers, deliveries, the audit."""

from __future__ import annotations

from typing import Final

from oncepay.domain import plan
from oncepay.engine import admin, audit, core, deliver, directory, intake, invariants, step, workers
from oncepay.publishers import schedule
from oncepay.testing.edits import edit
from tests.planted.bug import ASSERTED, Bug
from tests.planted.core import AGAIN, IN_DOUBT, INTENTS, PHANTOM, STORIES
from tests.planted.store import ENDS, HEARS, LOST, TWICE

DELIVERED: Final = "tests/spec/test_doubt_deliveries.py::test_"

LOOP: Final = (
    Bug(
        "Who lost the guard at the intent of a call makes the call all the same",
        TWICE,
        f"{INTENTS}of_two_processes_that_plan_the_same_step_one_calls",
        edit(step.take, "if bodies is None:\n        return await engine.load(payment.id)", "bodies = bodies or {}"),
    ),
    Bug(
        "Who stood still makes its call though the time of that is over",
        AGAIN,
        f"{INTENTS}a_process_that_stood_still_after_its_intent_makes_no_call_whose_time_is_over",
        edit(step._ask, "attempt.until_ms <= engine.clock.now_ms()", "False"),
    ),
    Bug(
        "A call that is made again is made anew, not repeated byte for byte",
        TWICE,
        f"{INTENTS}a_call_is_repeated_byte_for_byte_whatever_has_changed_since",
        edit(
            step._ask,
            "body = await engine.ledger.body(payment.id, attempt.no)",
            "body = next(row.body for row in engine._draft(Change(rev=0, payment=payment, at_ms=0), None, NO_EXTRAS)"
            " if row.no == attempt.no)",
            "channel = engine.channels[attempt.channel]\n",
            "from oncepay.domain.change import Change\n    from oncepay.engine.core import NO_EXTRAS\n"
            "    channel = engine.channels[attempt.channel]\n",
        ),
    ),
    Bug(
        "Changes have no token of their own",
        "acknowledged means durable",
        f"{INTENTS}every_change_has_a_token_of_its_own",
        edit(core.Engine.commit, "change_id=self.dice.token()", 'change_id="same"'),
    ),
    Bug(
        "An account is written into the log with its keys",
        "tenants are apart",
        "tests/spec/test_secrets.py::test_no_secret_stands_in_the_log_of_a_story",
        edit(
            step._ask,
            "answer = await engine.transport.send(",
            'log.info("call.made account=%s", account); answer = await engine.transport.send(',
        ),
    ),
    Bug(
        "A notification that is refused is written into the log with the account that should have verified it",
        "tenants are apart",
        "tests/spec/test_secrets.py::test_no_secret_stands_in_the_log_of_a_story",
        edit(intake._verified, "channel.name, account.id, read.why)", "channel.name, account, read.why)"),
    ),
    Bug(
        "A channel that says that it is called too often is called again at once",
        ENDS,
        f"{INTENTS}a_channel_that_is_called_too_often_is_not_called_more_for_it",
        edit(
            plan._follow,
            "a.calls < (len(PREPAY_GAPS_MS)",
            "a.calls < (99 if a.fault else len(PREPAY_GAPS_MS)",
            "PREPAY_GAPS_MS[a.calls]",
            "(0 if a.fault else PREPAY_GAPS_MS[a.calls])",
        ),
    ),
    Bug(
        "A message that makes the core raise is lost",
        LOST,
        f"{IN_DOUBT}a_message_that_makes_the_core_raise_is_kept_and_poisons_nothing",
        edit(intake.take_in, "await keep(engine, payment.id, heard, error)", "pass"),
    ),
    Bug(
        "A message that makes the core raise is answered as an error of ours, for ever",
        ENDS,
        f"{IN_DOUBT}a_message_that_makes_the_core_raise_is_kept_and_poisons_nothing",
        edit(intake.take_in, "await keep(engine, payment.id, heard, error)", "raise"),
        fails=(*ASSERTED, "RuntimeError", "ValueError", "KeyError"),
    ),
    Bug(
        "A payment on which the core raises is due again at once",
        ENDS,
        f"{IN_DOUBT}a_message_that_makes_the_core_raise_is_kept_and_poisons_nothing",
        edit(intake.back_off, "await engine.ledger.postpone(payment_id, 0, now_ms + BACK_OFF_MS)", "pass"),
    ),
    Bug(
        "What could not be taken in holds up everything else of its payment",
        ENDS,
        f"{IN_DOUBT}a_message_that_can_never_be_taken_in_stops_nothing_else",
        edit(workers._take_kept, "poison = error", "raise"),
        fails=(*ASSERTED, "ZeroDivisionError"),
    ),
    Bug(
        "Money that fits no payment of ours is acknowledged and forgotten",
        LOST,
        f"{IN_DOUBT}money_that_fits_no_payment_is_a_case_and_never_dropped",
        edit(intake._place, "await _unplaced(engine, account, number, notice)", "pass"),
    ),
    Bug(
        "Another account of ours vouches for a payment that is not paid to it",
        PHANTOM,
        f"{IN_DOUBT}another_account_of_ours_does_not_vouch_for_a_payment",
        edit(intake._place, "if attempt is not None and attempt.account != account.id:", "if False:"),
    ),
    Bug(
        "A notification is acknowledged though the store did not answer",
        "acknowledged means durable",
        "tests/wire/test_api_doors.py::test_a_store_that_is_away_makes_the_channel_send_it_again",
        edit(intake.notification, "return channel.acknowledge(taken=False)", "return channel.acknowledge(taken=True)"),
    ),
    Bug(
        "An app's question is passed on to the channel each time it asks",
        ENDS,
        f"{STORIES}a_fresh_answer_is_asked_for_at_once_but_not_all_the_time",
        edit(step.ask_now, "if now_ms - last_ms < engine.settings.fresh_gap_ms:", "if False:"),
    ),
    Bug(
        "A dead endpoint slows the others",
        HEARS,
        f"{DELIVERED}a_fault_of_ours_in_a_delivery_stops_no_other",
        edit(deliver.Deliverer._drain, "except Exception:", "except KeyError:"),
        fails=(*ASSERTED, "RuntimeError", "TimeoutError"),
    ),
    Bug(
        "A channel that does not answer has all places of a worker",
        ENDS,
        f"{IN_DOUBT}a_channel_that_does_not_answer_holds_up_no_other",
        edit(workers.Places._one, "setdefault(channel,", 'setdefault("",'),
        fails=(*ASSERTED, "TimeoutError"),
    ),
    Bug(
        "A delivery is marked before the endpoint has acknowledged it",
        HEARS,
        f"{STORIES}a_shop_that_was_down_is_told_later_once",
        edit(deliver.Deliverer._deliver, "if outcome.delivered:", "if True:"),
        fails=(*ASSERTED, "KeyError"),
    ),
    Bug(
        "What another process added or enabled just now is parked as gone or disabled",
        HEARS,
        f"{DELIVERED}what_another_process_added_just_now_is_not_parked_as_gone",
        edit(deliver.Deliverer._known, "await directory.refresh()", "pass"),
    ),
    Bug(
        "What happens while an endpoint is disabled is not kept for it",
        HEARS,
        f"{DELIVERED}an_endpoint_that_is_gone_is_disabled_and_its_events_wait_parked",
        edit(
            directory.Directory.refresh,
            "for endpoint in endpoints.values():",
            "for endpoint in (e for e in endpoints.values() if not e.disabled):",
        ),
    ),
    Bug(
        "A delivery that was given up is gone",
        HEARS,
        f"{DELIVERED}tries_end_parked_after_thirty_days_and_can_be_replayed",
        edit(deliver.Deliverer._park, '"parked"', '"done"'),
    ),
    Bug(
        "A rotation whose answer is lost takes the secret away that is in use",
        HEARS,
        "tests/spec/test_set_up_at_once.py::TestAnEndpoint::test_a_rotation_whose_answer_is_lost_is_made_once",
        edit(admin.rotate_secret, "if known != sealed", ""),
    ),
    Bug(
        "A webhook that failed is tried again every five seconds",
        ENDS,
        "tests/unit/test_delivery_schedule.py::test_the_examples_hold",
        edit(schedule.next_try_ms, "GAPS_S[tries - 1]", "5"),
    ),
)
AUDITS: Final = (
    Bug(
        "The audit looks at the first page of payments only",
        LOST,
        "tests/spec/test_audit.py::test_all_pages_are_read[sqlite",
        edit(audit._pages, "if not after:", "if True:"),
    ),
    Bug(
        "The audit finds nothing in money that neither pays nor goes back",
        TWICE,
        "tests/spec/test_audit.py::test_money_that_neither_pays_nor_goes_back_is_named[sqlite",
        edit(invariants._money, "if left > 0:", "if False:"),
    ),
)

BUGS: Final = (*LOOP, *AUDITS)
