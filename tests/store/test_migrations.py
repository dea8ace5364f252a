"""Migrations on both databases: once each, whoever starts first; refused when they are not ours. And the SQL files."""

from __future__ import annotations

import asyncio
import doctest
import os
import re
import signal
from collections.abc import Mapping
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import apsw
import pytest

from oncepay.domain.change import Verb
from oncepay.domain.errors import Unavailable
from oncepay.ports import Page
from oncepay.store import migrations, postgres_schema, rows, sqlite, statements
from oncepay.store.migrations import (
    POSTGRES_WORDS,
    SQLITE_WORDS,
    Migration,
    checksum,
    drawn,
    pending,
    rendered,
)
from oncepay.store.open import open_ledger
from oncepay.store.refusals import MigrationRefused, StartRefused
from oncepay.testing.servers import run_sql
from tests.store.conftest import TOKEN, eventually, have
from tests.store.make import act, created, paid


def run(url: str, statement: str) -> None:
    """One statement behind the ledger's back."""
    if url.startswith("sqlite"):
        link = apsw.Connection(url.removeprefix("sqlite:///"))
        link.execute(statement)
        link.close()
    else:
        run_sql(url, statement)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that outlives its ledger, new and empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    database: str = request.getfixturevalue("postgres_database")
    return database


class TestOpening:
    async def test_many_at_once_make_one_installation(self, url: str) -> None:
        async def opening(i: int) -> tuple[str, str]:
            ledger = await open_ledger(url, token=lambda: f"token-{i}" * 4)
            await ledger.close()
            return ledger.installation, ledger.epoch

        assert len({await made for made in asyncio.as_completed([opening(i) for i in range(4)])}) == 1

    async def test_the_second_time_nothing_is_drawn(self, url: str) -> None:
        first = await open_ledger(url, token=lambda: TOKEN)
        await first.close()

        def no_dice() -> str:
            pytest.fail("the installation id is drawn once")

        for migrate in (False, True):
            again = await open_ledger(url, token=no_dice, migrate=migrate)
            assert again.installation == TOKEN
            await again.close()

    async def test_without_migrating_an_empty_database_is_refused(self, url: str) -> None:
        with pytest.raises(StartRefused):
            await open_ledger(url, token=lambda: TOKEN, migrate=False)
        ledger = await open_ledger(url, token=lambda: TOKEN)
        await ledger.close()

    @pytest.mark.parametrize(
        "tampering",
        [
            "UPDATE migration SET checksum = 'edited' WHERE number = 1",
            "INSERT INTO migration (number, name, checksum) VALUES (9999, 'of_a_newer_release', 'x')",
            "UPDATE migration SET number = 7 WHERE number = 1",
        ],
    )
    @pytest.mark.parametrize("migrate", [True, False])
    async def test_what_other_files_made_is_refused(self, url: str, tampering: str, migrate: bool) -> None:
        ledger = await open_ledger(url, token=lambda: TOKEN)
        await ledger.close()
        run(url, tampering)
        with pytest.raises(MigrationRefused):
            await open_ledger(url, token=lambda: TOKEN, migrate=migrate)

    async def test_a_migration_that_fails_leaves_nothing(self, url: str) -> None:
        """Everything is one transaction: it stops at a table that is in the way, and goes through when it is gone."""
        run(url, "CREATE TABLE endpoint (in_the_way INTEGER)")
        with pytest.raises((Unavailable, StartRefused)):
            await open_ledger(url, token=lambda: TOKEN)
        run(url, "DROP TABLE endpoint")
        ledger = await open_ledger(url, token=lambda: TOKEN)
        await ledger.ping()
        await ledger.close()


def dies_at(url: str, step: int) -> None:
    """A process that is killed as it comes to this migration."""
    steps = count(1)

    def deadly(text: str, words: Mapping[str, str]) -> str:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return rendered(text, words)

    for module in (sqlite, postgres_schema):
        vars(module)["rendered"] = deadly
    asyncio.run(open_ledger(url, token=lambda: TOKEN))


class TestADeath:
    @pytest.mark.parametrize("step", [2, 3])
    def test_in_the_middle_of_the_migrations_leaves_nothing_in_the_way(self, url: str, step: int) -> None:
        dying = get_context("fork").Process(target=dies_at, args=(url, step))
        dying.start()
        dying.join()
        assert dying.exitcode == -signal.SIGKILL

        async def again() -> None:
            ledger = await open_ledger(url, token=lambda: TOKEN)
            await have(ledger, created())
            await ledger.close()

        asyncio.run(again())


class TestSideBySide:
    async def test_a_process_goes_on_while_a_newer_release_brings_the_tables_up_to_date(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = migrations.migrations()
        with monkeypatch.context() as older:
            for module in (sqlite, postgres_schema):
                older.setattr(module, "migrations", lambda: whole[:-1])
            old = await open_ledger(url, token=lambda: TOKEN)
        first, second = created("A-1"), created("A-2")
        await have(old, first)
        new = await open_ledger(url, token=lambda: pytest.fail("drawn once"))
        await have(old, second)
        await have(new, paid(second.payment))
        await have(old, paid(first.payment))
        for ledger in (old, new):
            for change in (first, second):
                known = await ledger.load(change.payment.id)
                assert known is not None
                assert known.rev == 2
        await old.close()
        await new.close()


class TestAnOlderRelease:
    """Its database, with what is in it, is brought up to date."""

    async def test_facts_and_cases_from_before_cases_could_be_dealt_with(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = migrations.migrations()[:1]
        with monkeypatch.context() as older:
            for module in (sqlite, postgres_schema):
                older.setattr(module, "migrations", lambda: first)
            ledger = await open_ledger(url, token=lambda: TOKEN)
            await ledger.close()
        payment_id, case_id = "P" * 26, "C" * 26
        run(
            url,
            f"INSERT INTO evidence VALUES ('{payment_id}', 2, 0, 'n', 'a', 'query', 'moved', '', 'T', 1, 'CNY', 1, 1, '', 1)",
        )
        run(
            url,
            f"INSERT INTO cases VALUES ('{case_id}', '{payment_id}', '', 'shop', 'k', 'open', 'Look.', 1, 0, 1, '', '{{}}')",
        )
        with pytest.raises(StartRefused):
            await open_ledger(url, token=lambda: TOKEN, migrate=False)
        ledger = await open_ledger(url, token=lambda: pytest.fail("drawn once"))
        (known,) = await ledger.evidence(payment_id)
        assert (known.trade_no, known.wrong) == ("T", "")
        ((row,), _) = await ledger.cases(Page())
        assert await ledger.acts(row.id) == []
        assert await ledger.resolve_case(act(row.id, Verb.RESOLVE, "done"))
        assert [done.reason for done in await ledger.acts(row.id)] == ["done"]
        await ledger.close()


class TestARestore:
    async def test_starts_the_feed_again_for_everybody(self, url: str) -> None:
        """A place that was given after the backup is given again: a reader who went on from it would miss events."""
        ledger = await open_ledger(url, token=lambda: TOKEN)
        first = created()
        await have(ledger, first, paid(first.payment))
        _, after = await ledger.events("shop", Page(after=rows.cursor(ledger.epoch, 10**15, "", 0)))
        assert (await ledger.events("shop", Page(after=after)))[0] == []
        await ledger.start_epoch("another token")
        await ledger.close()
        restored = await open_ledger(url, token=lambda: TOKEN)
        assert restored.epoch != ledger.epoch
        assert restored.installation == TOKEN, "ids of payments are made from it"

        async def all_again() -> bool:
            events, _ = await restored.events("shop", Page(after=after))
            return [event.payment_id for event in events] == [first.payment.id]

        await eventually(all_again)
        await restored.close()


class TestWhatIsPending:
    KNOWN = tuple(Migration(n, f"m{n}", f"text {n}", checksum(f"text {n}")) for n in (1, 2, 3))

    def test_what_is_not_applied_in_order(self) -> None:
        assert pending([], self.KNOWN) == list(self.KNOWN)
        assert pending([(1, "m1", checksum("text 1"))], self.KNOWN) == list(self.KNOWN[1:])

    @pytest.mark.parametrize(
        "applied",
        [
            [(1, "m1", "edited")],
            [(2, "m2", checksum("text 2"))],
            [(n, f"m{n}", checksum(f"text {n}")) for n in (1, 2, 3, 4)],
        ],
    )
    def test_what_is_not_ours(self, applied: list[tuple[int, str, str]]) -> None:
        with pytest.raises(MigrationRefused):
            pending(applied, self.KNOWN)

    def test_numbers_follow_each_other(self) -> None:
        assert [migration.number for migration in migrations.migrations()] == list(
            range(1, len(migrations.migrations()) + 1)
        )

    def test_what_is_drawn(self) -> None:
        one, other = drawn("a" * 32), drawn("b" * 32)
        assert one["installation"] == "a" * 32
        assert one["epoch"] != other["epoch"]
        assert one["epoch"] not in one["installation"]

    def test_both_databases_know_every_word(self) -> None:
        for migration in migrations.migrations():
            for words in (SQLITE_WORDS, POSTGRES_WORDS):
                assert "{" not in rendered(migration.text, words)
        with pytest.raises(KeyError):
            rendered("{UNHEARD_OF}", SQLITE_WORDS)


class TestStatements:
    @pytest.mark.parametrize("module", [statements, rows], ids=lambda module: module.__name__)
    def test_examples(self, module: object) -> None:
        assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "text",
        ["SELECT 1", "-- name: one\nSELECT 1;", "-- name: one\n", "-- first\n-- name: one\n-- why\nSELECT 1;"],
    )
    def test_each_has_a_name_and_says_what_it_is_for(self, text: str) -> None:
        with pytest.raises(ValueError):
            list(statements.parse(text))

    def test_parsing(self) -> None:
        text = "-- name: one\n-- Why.\n-- More.\nSELECT ':a' -- kept\n;\n\n-- name: two\n-- Why.\nSELECT :b::text"
        assert dict(statements.parse(text)) == {"one": "SELECT ':a' -- kept\n", "two": "SELECT :b::text"}

    def test_every_statement_of_sqlite_goes_through_an_index(self) -> None:
        """Those that read a table whole are named, and read small tables."""
        link = apsw.Connection(":memory:")
        for migration in migrations.migrations():
            link.execute(rendered(migration.text, SQLITE_WORDS))
        link.execute(statements.load("migrations.sql")["create_records"])
        whole = {
            "list_apps", "list_keys", "list_accounts", "list_endpoints", "due_endpoints", "list_cases", "ping", "stats",
            "create_endpoint", "is_kept_put_off", "bring_kept_back",
        }  # fmt: skip
        scanning = set()
        for name, text in statements.load("sqlite").items():
            plan = [row[3] for row in link.execute(f"EXPLAIN QUERY PLAN {text}", _bindings(text))]
            if any(re.match(r"SCAN (?!CONSTANT|\()", step) for step in plan):
                scanning.add(name)
        assert scanning == whole

    def test_every_statement_of_sqlite_is_used(self) -> None:
        sources = "".join(path.read_text() for path in Path(statements.__file__).parent.glob("sqlite*.py"))
        assert [name for name in statements.load("sqlite") if f'"{name}"' not in sources] == []


def _bindings(text: str) -> dict[str, int] | tuple[int, ...]:
    names = set(re.findall(r":(\w+)", text))
    if names:
        return dict.fromkeys(names, 0)
    numbered = [int(number) for number in re.findall(r"\?(\d+)", text)]
    return (0,) * (max(numbered) if numbered else text.count("?"))
