"""The rules of the store that only a server with several processes can show: what PostgreSQL is asked, and how."""

from __future__ import annotations

from typing import Final

from oncepay.store import postgres, postgres_group, postgres_link, postgres_lists, postgres_schema, postgres_server
from oncepay.store.postgres_group import GroupWriter
from oncepay.testing.edits import both, edit, entry, put, sql
from tests.planted.bug import ASSERTED, Bug
from tests.planted.store import BACK, DOUBT, DURABLE, ENDS, HEARS, IMPATIENT, LEDGER, LOST, MIGRATING, OPENING, TWICE

GROUP: Final = "tests/store/test_postgres_group.py::test_"
UNKNOWN: Final = "tests/store/test_postgres_unknown.py::test_"
CLAIMS: Final = "tests/store/test_postgres_claims.py::test_"
SERVER: Final = "tests/store/test_postgres_server.py::test_"
RACES: Final = "tests/store/test_postgres_races.py::test_"
WAIT: Final = "FOR NO KEY UPDATE OF p SKIP LOCKED"

WRITING: Final = (
    Bug(
        "The guard is not looked at, on PostgreSQL",
        BACK,
        f"{LEDGER}TestTheAggregate::test_who_decided_on_old_knowledge_loses[postgres]",
        sql("postgres/group.sql", "moved", "AND p.rev = h.rev\n     AND h.rev_now = h.rev", ""),
    ),
    Bug(
        "A change that lost writes its rows all the same",
        HEARS,
        f"{GROUP}a_loser_writes_nothing_at_all",
        sql("postgres/group.sql", "events", "WHERE (c.payment_id IN (SELECT id FROM won)) IS TRUE", ""),
        fails=(*ASSERTED, "UniqueViolationError"),
    ),
    Bug(
        "A case is counted for changes that lost",
        DOUBT,
        f"{GROUP}a_case_that_two_payments_raise_counts_winners_only",
        sql("postgres/group.sql", "cases", "WHERE (c.raised_by IN (SELECT id FROM won)) IS TRUE", ""),
    ),
    Bug(
        "A row that a stopped process holds is waited for",
        ENDS,
        f"{GROUP}a_row_that_a_stopped_process_holds_costs_its_neighbours_nothing",
        sql("postgres/group.sql", "held", WAIT, "FOR NO KEY UPDATE OF p"),
        fails=(*ASSERTED, "TimeoutError"),
    ),
    Bug(
        "A row that is held counts as lost",
        BACK,
        f"{GROUP}a_busy_row_is_taken_in_a_later_group",
        edit(postgres_group._outcomes, "BUSY if member.change.rev", "LOST if member.change.rev"),
    ),
    Bug(
        "What others caused, a deadlock or a lock not given, is not tried again",
        LOST,
        f"{GROUP}what_others_caused_is_repeated",
        edit(GroupWriter._write, "if failure_of(failed) is not Failure.REPEAT:\n                    break", "break"),
    ),
    Bug(
        "What others cause is tried for ever",
        ENDS,
        f"{GROUP}what_others_cause_for_ever_is_busy",
        put("oncepay.store.postgres_group.REPEATS_MAX", 10**6),
    ),
    Bug(
        "One row that cannot be written costs its neighbours the commit, on PostgreSQL",
        LOST,
        f"{GROUP}one_bad_row_does_not_poison_its_neighbours",
        edit(
            GroupWriter._write,
            "elif len(part) > 1:\n        middle = len(part) // 2\n        await self._write(part[:middle], (), outcomes)\n"
            "        await self._write(part[middle:], (), outcomes)",
            "elif len(part) > 1:\n        outcomes.update({m.id: _unwritable(m, error) for m in part})",
        ),
    ),
    Bug(
        "That an event was delivered cannot be written, and so no change of its group is",
        LOST,
        f"{GROUP}a_bad_mark_costs_no_change",
        edit(GroupWriter._write, "if marks and part:", "if False:"),
        fails=(*ASSERTED, "Invalid"),
    ),
    Bug(
        "A server that cannot write is taken for a fault of the change",
        DOUBT,
        f"{GROUP}a_server_that_cannot_write_is_unavailable_until_it_can",
        edit(postgres_link.failure_of, '{"25", "53", "57", "58"}', '{"99"}'),
        fails=(*ASSERTED, "DiskFullError"),
    ),
    Bug(
        "The first body of a number is replaced by a later one, on PostgreSQL",
        TWICE,
        f"{LEDGER}TestTheAggregate::test_the_first_body_of_a_number_stays[postgres]",
        sql("postgres/group.sql", "attempts", "DO NOTHING", "DO UPDATE SET body = excluded.body"),
    ),
    Bug(
        "What was delivered can become due again by a late mark, on PostgreSQL",
        HEARS,
        f"{GROUP}marks_ride_along_and_what_is_done_stays_done",
        sql("postgres/group.sql", "marked", "AND d.status <> 'done'", ""),
    ),
)

AFTER_A_COMMIT: Final = (
    Bug(
        "A COMMIT without an answer counts as not done",
        DURABLE,
        f"{UNKNOWN}a_change_whose_answer_was_lost_is_what_really_happened[after-True]",
        edit(GroupWriter._try, "return await self._settle(part)", "return {member.id: LOST for member in part}"),
    ),
    Bug(
        "A COMMIT without an answer counts as done",
        DURABLE,
        f"{UNKNOWN}a_change_whose_answer_was_lost_is_what_really_happened[before-False]",
        edit(GroupWriter._try, "return await self._settle(part)", "return {member.id: WON for member in part}"),
    ),
    Bug(
        "After a COMMIT without an answer the row is read without waiting for its lock",
        DURABLE,
        f"{UNKNOWN}a_commit_that_is_still_on_its_way_is_waited_for",
        sql("postgres/group.sql", "ask_held", "FOR NO KEY UPDATE", ""),
    ),
    Bug(
        "After a COMMIT without an answer a creation that is still on its way is not seen",
        DURABLE,
        f"{UNKNOWN}a_creation_that_is_still_on_its_way_is_run_into",
        edit(
            GroupWriter._ask,
            'await link.fetch(*self._book.call("ask_made",',
            '("ask_made", *self._book.call("ask_made",',
        ),
    ),
    Bug(
        "After a COMMIT without an answer the whole group is what its first member is",
        BACK,
        f"{UNKNOWN}each_member_of_the_group_is_asked_about_alone",
        edit(
            GroupWriter._ask,
            "return _owned(part, answer)",
            "return dict.fromkeys(_owned(part, answer), _owned(part, answer)[part[0].id])",
        ),
    ),
    Bug(
        "Whose change is in the row is not looked at, only that there is a newer one",
        BACK,
        f"{UNKNOWN}each_member_of_the_group_is_asked_about_alone",
        edit(
            postgres_group._owned,
            "found.get(member.id) == (member.change.rev + 1, member.change.change_id)",
            "found.get(member.id, (0, ''))[0] == member.change.rev + 1",
        ),
    ),
    Bug(
        "Callers are told something before the database has said what happened",
        DURABLE,
        f"{UNKNOWN}nobody_is_told_anything_while_nobody_knows",
        edit(GroupWriter._settle, "if clock() >= until:", "if True:"),
        fails=(*ASSERTED, "CommitUnknown"),
    ),
    Bug(
        "Who asks about an unknown commit asks for ever",
        ENDS,
        f"{UNKNOWN}after_enough_patience_the_callers_hear_that_it_is_unknown",
        edit(GroupWriter._settle, "if clock() >= until:", "if False:"),
    ),
)

SETTING_UP: Final = (
    Bug(
        "Of two changes of an endpoint at once the later undoes the other, on PostgreSQL",
        LOST,
        f"{RACES}of_two_changes_of_an_endpoint_that_waited_for_each_other_one_is_written",
        sql("postgres/directory.sql", "replace_endpoint", "AND secrets = :secrets_before", ""),
    ),
    Bug(
        "Two changes of an app that waited for each other are both written",
        LOST,
        f"{RACES}of_two_changes_of_an_app_that_waited_for_each_other_one_is_written",
        sql("postgres/directory.sql", "save_app", "AND value = :stamp", ""),
    ),
)

READING: Final = (
    Bug(
        "The feed is read up to its newest row, and skips what commits late",
        HEARS,
        f"{RACES}the_feed_never_skips_a_late_commit",
        sql("postgres", "read_feed", "AND pos < pg_snapshot_xmin(pg_current_snapshot())", ""),
    ),
    Bug(
        "The feed is ordered by the text of its places, where 1000 comes before 999",
        HEARS,
        "tests/store/test_postgres_server.py::test_places_of_the_feed_are_compared_as_numbers",
        sql("postgres", "read_feed", "ORDER BY event.pos", "ORDER BY pos"),
    ),
    Bug(
        "After a restore the feed goes on from places that were given before, on PostgreSQL",
        HEARS,
        "tests/store/test_ledger_events.py::TestTheFeed::test_a_place_of_another_epoch_starts_again[postgres]",
        both(edit(postgres_lists.Lists.events, "if epoch == self.epoch:", "if epoch:"), IMPATIENT),
        fails=("TimeoutError",),
    ),
    Bug(
        "A claim is not a compare-and-set: it relies on SKIP LOCKED",
        ENDS,
        f"{CLAIMS}without_skip_locked_it_is_still_a_compare_and_set",
        sql("postgres", "claim_due", "AND p.due_ms = lent.due_ms", ""),
    ),
    Bug(
        "A lease counts as a revision, on PostgreSQL",
        BACK,
        f"{CLAIMS}a_claim_does_not_touch_the_guard",
        sql(
            "postgres",
            "claim_due",
            "SET due_ms = :lease_until_ms::bigint",
            "SET due_ms = :lease_until_ms::bigint, rev = rev + 1",
        ),
    ),
    Bug(
        "What becomes due below where the last claim began is not seen",
        ENDS,
        f"{CLAIMS}what_becomes_due_below_the_floor_is_seen_when_a_batch_comes_back_short",
        edit(postgres.PostgresLedger.claim_due, "if len(lent) < limit and self._floor_ms:", "if False:"),
    ),
    Bug(
        "While batches are full, what becomes due below them is never looked for",
        ENDS,
        f"{CLAIMS}what_becomes_due_below_the_floor_is_seen_within_a_minute",
        put("oncepay.store.postgres.FROM_ZERO_MS", 10**15),
    ),
    Bug(
        "Each claim goes through all that earlier claims left behind in the index",
        ENDS,
        f"{CLAIMS}an_old_snapshot_does_not_make_claims_slow",
        sql("postgres", "claim_due", "AND due_ms >= :floor_ms::bigint", "AND :floor_ms::bigint IS NOT NULL"),
    ),
    Bug(
        "A claim may be of any size",
        ENDS,
        f"{CLAIMS}a_batch_holds_a_thousand_at_most",
        put("oncepay.store.postgres.CLAIM_MAX", 10**6),
    ),
    Bug(
        "An endpoint with a long queue takes the turn of the others, on PostgreSQL",
        HEARS,
        f"{CLAIMS}one_endpoint_never_takes_the_turn_of_another",
        sql("postgres", "claim_deliveries", "LIMIT :each::bigint", "LIMIT 1000 + :each::bigint"),
    ),
)

SERVERS: Final = (
    *(
        Bug(
            f"A session of ours has no {name}",
            ENDS,
            f"{SERVER}no_session_of_ours_is_without_limits",
            entry(postgres_link.SESSION, name, "0"),
        )
        for name in ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    ),
    Bug(
        "A server that may lose what it acknowledged is taken",
        DURABLE,
        f"{SERVER}an_unsafe_server_is_refused_with_every_reason",
        entry(postgres_server.SAFE, "synchronous_commit", ("on", "remote_apply", "off")),
    ),
    Bug(
        "Money is decided on a standby",
        BACK,
        f"{SERVER}a_standby_is_refused",
        edit(postgres_server.check, 'if server["standby"]:', "if False:"),
    ),
    Bug(
        "Tables that a crash empties are taken",
        DURABLE,
        f"{SERVER}unlogged_tables_are_refused",
        edit(postgres_server.check, 'if server["unlogged"]:', "if False:"),
    ),
    Bug(
        "A server that came back with other settings is not looked at again",
        DURABLE,
        "tests/store/test_postgres_away.py::test_a_server_that_came_back_unsafe_is_as_good_as_away",
        edit(postgres.PostgresLedger._connect, "await check(link, self._book)", "pass"),
    ),
    Bug(
        "The installation's id is drawn anew at each start, on PostgreSQL",
        "one order",
        f"{OPENING}test_the_second_time_nothing_is_drawn[postgres]",
        edit(
            postgres_schema._apply,
            "if not pending([tuple(row) for row in applied], migrations()): return",
            "if False: return",
            'if INSTALLATION not in {row["name"] for row in meta}:',
            "if meta is not None:",
        ),
    ),
    Bug(
        "What a migration made is there before its record is, on PostgreSQL",
        ENDS,
        f"{MIGRATING}TestADeath::test_in_the_middle_of_the_migrations_leaves_nothing_in_the_way[postgres-2]",
        edit(
            postgres_schema._apply,
            "await link.execute(rendered(migration.text, POSTGRES_WORDS))",
            "await link.execute(rendered(migration.text, POSTGRES_WORDS) + '; COMMIT; BEGIN')",
        ),
        fails=("StartRefused", "Unavailable", "DatabaseRefused"),
    ),
    Bug(
        "More connections are made than are allowed",
        ENDS,
        f"{SERVER}too_few_connections_make_callers_wait_but_not_for_ever",
        edit(postgres_link.Links.__init__, "asyncio.Semaphore(size)", "asyncio.Semaphore(size + 1)"),
    ),
    Bug(
        "A connection that comes back is not lent again",
        ENDS,
        f"{SERVER}too_few_connections_make_callers_wait_but_not_for_ever",
        edit(postgres_link.Links.lend, "self._free.release()", "pass"),
        fails=("Unavailable",),
    ),
    Bug(
        "Raw bytes of a month for which there is no place are refused",
        LOST,
        f"{SERVER}months_are_made_ahead_and_take_in_what_came_before",
        edit(
            postgres_schema.make_raw_months, "missing = sorted(coming - await _raw_months(link, book))", "missing = []"
        ),
    ),
)

BUGS: Final = (*WRITING, *AFTER_A_COMMIT, *SETTING_UP, *READING, *SERVERS)
