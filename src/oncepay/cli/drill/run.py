"""One drill from its start to its verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from oncepay.cli import exits
from oncepay.cli.drill.load import Load, heard
from oncepay.cli.drill.monkey import GAPS_S, MORTALS, Deed, Monkey
from oncepay.cli.drill.report import markdown, page, summary
from oncepay.cli.drill.screen import Screen
from oncepay.cli.drill.stage import Stage

KILLS_A_MINUTE: Final = 20
DATABASE_KILLS_A_MINUTE: Final = 2
FAST: Final = 6.0
# Deeds that must have struck, where there are the means, in a drill that is long enough for so many TURNS: at whose
# pace, and the goal.
STRUCK: Final = {
    "cut a commit": ("cut a commit", "connections cut in the middle of a commit"),
    "fill disk": ("fill disk", "a disk that was full"),
    "wipe": ("wipe Valkey", "a Valkey that was wiped"),
    "jump clock": ("jump clock", "clocks that were wrong"),
    "shut": ("shut shop", "a shop that was shut"),
}
TURNS: Final = 4
AFTER_S: Final = 3.0  # the load goes on for so long after the last deed
_UNKNOWN: Final = re.compile(r"commit\.unknown changes=(\d+)")
_SETTLED: Final = re.compile(r"commit\.settled stored=(\d+) decided_again=(\d+)")
_UNSETTLED: Final = re.compile(r"commit\.unsettled changes=(\d+)")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A second of it: orders begun, payments taken by a channel, heard of by the shop, processes alive."""

    at_s: float
    orders: int
    taken: int
    heard: int
    alive: int


class Commits(msgspec.Struct, kw_only=True):
    """Commits whose answer was lost, each of a group of changes, and what became of the changes. ``unasked``: of those
    the process was killed before the database had answered; what it was doing was due for another."""

    commits: int = 0
    changes: int = 0
    stored: int = 0
    decided_again: int = 0
    told_unknown: int = 0

    @property
    def unasked(self) -> int:
        """Changes whose process died first."""
        return self.changes - self.stored - self.decided_again - self.told_unknown


class Told(msgspec.Struct, kw_only=True):
    """What a drill saw."""

    seconds: float
    seed: int
    deeds: list[Deed]
    samples: list[Sample]
    seen: dict[str, Any]
    commits: Commits
    kills: dict[str, int]
    wrong: list[str]
    audit: dict[str, Any]
    ended: dict[str, list[int]]
    skipped: list[str]
    disk: str
    goals: dict[str, bool] = {}

    @property
    def green(self) -> bool:
        """As promised, and enough was done to it."""
        return not self.wrong and not self.audit["findings"] and all(self.goals.values())


async def play(*, minutes: float, seed: int, rate: float, report: Path, keep: Path | None) -> int:
    """``oncepay drill``: its exit code. SIGTERM ends it as Ctrl-C does, and nothing is left running."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.ExitStack() as stack:
        home = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oncepay-drill-")))
        home.mkdir(parents=True, exist_ok=True)
        try:
            screen = stack.enter_context(Screen())
            told = await drill(home.resolve(), seconds=minutes * 60, seed=seed, rate=rate, screen=screen)
        except asyncio.CancelledError:
            return exits.INTERRUPTED
    pages = {".md": markdown(told), ".html": page(told)}
    for ending, text in pages.items():
        report.with_name(report.name + ending).write_text(text, encoding="utf-8")
    sys.stdout.write(pages[".md"])
    sys.stdout.write("\n" + msgspec.json.encode(summary(told)).decode() + "\n")
    return exits.OK if told.green else exits.FAILED


async def drill(home: Path, *, seconds: float, seed: int, rate: float, screen: Screen, fast: float = FAST) -> Told:
    """A drill in an empty folder. ``rate``: of each fault of the channels. ``fast``: seconds of the world's time in one
    of ours."""
    screen.say("starting PostgreSQL, Valkey, RabbitMQ, the sandbox, two serve, two work, a shop")
    async with Stage(home) as stage:
        load = Load(stage, seconds=seconds + AFTER_S, seed=seed, rate=rate, fast=fast)
        monkey = Monkey(stage, seed, screen.say)
        samples: list[Sample] = []
        watching = asyncio.create_task(_watch(stage, load, monkey, samples, screen))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(load.storm())
                group.create_task(monkey.run(seconds))
            screen.say("peace: no faults any more; time passes until everything has been found out")
            wrong = await load.peace()
            wrong += await load.broken_promises()
            wrong += await load.silent_queue()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        screen.say("the audit")
        audit = await _audited(stage)
        told = Told(
            seconds=seconds, seed=seed, deeds=monkey.deeds, samples=samples, seen=load.counted(), wrong=wrong,
            audit=audit, commits=_commits(stage), kills=dict(monkey.kills), disk=stage.database.small,
            ended={name: member.ended for name, member in stage.members.items() if member.ended},
            skipped=_skipped(stage),
        )  # fmt: skip
        told.seen["PostgreSQL ended by itself"] = stage.database.panics
        told.seen["PostgreSQL found its disk full"] = stage.database.log.read_bytes().count(b"No space left on device")
        told.seen["seconds of the audit"] = audit.get("took_s", 0)
        told.seen["orders"] = len(load.buyers)
        set_goals(told, set(MORTALS) | ({"RabbitMQ"} if stage.rabbit else set()))
        return told


async def _watch(stage: Stage, load: Load, monkey: Monkey, samples: list[Sample], screen: Screen) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(1)
        sample = Sample(
            at_s=round(time.monotonic() - began, 1),
            orders=len(load.buyers),
            taken=load.seen["paid at the channel"],
            heard=await asyncio.to_thread(heard, stage.shop.books.path),
            alive=sum(member.alive for member in stage.members.values()),
        )
        samples.append(sample)
        screen.show(sample, monkey.deeds)


async def _audited(stage: Stage) -> dict[str, Any]:
    """``oncepay audit`` as an operator runs it, with the channel's books."""
    books = stage.home / "books.json"
    books.write_text(json.dumps(await stage.control("GET", "books")), encoding="utf-8")
    began = time.monotonic()
    code, said = await stage.operator("audit", "--books", str(books), "--json")
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError:
        return {"findings": [{"rule": "audit", "text": f"it ended with {code}: {said[-500:]}"}]}
    found["took_s"] = round(time.monotonic() - began, 1)
    return found


def _commits(stage: Stage) -> Commits:
    found = Commits()
    for member in stage.centre_members():
        for line in stage.said(member.name):
            if match := _UNKNOWN.search(line):
                found.commits += 1
                found.changes += int(match[1])
            elif match := _SETTLED.search(line):
                found.stored += int(match[1])
                found.decided_again += int(match[2])
            elif match := _UNSETTLED.search(line):
                found.told_unknown += int(match[1])
    return found


def _skipped(stage: Stage) -> list[str]:
    found = []
    if not stage.database.small:
        found.append(f"full disk: {stage.database.why}")
    if stage.rabbit is None:
        found.append("RabbitMQ: there is none on this machine (Debian: rabbitmq-server)")
    return found


def set_goals(told: Told, mortals: set[str]) -> None:
    """Enough must have been done to it, or that all is well says little. ``mortals``: who must have been killed."""
    minutes = told.seconds / 60
    did = Counter(deed.what for deed in told.deeds)
    told.goals = {
        f"at least {int(KILLS_A_MINUTE * minutes)} kills": sum(told.kills.values()) >= int(KILLS_A_MINUTE * minutes),
        f"at least {int(DATABASE_KILLS_A_MINUTE * minutes)} of the database server": told.kills.get("PostgreSQL", 0)
        >= int(DATABASE_KILLS_A_MINUTE * minutes),
        "everyone was killed": mortals <= told.kills.keys(),
        "commits whose answer was lost": told.commits.commits > 0,
        "surplus that went back": told.seen.get("refund of surplus: done", 0) > 0,
        "processes stopped and continued": did["stop"] > 0,
        "connections dropped": did["drop connections"] > 0,
    }
    struck = Counter({deed: did[deed] for deed in STRUCK})
    struck["fill disk"] = told.seen.get("PostgreSQL found its disk full", 0)  # filled is not enough: it must be noticed
    for deed, (gap, goal) in STRUCK.items():
        if told.seconds >= TURNS * GAPS_S[gap] and (deed != "fill disk" or told.disk):
            told.goals[goal] = struck[deed] > 0
