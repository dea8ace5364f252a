"""The rules of the store that no server is needed for: the shared commit, SQLite, migrations; and of what the client
keeps in the app's own database."""

from __future__ import annotations

from typing import Final

from oncepay.client.guards import inbox, links, watch
from oncepay.store import migrations, pump, rows, sqlite, sqlite_group, sqlite_link, sqlite_lists
from oncepay.store.pump import Loader, Pump
from oncepay.testing.edits import both, edit, put, sql
from tests.planted.bug import Bug

PUMP: Final = "tests/store/test_pump.py::"
LEDGER: Final = "tests/store/test_ledger.py::"
SQLITE: Final = "tests/store/test_sqlite.py::"
DIRECTORY: Final = "tests/store/test_ledger_lists.py::TestTheDirectory::"
MIGRATING: Final = "tests/store/test_migrations.py::"
OPENING: Final = f"{MIGRATING}TestOpening::"
DURABLE: Final = "acknowledged means durable"
LOST: Final = "nothing is lost"
TWICE: Final = "nothing is kept twice"
BACK: Final = "no way back"
DOUBT: Final = "closed in doubt"
HEARS: Final = "the app hears it"
ENDS: Final = "everything ends"
ONCE: Final = "once in the app"
GUARDS: Final = "tests/client/guards/"

IMPATIENT: Final = put("tests.store.conftest.WITHIN_S", 1.0)  # what will not come is not waited for

GROUPS: Final = (
    Bug(
        "Two changes of one payment are written in one group",
        TWICE,
        f"{PUMP}TestGroups::test_one_change_a_payment_a_second_waits",
        edit(Pump._pick, "if key in chosen:", "if key in chosen and (key := f'{key} ') in chosen:"),
    ),
    Bug(
        "Of two changes of one payment both callers hear what became of the first",
        TWICE,
        f"{PUMP}TestGroups::test_each_of_two_on_one_payment_hears_its_own_outcome",
        edit(
            Pump._write,
            "outcomes = await self._backend.write_group([member.change for member in group], marks)",
            "self._told = getattr(self, '_told', {}); outcomes = await self._backend.write_group([m.change for m in group],"
            " marks); outcomes = [self._told.setdefault(m.change.payment.id, o) for m, o in zip(group, outcomes)]",
        ),
    ),
    Bug(
        "A group is written in the order in which its changes came",
        ENDS,
        f"{PUMP}TestGroups::test_groups_are_sorted_by_key",
        edit(Pump._pick, "for key in sorted(chosen)", "for key in chosen"),
    ),
    Bug(
        "A change whose payment another process holds is given up at once",
        ENDS,
        f"{PUMP}TestBusyRows::test_go_into_a_later_group",
        edit(Pump._settle, "member.busy < len(self._busy_waits_s)", "False"),
        fails=(*("AssertionError", "Failed"), "Busy"),
    ),
    Bug(
        "A change whose payment another process holds is tried for ever",
        ENDS,
        f"{PUMP}TestBusyRows::test_are_given_up_after_a_few_times",
        edit(Pump._settle, "wait_s = self._busy_waits_s[member.busy]", "wait_s, member.busy = 0.0, -1"),
        fails=("StopIteration", "RuntimeError", "CommitUnknown"),
    ),
    Bug(
        "A group waits for the payment that another process holds",
        ENDS,
        f"{PUMP}TestBusyRows::test_keep_nobody_waiting",
        edit(
            Pump._run,
            "self._settle(member, outcome)\n",
            "self._settle(member, outcome)\n                await asyncio.sleep(self._busy_waits_s[0] if outcome is BUSY else 0)\n",
        ),
    ),
    Bug(
        "What channels said waits behind what apps want",
        LOST,
        f"{PUMP}TestGroups::test_evidence_goes_before_commands",
        edit(Pump._pick, "(self._evidence, self._commands)", "(self._commands, self._evidence)"),
    ),
    Bug(
        "A group may grow without bound",
        ENDS,
        f"{PUMP}TestGroups::test_at_most_so_many",
        edit(Pump._pick, "while lane and len(chosen) < self._group_max:", "while lane:"),
    ),
    Bug(
        "Each commit waits for company, also when nothing else is going on",
        ENDS,
        f"{PUMP}TestSpacing::test_alone_and_idle_it_goes_at_once",
        edit(Pump._pace, "rest_s = self._started + self._spacing_s - loop.time()", "rest_s = self._spacing_s"),
    ),
    Bug(
        "Commits follow each other without a pause, each alone",
        ENDS,
        f"{PUMP}TestSpacing::test_the_next_waits_for_company",
        edit(Pump._pace, "if self._spacing_s and rest_s > 0", "if self._spacing_s < 0"),
    ),
    Bug(
        "A full group waits for more all the same",
        ENDS,
        f"{PUMP}TestSpacing::test_a_full_group_waits_for_nobody",
        edit(
            Pump._queue,
            "if self._gate is not None and self._queued >= self._group_max:",
            "if self._gate is not None and self._queued < 0:",
        ),
    ),
)

PUMPING: Final = (
    Bug(
        "A caller that went away takes the pump with it",
        DURABLE,
        f"{PUMP}TestThePumpOutlivesItsCallers::test_a_cancelled_wait_neither_cancels_the_change_nor_kills_the_pump",
        edit(pump._Member.settle, "if self.done.done():  # its wait was cancelled\n        return", "pass"),
    ),
    Bug(
        "What the database raised is not told to those who wait",
        ENDS,
        f"{PUMP}TestThePumpOutlivesItsCallers::test_a_raised_error_is_everybodys_and_the_next_group_goes_on",
        edit(Pump._write, "return [error] * len(group)", "raise"),
    ),
    Bug(
        "That no pump is running is written down a moment after the queue was seen empty",
        ENDS,
        f"{PUMP}TestThePumpOutlivesItsCallers::test_who_comes_in_the_step_in_which_the_queue_was_seen_empty_is_served",
        edit(Pump._run, "self._task = None", "await asyncio.sleep(0)\n        self._task = None"),
    ),
    Bug(
        "When the pump is taken down those who wait are left waiting",
        ENDS,
        f"{PUMP}TestThePumpOutlivesItsCallers::test_nobody_hangs_when_the_pump_is_taken_down",
        edit(
            Pump._run,
            'self._abandon(Unavailable("the process is ending"))',
            "pass",
        ),
    ),
    Bug(
        "A store that answers for another number of changes is believed as far as it goes",
        DURABLE,
        f"{PUMP}TestThePumpOutlivesItsCallers::test_a_backend_that_cannot_count_leaves_the_outcome_unknown",
        edit(
            Pump._write,
            "return [CommitUnknown(",
            "return [pump_won for pump_won in [WON] * len(group)] or [CommitUnknown(",
        ),
    ),
    Bug(
        "Changes wait without bound",
        DOUBT,
        f"{PUMP}TestBackPressure::test_too_much_is_refused_at_once",
        edit(Pump.submit, "if self._unsettled >= self._waiting_max:", "if False:"),
        fails=("AssertionError", "Failed", "TimeoutError"),
    ),
    Bug(
        "That an event was delivered is written only when some change comes by",
        HEARS,
        f"{PUMP}TestMarks::test_go_alone_when_no_group_comes",
        edit(Pump._marks_waited, "if self._marks:", "if False:"),
        fails=("AssertionError", "TimeoutError"),
    ),
    Bug(
        "A load joins a statement that is already running",
        BACK,
        f"{PUMP}TestLoader::test_a_load_sees_what_was_committed_before_it_was_asked",
        edit(
            Loader._run,
            "group, self._waiting = self._waiting, {}\n",
            "group = self._waiting\n",
            "self._answer(group, found)\n            group = {}",
            "self._answer(group, found)\n            group, self._waiting = {}, {}",
        ),
    ),
)

ON_SQLITE: Final = (
    Bug(
        "The guard is not looked at, on SQLite",
        BACK,
        f"{LEDGER}TestTheAggregate::test_who_decided_on_old_knowledge_loses[sqlite]",
        sql("sqlite", "guard_payment", "AND rev = ?9 - 1", "AND 0 < ?9"),
    ),
    Bug(
        "A change that lost writes its event all the same",
        HEARS,
        f"{LEDGER}TestTheAggregate::test_a_loser_leaves_nothing_behind[memory]",
        edit(
            sqlite_group.GroupWriter._write,
            "return self._ours(change)",
            "for child in written.events:\n            self._execute(self._children[4], child)\n        return self._ours(change)",
        ),
    ),
    Bug(
        "A change that is told again after its answer was lost is called lost",
        DURABLE,
        f"{SQLITE}TestCommits::test_one_that_did_happen_without_an_answer_is_known_again",
        edit(sqlite_group.GroupWriter._ours, "found[0] == change.change_id", "found[0] != change.change_id"),
    ),
    Bug(
        "A change without a token of its own is taken for another's",
        DURABLE,
        f"{LEDGER}TestTheAggregate::test_nobody_is_taken_for_another_without_a_change_id[memory]",
        edit(sqlite_group.GroupWriter._ours, "if not change.change_id:\n        return LOST", "pass"),
    ),
    Bug(
        "A commit that failed to be flushed counts as not done",
        DURABLE,
        f"{SQLITE}TestCommits::test_one_that_could_not_be_flushed_is_unknown_and_is_settled_by_committing_again",
        edit(sqlite_link._lost_commit, "if isinstance(error, apsw.IOError):", "if False:"),
        fails=("AssertionError", "Failed", "Unavailable"),
    ),
    Bug(
        "One row that cannot be written costs its neighbours the commit",
        LOST,
        f"{LEDGER}TestWhatNoDatabaseCanHold::test_a_row_that_the_database_refuses_fails_alone[memory]",
        edit(
            sqlite_group.GroupWriter.write_group,
            "return await self._writer.transaction(lambda: self._one_by_one(group, marks))",
            "raise",
        ),
        fails=("AssertionError", "ConstraintError", "Invalid"),
    ),
    Bug(
        "What a refused row's change had written before it stays",
        TWICE,
        f"{LEDGER}TestWhatNoDatabaseCanHold::test_a_row_that_the_database_refuses_fails_alone[memory]",
        edit(sqlite_group.GroupWriter._apart, 'self._execute("ROLLBACK TO apart")', "pass"),
    ),
    Bug(
        "What no database can hold is let in at the door",
        LOST,
        f"{LEDGER}TestWhatNoDatabaseCanHold::test_is_refused_and_costs_its_neighbours_nothing[memory",
        edit(rows.check_texts, 'if "\\0" in joined:', "if False:"),
    ),
    Bug(
        "The first body of a number is replaced by a later one, on SQLite",
        TWICE,
        f"{LEDGER}TestTheAggregate::test_the_first_body_of_a_number_stays[memory]",
        sql("sqlite", "insert_attempt", "DO NOTHING", "DO UPDATE SET body = excluded.body"),
    ),
    Bug(
        "A lease counts as a revision, on SQLite",
        BACK,
        f"{LEDGER}TestWhatIsDue::test_a_lease_is_not_a_revision[memory]",
        sql("sqlite", "lend_payment", "SET due_ms = ?2", "SET due_ms = ?2, rev = rev + 1"),
    ),
    Bug(
        "What is due is lent to every worker that asks, on SQLite",
        ENDS,
        f"{LEDGER}TestWhatIsDue::test_the_longest_overdue_come_first_and_go_to_one_worker[memory]",
        sql("sqlite", "lend_payment", "SET due_ms = ?2", "SET due_ms = due_ms + 0 * ?2"),
    ),
    Bug(
        "A worker that gives a payment back moves a due time that is newer than its lease",
        ENDS,
        f"{LEDGER}TestWhatIsDue::test_giving_back_moves_the_lease_and_nothing_newer[memory]",
        sql("sqlite", "postpone_payment", "due_ms = :lease_until_ms OR", "due_ms > 0 OR"),
    ),
    Bug(
        "What was delivered can become due again by a late mark",
        HEARS,
        "tests/store/test_ledger_events.py::TestDeliveries::test_what_is_done_stays_done[memory]",
        sql("sqlite", "mark_delivery", "AND status <> 'done'", ""),
    ),
    Bug(
        "An endpoint with a long queue takes the turn of the others",
        HEARS,
        "tests/store/test_ledger_events.py::TestDeliveries::test_an_endpoint_takes_no_turn_from_another[memory]",
        sql("sqlite", "due_deliveries", "LIMIT :most", "LIMIT 1000"),
    ),
    Bug(
        "A message that is kept waits for ever when later news put its payment off",
        LOST,
        f"{LEDGER}TestMessagesThatCouldNotBeTakenIn::"
        "test_what_is_kept_is_claimed_though_a_later_change_put_its_payment_off[memory",
        edit(sqlite.SqliteLedger.claim_due, "await self._bring_kept_back(now_ms)", "pass"),
    ),
    Bug(
        "Of two changes of an endpoint at once the later undoes the other",
        LOST,
        f"{DIRECTORY}test_endpoints_by_compare_and_set[memory]",
        sql("sqlite", "replace_endpoint", "AND secrets = :secrets_before", ""),
    ),
    Bug(
        "Acknowledged commits need not be on the disk yet",
        DURABLE,
        f"{SQLITE}TestSettings::test_every_connection_is_safe",
        edit(
            sqlite_link._set, 'link.pragma("synchronous", settings.synchronous)', 'link.pragma("synchronous", "normal")'
        ),
        fails=("AssertionError", "ConfigUnsafe"),
    ),
    Bug(
        "A setting under which commits are lost is taken",
        DURABLE,
        f"{SQLITE}TestSettings::test_what_may_lose_a_commit_is_refused_by_name",
        edit(sqlite_link.settings_of, "not in SAFE_SYNCHRONOUS", "in ()"),
    ),
    Bug(
        "What the database makes of the settings is not read back",
        DURABLE,
        f"{SQLITE}TestSettings::test_settings_are_read_back",
        edit(sqlite_link._check, "if found != value:", "if False:"),
    ),
    Bug(
        "A SQLite that is known to lose commits is taken",
        DURABLE,
        f"{SQLITE}TestSettings::test_a_library_that_loses_commits_is_refused",
        put("oncepay.store.sqlite_link.LIBRARY_MIN", (3, 0, 0)),
    ),
    Bug(
        "Readers wait behind a commit that is being flushed",
        ENDS,
        f"{SQLITE}TestCommits::test_readers_are_never_behind_a_commit",
        edit(sqlite_link.Thread.run, "if self._pool is None:", "if True:"),
        fails=("AssertionError", "TimeoutError"),
    ),
    Bug(
        "The log of the database is never emptied",
        ENDS,
        f"{SQLITE}TestTheLog::test_is_emptied_beside_the_writer",
        edit(sqlite.SqliteLedger.__init__, "elif settings.path:", "elif False:"),
        fails=("AssertionError", "TimeoutError"),
    ),
    Bug(
        "The installation's id is drawn anew at each start",
        "one order",
        f"{OPENING}test_the_second_time_nothing_is_drawn[sqlite]",
        edit(sqlite.migrate_tables, "if INSTALLATION not in meta and token is not None:", "if token is not None:"),
    ),
    Bug(
        "What a migration made is there before its record is",
        ENDS,
        f"{MIGRATING}TestADeath::test_in_the_middle_of_the_migrations_leaves_nothing_in_the_way[sqlite-2]",
        edit(
            sqlite.migrate_tables,
            'record = {"number"',
            'writer.execute("COMMIT"), writer.execute("BEGIN IMMEDIATE")\n            record = {"number"',
        ),
        fails=("StartRefused", "Unavailable", "DatabaseRefused"),
    ),
    Bug(
        "A migration renames a column in one step, beneath who runs already",
        LOST,
        f"{MIGRATING}TestSideBySide::test_a_process_goes_on_while_a_newer_release_brings_the_tables_up_to_date[sqlite]",
        edit(
            migrations.rendered,
            "return _WORD.sub(lambda found: words[found[1]], text)",
            "text += 'ALTER TABLE payment RENAME COLUMN change_id TO change;' if 'login' in text else ''\n"
            "    return _WORD.sub(lambda found: words[found[1]], text)",
        ),
        fails=("Unavailable", "SQLError", "AssertionError"),
    ),
    Bug(
        "A database that another release changed is used all the same",
        DOUBT,
        f"{OPENING}test_what_other_files_made_is_refused[sqlite",
        edit(migrations.pending, "ours.number != theirs.number or ours.checksum != theirs.checksum", "False"),
    ),
    Bug(
        "After a restore the feed goes on from places that were given before",
        HEARS,
        "tests/store/test_ledger_events.py::TestTheFeed::test_a_place_of_another_epoch_starts_again[memory]",
        both(edit(sqlite_lists.Lists.events, "if epoch == self.epoch else 0", "if epoch else 0"), IMPATIENT),
        fails=("TimeoutError",),
    ),
)

IN_APPS: Final = (
    Bug(
        "The inbox is kept by a connection of SQLAlchemy's that commits each statement by itself",
        ONCE,
        f"{GUARDS}test_links.py::test_sqlalchemy_that_was_told_to_commit_by_itself_is_refused[sqlite]",
        edit(links._check_begun, "if connection.get_transaction() is None:", "return\n    if True:"),
    ),
    Bug(
        "An order that the inbox has forgotten is shipped again",
        ONCE,
        f"{GUARDS}test_inbox.py::test_an_order_that_was_forgotten_is_not_shipped_again[sqlite3]",
        edit(inbox.taking, "if old and (yield from _forgotten(payment)):", "if False:"),
    ),
    Bug(
        "An order that is forgotten while its old news come is shipped again",
        ONCE,
        f"{GUARDS}test_inbox.py::test_an_order_that_is_forgotten_between_two_statements_is_not_shipped_again",
        edit(inbox.taking, "old = True", "old = False"),
    ),
    Bug(
        "Late news that it is paid are taken for the end of a refund",
        HEARS,
        f"{GUARDS}test_watch.py::test_a_refund_is_asked_for_though_older_news_come_late[sqlite3]",
        edit(watch.Watch.register, "registering(order_no, above,", "registering(order_no, 0,"),
    ),
)

BUGS: Final = (*GROUPS, *PUMPING, *ON_SQLITE, *IN_APPS)
