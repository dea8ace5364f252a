"""What a consumer refuses, where things are kept, and how it begins and ends."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from oncepay.client.around import Around
from oncepay.client.errors import ArgumentInvalid
from oncepay.client.guards import HandlersMissing, Inbox, Milestone
from oncepay.client.queues import Consumer, LibraryMissing
from oncepay.client.queues.places import Got, read_place
from tests.client.guards.apps import App, open_app
from tests.client.guards.books import Where
from tests.client.guards.payments import NOW_MS, Story, event_of
from tests.client.queues.brokers import SECRET, RabbitBroker, RedisBroker, message_of, signed
from tests.client.queues.shops import (
    asides,
    consumer_of,
    deeds_of_all,
    reading,
    until,
    until_aside,
    until_deeds,
)

ROOT: Final = Path(__file__).parents[3]
NOWHERE: Final = "redis://127.0.0.1:1/0?stream=news"
DAY_MS: Final = 86_400_000


def paid(*numbers: int) -> list[Any]:
    return [event_of(Story(f"A-{n}").pay()) for n in numbers]


def done(*numbers: int) -> dict[tuple[str, str], int]:
    return {(f"A-{n}", "paid"): 1 for n in numbers}


# -- beginning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://shop.example/hook", "not from https://"),
        ("shop", "not from ://"),
        ("redis://u:hunter2@host:6379/0", "a host and a stream: redis://host/0?stream=NAME"),
        ("redis:///0?stream=news", "a host and a stream"),
        ("amqp://u:hunter2@host/vhost", "a host and a queue"),
        ("kafka://u:hunter2@host:9092", "a host and a topic"),
        ("kafka://u:hunter2@host:9092/", "a host and a topic"),
        ("redis://u:hunter2@[::1/0?stream=news", "cannot be read"),
        ("redis://u:hunter2@host/0?stream", "cannot be read"),
        ("redis://u:hunter2@host/0?hunter2", "cannot be read"),
        ("redis://u:hunter2\uff20host/0?stream=news", "cannot be read"),
        ("redis://u:hunter2/xyz@host/0?stream=news", "(/ is %2F, @ is %40)"),
        ("redis://u:12/hunter2@host/0?stream=news", "what stands there for a host"),
        ("redis://u:12/34?stream=hunter2@host/0?stream=news", "what stands there for a host"),
        ("amqp://u:hunter2/xyz@host/v?queue=news", "what stands there for a host"),
        ("amqp://u:12#hunter2@host/v?queue=news", "a host and a queue"),
        ("kafka://u:12/3#hunter2@host/news", "what stands there for a host"),
        ("kafka://u:hunter2@one:9092,,two/news", "what stands there for a host"),
        ("kafka://u:hunter2@one:tea,two/news", "what stands there for a host"),
    ],
)
def test_a_url_that_names_nothing_to_read_is_refused_and_its_password_not_quoted(url: str, why: str) -> None:
    with pytest.raises(ArgumentInvalid, match=re.escape(why)) as error:
        read_place(url)
    assert "hunter2" not in str(error.value)


def test_a_place_is_called_without_its_login() -> None:
    place = read_place("kafkas://u%40x:hunter2@one:9093,two/news?sasl=scram-sha-512")
    assert str(place) == "topic news at one:9093,two"
    assert (place.user, place.password, place.tls, place.options) == ("u@x", "hunter2", True, {"sasl": "scram-sha-512"})
    assert (
        read_place("rediss://:p@host/1?stream=a%20b&replicas=1").without("stream", "replicas") == "rediss://:p@host/1"
    )


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("redis://u:p%2Fw%40@redis_1:6379/0?stream=news", "redis_1:6379"),
        ("rediss://u:p@w@redis/0?stream=news", "redis"),
        ("redis://[fe80::1%25eth0]:6379/0?stream=news", "[fe80::1%25eth0]:6379"),
        ("kafka://127.0.0.1:9092,mq-2.example.com/news", "127.0.0.1:9092,mq-2.example.com"),
        ("amqps://u:p@MQ.example.com/%2F?queue=a%40b", "MQ.example.com"),
    ],
)
def test_hosts_of_any_kind_are_hosts(url: str, hosts: str) -> None:
    assert read_place(url).hosts == hosts


def test_a_place_shows_no_login_to_whoever_prints_it() -> None:
    shown = repr(read_place("redis://shopkeeper:hunter2@host/0?stream=news&password=hunter3"))
    assert "hosts='host'" in shown
    for secret in ("shopkeeper", "hunter"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("url", "library", "extra"),
    [
        ("amqps://host/v?queue=news", "aio_pika", "rabbitmq"),
        ("kafka://host/news", "confluent_kafka", "kafka"),
        ("redis://host/0?stream=news", "redis", "redis"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    url: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*sys.modules]:
        if name.partition(".")[0] == library or name.startswith("oncepay.client.queues."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    from oncepay.client.queues.consumer import Consumer as Fresh
    from oncepay.client.queues.errors import LibraryMissing as Missing

    with pytest.raises(Missing, match=rf"pip install 'oncepay\[{extra}\]'") as error:
        Fresh(url, SECRET, Inbox(lambda: None))  # type: ignore[arg-type, return-value]
    assert library in str(error.value)
    assert issubclass(LibraryMissing, ImportError)


def test_what_cannot_work_is_said_before_anything_is_read() -> None:
    inbox: Inbox[Any] = Inbox(lambda: None)  # type: ignore[arg-type, return-value]
    for secrets in ("", [], "whsec_short", [SECRET, "hunter2"]):
        with pytest.raises(ArgumentInvalid):
            Consumer(NOWHERE, secrets, inbox)
    with pytest.raises(ArgumentInvalid, match="no dead letters"):
        Consumer(NOWHERE, SECRET, inbox, dead_letters=True)
    with pytest.raises(HandlersMissing):
        Consumer(NOWHERE, SECRET, inbox).run()


# -- errors --------------------------------------------------------------------------------------------------------


class Mute(Exception):
    """It cannot even say what is wrong."""

    def __str__(self) -> str:
        raise KeyError(self.args)


@pytest.mark.parametrize("error", [Mute("a"), ValueError("tea \ud83e"), ValueError({"order": ["unknown"]})])
async def test_no_error_of_a_handler_holds_the_others_up(error: Exception, where: Where) -> None:
    def fail(milestone: Milestone) -> None:
        if milestone.payment.order_no == "A-1":
            raise error

    async with open_app("sqlite3", where) as app:
        app.trouble = fail
        consumer = consumer_of(app, NOWHERE)
        assert isinstance(consumer, Consumer)
        got = [Got(message_of(event), n) for n, event in enumerate(paid(1, 2))]
        assert await asyncio.to_thread(consumer.hear, got) == []
        assert await deeds_of_all(app) == done(2)
        (kept,) = await asides(app)
        assert kept.error.startswith(f"{type(error).__name__}: ")


# -- age -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ago_s", "words"), [(600, "signed 10 minutes ago"), (-600, "10 minutes ahead")])
async def test_a_clock_that_is_off_is_explained(stream: RedisBroker, where: Where, ago_s: int, words: str) -> None:
    async with open_app("sqlite3", where) as app:
        await stream.publish(message_of(paid(1)[0], at_ms=NOW_MS - ago_s * 1000), message_of(paid(2)[0]))
        async with reading(app, stream, tolerance_s=300):
            await until_deeds(app, done(2))
            (kept,) = await until_aside(app, 1)
        assert kept.error.startswith("TimeInvalid: the message is genuine")
        assert words in kept.error
        assert "check" in kept.error
        async with reading(app, stream):  # a queue may hold a message for long
            app.clock.advance(60)
            await until_deeds(app, done(1, 2))


async def test_a_message_is_not_older_than_what_the_inbox_remembers(stream: RedisBroker, where: Where) -> None:
    old, older = paid(1, 2)
    async with open_app("sqlite3", where) as app, reading(app, stream):
        await stream.publish(
            message_of(older, at_ms=NOW_MS - 401 * DAY_MS), message_of(old, at_ms=NOW_MS - 399 * DAY_MS)
        )
        await until_deeds(app, done(1))
        (kept,) = await until_aside(app, 1)
        assert "signed 401 days ago" in kept.error


# -- dead letters --------------------------------------------------------------------------------------------------


async def test_rabbitmq_keeps_what_is_refused_when_it_is_told_to(rabbit: RabbitBroker, where: Where) -> None:
    forged = signed(paid(1)[0].id, b"{}")
    dead = f"{rabbit.name}-dead"
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, "x-queue-type": "quorum"}
    async with open_app("sqlite3", where) as app:
        await rabbit.declare(rabbit.name, arguments)
        await rabbit.declare(dead, {})
        await rabbit.publish(message_of(paid(1)[0]), forged, message_of(paid(2)[0]))
        async with reading(app, rabbit, dead_letters=True):
            await until_deeds(app, done(1, 2))

        async def moved() -> bool:  # a quorum queue does it a little later
            return await rabbit.count(dead) > 0

        await until(moved)
        assert (await rabbit.left(), await rabbit.count(dead), await asides(app)) == (0, 1, [])


# -- streams -------------------------------------------------------------------------------------------------------


def entries(stream: RedisBroker) -> int:
    with redis.Redis.from_url(stream.server_url) as client:
        return int(client.xlen(stream.name))


async def test_a_stream_is_cut_where_every_group_has_read_it(stream: RedisBroker, where: Where) -> None:
    seconds: list[float] = [0.0]
    async with open_app("sqlite3", where) as app:
        await stream.publish(*(message_of(event) for event in paid(*range(250))))
        with redis.Redis.from_url(stream.server_url) as client:
            client.xgroup_create(stream.name, "slow", id="0")
        around = Around(now_ms=lambda: app.clock.ms, clock=lambda: seconds[0])
        async with reading(app, stream, around=around):
            await until_deeds(app, done(*range(250)))
            seconds[0] += 3600
            await stream.publish(message_of(paid(250)[0]))
            await until_deeds(app, done(*range(251)))
            assert entries(stream) == 251  # another group needs it
            with redis.Redis.from_url(stream.server_url) as client:
                client.xgroup_destroy(stream.name, "slow")

            async def cut() -> bool:
                seconds[0] += 3600
                return entries(stream) < 100  # it cuts whole blocks

            await until(cut)


@pytest.mark.parametrize("option", ["protocol=3", "decode_responses=true"])
async def test_what_a_url_says_of_the_protocol_changes_nothing(stream: RedisBroker, where: Where, option: str) -> None:
    stream.url += f"&{option}"
    async with open_app("sqlite3", where) as app:
        await stream.publish(*(message_of(event) for event in paid(1, 2)))
        async with reading(app, stream):
            await until_deeds(app, done(1, 2))
            await stream.publish(message_of(paid(3)[0]))
            await until_deeds(app, done(1, 2, 3))
        assert await stream.left() == 0
        assert await asides(app) == []


async def test_who_leaves_is_no_longer_in_the_group(stream: RedisBroker, where: Where) -> None:
    async with open_app("sqlite3", where) as app:
        for n in range(2):
            await stream.publish(message_of(paid(n)[0]))
            async with reading(app, stream):
                await until_deeds(app, done(*range(n + 1)))
        with redis.Redis.from_url(stream.server_url) as client:
            assert client.xinfo_consumers(stream.name, "oncepay") == []


async def test_each_group_gets_all_of_it(stream: RedisBroker, where: Where, tmp_path: Path) -> None:
    other = Where(tmp_path / "other", where.postgres, where.mariadb)
    other.folder.mkdir()
    async with (
        open_app("sqlite3", where) as app,
        open_app("sqlite3", other) as analyst,
        reading(app, stream),
        reading(analyst, stream, group="analyst"),
    ):
        await stream.publish(*(message_of(event) for event in paid(1, 2)))
        await until_deeds(app, done(1, 2))
        await until_deeds(analyst, done(1, 2))


# -- running -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sqlite3", "django-sqlite", "sqlalchemy-psycopg"])
async def test_handlers_run_in_the_thread_that_runs_the_consumer(stream: RedisBroker, where: Where, way: str) -> None:
    """Where Django's connections and anybody's thread-locals are, and no loop is."""
    seen: list[tuple[threading.Thread, bool]] = []

    def run(consumer: Any) -> None:
        seen.append((threading.current_thread(), True))
        consumer.run()

    async with open_app(way, where) as app:
        app.trouble = lambda _: seen.append((threading.current_thread(), asyncio._get_running_loop() is None))
        async with reading(app, stream, run=run):
            await stream.publish(*(message_of(event) for event in paid(1)))
            await until_deeds(app, done(1))
    assert len(seen) == 2
    assert len(set(seen)) == 1


async def test_one_that_was_closed_before_it_ran_does_not_run(where: Where) -> None:
    async with open_app("sqlite3", where) as app:
        consumer: Consumer[Any] = Consumer(NOWHERE, SECRET, _inbox_of(app))
        consumer.close()
        await asyncio.wait_for(asyncio.to_thread(consumer.run), 30)


def _inbox_of(app: App) -> Inbox[Any]:
    found: Inbox[Any] = app.inbox  # type: ignore[attr-defined]
    return found


SHOP: Final = """
import asyncio, sqlite3, sys
from oncepay.client.guards import AsyncInbox, Inbox, link_of, transactions
from oncepay.client.guards.milestones import WORDS
from oncepay.client.queues import AsyncConsumer, Consumer

begin = transactions.dbapi(lambda: sqlite3.connect("shop.db"))
with begin() as db:
    link_of(db).make_tables()
inbox = Inbox(begin)
inbox.on(*WORDS)(lambda db, milestone: print(milestone.payment.order_no, milestone.word, flush=True))
consumer = Consumer("URL", "SECRET", inbox)


class Loud(AsyncConsumer):
    async def run(self):
        print("running", flush=True)
        await super().run()


async def make():
    silent = AsyncInbox(None)
    silent.ignore(*WORDS)
    return Loud("URL", "SECRET", silent)
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("name", "says"), [("consumer", "A-1 paid\n"), ("make", "running\n")])
async def test_it_runs_from_a_shell_until_it_is_told(
    stream: RedisBroker, tmp_path: Path, ending: signal.Signals, name: str, says: str
) -> None:
    (tmp_path / "shop.py").write_text(SHOP.replace("URL", stream.url).replace("SECRET", SECRET))
    await stream.publish(message_of(paid(1)[0]))
    await asyncio.to_thread(_runs_until_told, tmp_path, name, says, ending)


def _runs_until_told(folder: Path, name: str, says: str, ending: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "oncepay.client.queues", f"shop:{name}"],
        cwd=folder, env={"PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == says
        process.send_signal(ending)
        assert process.wait(30) == 0
