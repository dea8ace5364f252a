"""What only SQLite can get wrong: its settings, a full disk, another process on the file, threads, the log."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from oncepay.domain.errors import CommitUnknown, Invalid, Unavailable
from oncepay.ports import Page
from oncepay.store import sqlite_link
from oncepay.store.open import open_ledger
from oncepay.store.refusals import ConfigUnsafe, StartRefused
from oncepay.store.sqlite import SqliteLedger, open_sqlite
from oncepay.store.sqlite_link import Settings, check_library, connect, settings_of
from tests.store.conftest import TOKEN, have
from tests.store.make import T0, created, paid, started


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a database that is not there yet."""
    return tmp_path / "ledger.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SqliteLedger]:
    """On that file, with little patience and no checkpoints of its own accord."""
    opened = await open_sqlite(f"sqlite:///{path}?busy_timeout_ms=100&checkpoint_ms=3600000", token=lambda: TOKEN)
    yield opened
    await opened.close()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o640), (0o007, 0o660), (0o077, 0o600), (0, 0o660)])
async def test_a_new_file_and_its_logs_are_not_for_everybody(path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        ledger = await open_sqlite(f"sqlite:///{path}", token=lambda: TOKEN)
        assert {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {
            f"ledger.db{tail}": mode for tail in ("", "-wal", "-shm")
        }
        await ledger.close()
    finally:
        os.umask(before)


class TestSettings:
    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("sqlite:///oncepay.db", "oncepay.db"),
            ("sqlite:////var/lib/oncepay/ledger.db", "/var/lib/oncepay/ledger.db"),
            ("sqlite:///with%20blank.db", "with blank.db"),
            ("sqlite://:memory:", ""),
            ("sqlite:///:memory:", ""),
            ("sqlite://", ""),
        ],
    )
    def test_where_it_is(self, url: str, path: str) -> None:
        assert settings_of(url).path == path

    @pytest.mark.parametrize("asked", ["off", "normal", "0", "1", "OFF"])
    def test_what_may_lose_a_commit_is_refused_by_name(self, asked: str) -> None:
        with pytest.raises(ConfigUnsafe, match="synchronous") as refused:
            settings_of(f"sqlite:///x.db?synchronous={asked}")
        assert refused.value.setting == "synchronous"

    @pytest.mark.parametrize(
        "url", ["sqlite:///x.db?sync=full", "sqlite://host/x.db", "sqlite:///x.db?wal_max_mb=much", "mysql://x", "x.db"]
    )
    async def test_what_is_no_setting_is_refused(self, url: str) -> None:
        with pytest.raises(Invalid):
            await open_ledger(url, token=lambda: TOKEN)

    @pytest.mark.parametrize(
        ("version", "safe"), [("3.40.1", False), ("3.51.2", False), ("3.51.3", True), ("3.54.1", True)]
    )
    def test_a_library_that_loses_commits_is_refused(self, version: str, safe: bool) -> None:
        if safe:
            check_library(version)
        else:
            with pytest.raises(ConfigUnsafe, match="sqlite library"):
                check_library(version)

    async def test_the_library_that_runs_is_the_one_that_is_checked(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
        with pytest.raises(ConfigUnsafe, match=r"3\.51\.2"):
            await open_sqlite(f"sqlite:///{path}", token=lambda: TOKEN)

    @pytest.mark.parametrize(
        ("pragma", "value", "setting"),
        [
            ("synchronous", "normal", "synchronous"),
            ("foreign_keys", 0, "foreign_keys"),
            ("journal_mode", "delete", "journal_mode"),
            ("locking_mode", "exclusive", "locking_mode"),
            ("mmap_size", 1 << 20, "mmap_size"),
        ],
    )
    def test_settings_are_read_back(self, path: Path, pragma: str, value: str | int, setting: str) -> None:
        settings = Settings(path=str(path))
        link = connect(settings, writer=True)
        sqlite_link._check(link, settings)
        link.pragma(pragma, value)
        with pytest.raises(ConfigUnsafe) as refused:
            sqlite_link._check(link, settings)
        assert refused.value.setting == setting
        link.close()

    @pytest.mark.parametrize("synchronous", ["full", "extra", "FULL"])
    async def test_every_connection_is_safe(self, path: Path, synchronous: str) -> None:
        ledger = await open_sqlite(f"sqlite:///{path}?synchronous={synchronous}", token=lambda: TOKEN)
        for link in (ledger._writer.link, ledger._near, ledger._far):
            assert link.pragma("journal_mode") == "wal"
            assert link.pragma("wal_autocheckpoint") == 0
            assert link.pragma("synchronous") == {"full": 2, "extra": 3}[synchronous.lower()]
        await ledger.close()

    @pytest.fixture
    def garbage(self, path: Path) -> Path:
        """A file that is no database."""
        path.write_bytes(b"not a database, and long enough to be looked at" * 100)
        return path

    async def test_a_file_that_is_no_database(self, garbage: Path) -> None:
        with pytest.raises(StartRefused):
            await open_sqlite(f"sqlite:///{garbage}", token=lambda: TOKEN)

    async def test_a_place_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StartRefused):
            await open_sqlite(f"sqlite:///{tmp_path}/no/such/folder/x.db", token=lambda: TOKEN)

    async def test_without_any_thread(self, path: Path) -> None:
        """For a simulated loop: everything happens on it."""
        before = threading.active_count()
        ledger = await open_sqlite(f"sqlite:///{path}?inline=true", token=lambda: TOKEN)
        first = created()
        await have(ledger, first, started(first.payment))
        assert len((await ledger.payments("shop", Page()))[0]) == 1
        assert threading.active_count() == before
        await ledger.close()


class TestAFullDisk:
    async def test_nothing_is_acknowledged_and_it_recovers_by_itself(self, ledger: SqliteLedger) -> None:
        link = ledger._writer.link
        kept = [created(f"A-{i}") for i in range(50)]
        assert all(await asyncio.gather(*map(ledger.commit, kept)))
        link.pragma("max_page_count", link.pragma("page_count") + 5)
        too_much = [created(f"B-{i}", subject="x" * 2_000) for i in range(100)]
        outcomes = await asyncio.gather(*map(ledger.commit, too_much), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        assert "full" in str(outcomes[0])
        assert [await ledger.load(change.payment.id) for change in too_much] == [None] * 100
        assert [await ledger.load(change.payment.id) for change in kept] == [change.payment for change in kept]
        await ledger.ping()

        link.pragma("max_page_count", 1 << 30)
        assert all(await asyncio.gather(*map(ledger.commit, too_much)))

    async def test_whatever_else_is_written(self, ledger: SqliteLedger) -> None:
        await have(ledger, created(due_ms=T0))
        link = ledger._writer.link
        link.pragma("max_page_count", link.pragma("page_count"))
        for i in range(200):
            try:
                await have(ledger, created(f"B-{i}", subject="x" * 3_000))
            except Unavailable:
                break
        else:
            pytest.fail("never full")
        link.pragma("max_page_count", 1 << 30)
        assert len(await ledger.claim_due(T0, T0 + 1, 10)) == 1


class TestAFileThatCannotBeWritten:
    async def test_reads_go_on_writes_are_unavailable(self, ledger: SqliteLedger) -> None:
        before = await have(ledger, created(due_ms=T0))
        ledger._writer.link.pragma("query_only", 1)  # the same answer as of a read-only file
        with pytest.raises(Unavailable):
            await ledger.commit(created("B"))
        with pytest.raises(Unavailable):
            await ledger.claim_due(T0, T0 + 1, 10)
        assert await ledger.load(before.id) == before
        ledger._writer.link.pragma("query_only", 0)
        assert await ledger.commit(created("B"))


class TestAnotherProcessOnTheFile:
    async def test_is_waited_for_beside_the_loop(self, path: Path) -> None:
        ledger = await open_sqlite(f"sqlite:///{path}", token=lambda: TOKEN)
        other = apsw.Connection(str(path))
        for order_no in ("first", "second"):
            other.execute("BEGIN IMMEDIATE")
            wait = asyncio.ensure_future(ledger.commit(created(order_no)))
            began = asyncio.get_running_loop().time()
            await asyncio.wait([wait], timeout=0.05)
            assert not wait.done()
            assert await ledger.load("0" * 26) is None
            assert asyncio.get_running_loop().time() - began < 2, "the loop runs and reads answer"
            other.execute("COMMIT")
            assert await wait
        other.close()
        await ledger.close()

    async def test_is_waited_for_when_opening(self, path: Path) -> None:
        other = apsw.Connection(str(path))
        other.execute("BEGIN EXCLUSIVE")
        letting_go = threading.Timer(0.05, other.execute, ("COMMIT",))
        letting_go.start()
        ledger = await open_sqlite(f"sqlite:///{path}", token=lambda: TOKEN)
        letting_go.join()
        other.close()
        assert await ledger.commit(created())
        await ledger.close()

    async def test_but_not_for_ever(self, ledger: SqliteLedger, path: Path) -> None:
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="another process"):
            await ledger.commit(created())
        other.execute("COMMIT")
        assert await ledger.commit(created())
        other.close()


class TestCommits:
    async def test_readers_are_never_behind_a_commit(self, ledger: SqliteLedger) -> None:
        first = created()
        before = await have(ledger, first)
        let_go = threading.Event()
        commit = ledger._writer._commit

        def slow_disk() -> None:
            let_go.wait(60)
            commit()

        ledger._writer._commit = slow_disk  # type: ignore[method-assign]
        wait = asyncio.ensure_future(ledger.commit(started(before)))
        await asyncio.wait([wait], timeout=0.05)
        assert await ledger.load(before.id) == before, "as last committed"
        assert (await ledger.payments("shop", Page()))[0] == [before]
        assert await ledger.cases(Page()) == ([], "")
        assert not wait.done()
        let_go.set()
        assert await wait

    async def test_one_that_could_not_be_flushed_is_unknown_and_is_settled_by_committing_again(
        self, ledger: SqliteLedger
    ) -> None:
        commit = ledger._writer._commit
        failing = [True]

        def broken_disk() -> None:
            if failing.pop():
                raise apsw.IOError("disk I/O error")
            commit()

        ledger._writer._commit = broken_disk  # type: ignore[method-assign]
        change = created()
        with pytest.raises(CommitUnknown):
            await ledger.commit(change)
        assert not ledger._writer.link.in_transaction
        failing.append(False)
        assert await ledger.commit(change)

    async def test_one_that_did_happen_without_an_answer_is_known_again(self, ledger: SqliteLedger) -> None:
        commit = ledger._writer._commit

        def lost_answer() -> None:
            commit()
            ledger._writer._commit = commit  # type: ignore[method-assign]
            raise apsw.IOError("disk I/O error")

        change = created()
        ledger._writer._commit = lost_answer  # type: ignore[method-assign]
        with pytest.raises(CommitUnknown):
            await ledger.commit(change)
        assert await ledger.commit(change), "it carries our change id"

    @pytest.mark.parametrize("steps", range(6))
    async def test_a_caller_that_goes_away_leaves_no_transaction_open(self, ledger: SqliteLedger, steps: int) -> None:
        await have(ledger, created(due_ms=T0))
        other = apsw.Connection(str(ledger._writer.link.db_filename("main")))
        for held in (False, True):
            if held:
                other.execute("BEGIN IMMEDIATE")
            task = asyncio.ensure_future(ledger.postpone(created().payment.id, 0, T0 + 1))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            if held:
                other.execute("COMMIT")
            await asyncio.gather(task, return_exceptions=True)
            assert not ledger._writer.link.in_transaction
            assert await ledger.commit(created(f"B-{held}"))
        other.close()


class TestTheLog:
    async def test_is_emptied_beside_the_writer(self, ledger: SqliteLedger) -> None:
        await have(ledger, *(created(f"A-{i}") for i in range(20)))
        assert ledger._checkpoints is not None
        pages, done = await ledger._checkpoints.once()
        assert pages == done > 0
        assert await ledger._checkpoints.once() == (0, 0), "nothing was written since"

    async def test_starts_again_when_it_has_grown_large(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Under a steady load no passive checkpoint finds the log at rest: somebody always reads behind its end."""
        ledger = await open_sqlite(f"sqlite:///{path}?wal_max_mb=0&checkpoint_ms=3600000", token=lambda: TOKEN)
        assert ledger._checkpoints is not None
        run, reader = ledger._checkpoints._thread.run, apsw.Connection(str(path))

        async def under_load(work: Any) -> Any:
            done = await run(work)
            reader.close(force=True)
            return done

        monkeypatch.setattr(ledger._checkpoints._thread, "run", under_load)
        snapshot = reader.cursor().execute("SELECT name FROM meta")
        next(snapshot)
        await have(ledger, *(created(f"A-{i}", subject="x" * 500) for i in range(20)))
        large, done = await ledger._checkpoints.once()
        assert done < large
        await have(ledger, created("next"))
        small, _ = await ledger._checkpoints.once()
        assert small < large / 2
        await ledger.close()

    async def test_a_reader_in_it_is_not_waited_for_long(self, path: Path) -> None:
        ledger = await open_sqlite(f"sqlite:///{path}?wal_max_mb=0&checkpoint_ms=3600000", token=lambda: TOKEN)
        assert ledger._checkpoints is not None
        await have(ledger, created("A"))
        reader = apsw.Connection(str(path))
        snapshot = reader.cursor().execute("SELECT count(*) FROM payment")
        next(snapshot)
        await have(ledger, created("B"))
        await ledger._checkpoints.once()
        assert await ledger.commit(created("C")), "the writer goes on"
        reader.close(force=True)
        await ledger.close()

    async def test_a_checkpoint_that_fails_is_tried_again(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        ledger = await open_sqlite(f"sqlite:///{path}?checkpoint_ms=1", token=lambda: TOKEN)
        assert ledger._checkpoints is not None
        once, rounds = ledger._checkpoints.once, asyncio.Queue[bool]()

        async def failing() -> tuple[int, int]:
            rounds.put_nowait(True)
            if rounds.qsize() == 1:
                raise apsw.FullError("disk full")
            return await once()

        ledger._checkpoints.once = failing  # type: ignore[method-assign]
        for _ in range(3):
            await have(ledger, created(f"A-{rounds.qsize()}"))
            await asyncio.wait_for(rounds.get(), 5)
        assert "checkpoint.failed" in caplog.text
        await ledger.close()

    async def test_a_large_group_is_one_commit(self, ledger: SqliteLedger) -> None:
        commits = []
        commit = ledger._writer._commit
        ledger._writer._commit = lambda: (commits.append(1), commit())[-1]  # type: ignore[method-assign, func-returns-value]
        changes = [created(f"A-{i}") for i in range(100)]
        await asyncio.gather(*map(ledger.commit, changes))
        await asyncio.gather(*(ledger.commit(paid(change.payment, endpoints=("e",))) for change in changes))
        assert len(commits) == 2

    async def test_unreadable_payments_stop_nobody(
        self, ledger: SqliteLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A row of a newer release, or a damaged one."""
        bad, good = created("bad", due_ms=T0), created("good", due_ms=T0)
        await have(ledger, bad, good)
        ledger._writer.execute("UPDATE payment SET doc = '{' WHERE order_no = 'bad'")
        assert [due.payment.order_no for due in await ledger.claim_due(T0, T0 + 1, 10)] == ["good"]
        assert "payment.unreadable" in caplog.text


async def test_raw_bytes_are_forgotten_by_month_a_piece_at_a_time(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = await have(ledger, created(), paid(created().payment))
    insert = ledger._sql["insert_raw"]
    for i in range(25):
        ledger._writer.execute(insert, (202310, f"P{i}", 1, 0, b"x"))
    monkeypatch.setattr("oncepay.store.sqlite.LIST_MAX", 10)
    transaction, pieces = ledger._writer.transaction, []

    async def counted(work: Any) -> Any:
        pieces.append(await transaction(work))
        return pieces[-1]

    monkeypatch.setattr(ledger._writer, "transaction", counted)
    await ledger.forget_raw(202311)
    assert list(ledger._near.execute("SELECT month, payment_id, body FROM raw")) == [
        (202311, payment.id, b'{"notify":1}')
    ]  # fmt: skip
    assert pieces == [10, 10, 5]
    await ledger.forget_raw(202312)
    assert list(ledger._near.execute("SELECT * FROM raw")) == []
    assert len(await ledger.evidence(payment.id)) == 1, "the facts stay"


def test_errors_have_one_meaning_each() -> None:
    known = Unavailable("already said")
    assert sqlite_link.unavailable(known) is known
    assert isinstance(sqlite_link.unavailable(apsw.ConstraintError("x")), Invalid)
    assert type(sqlite_link.unavailable(apsw.CorruptError("x"))) is Unavailable
    assert msgspec.structs.fields(Settings)[0].name == "path"
