"""Worlds from seeds: the same seed is the same world, and in every one the promises are kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from typing import Any, Final

import msgspec
import pytest

from oncepay.engine import step
from oncepay.sandbox.wechat import refunds
from oncepay.sandbox.wechat.wire import Refusal
from oncepay.testing.edits import edit
from oncepay.testing.sim.options import Options, draw
from oncepay.testing.sim.payers import Payer
from oncepay.testing.sim.run import run
from oncepay.testing.sim.shop import Shop
from oncepay.testing.sim.world import World

_COUNTED: Final = re.compile(r"^ *([\d,]+) +(worlds|of them became payments|faults)\b", re.MULTILINE)


def test_500_worlds_are_as_promised_and_in_them_everything_happens() -> None:
    """As whoever doubts it would run it: it also ends with 1 when something that must happen sometimes never did."""
    command = [sys.executable, "-m", "oncepay.testing.sim", "--seeds", "0:500", "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {what: int(count.replace(",", "")) for count, what in _COUNTED.findall(done.stdout)}
    assert said["worlds"] == 500
    assert said["of them became payments"] > 3_500
    assert said["faults"] > 20_000


def test_the_same_seed_is_the_same_world_in_another_process_and_with_other_hashes() -> None:
    said, options = [], msgspec.structs.replace(draw(33), queue=True, broken=3, rotations=4)
    given = msgspec.json.encode(options).decode()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "oncepay.testing.sim", "--replay", "33", "--options", given]
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    assert said[0] == said[1]
    assert said[0].splitlines()[-1] == f"trace {run(33, options).digest}", "and in this process, after other worlds"


def test_other_seeds_are_other_worlds() -> None:
    assert len({run(seed).digest for seed in range(3)}) == 3
    assert not any(draw(seed) == draw(seed + 1) for seed in range(20))
    assert max(Counter(str(draw(seed)) for seed in range(50)).values()) < 5


@pytest.mark.parametrize("seed", [7, 45, 70])  # the last two with a dozen deaths and eight
def test_real_signatures_and_a_real_file_make_the_same_world_as_their_stand_ins(seed: int) -> None:
    quick, real = (run(seed, msgspec.structs.replace(draw(seed), real=is_real)) for is_real in (False, True))
    assert not quick.complaints
    assert not real.complaints
    assert quick.digest == real.digest


def wants_it_back(world: World) -> list[Payer]:
    """Somebody who pays where a refund may wait for a person, and wants the money back."""
    return [Payer(world, 0, "pays", "wechat native", refund=True)]


def test_a_refund_whose_card_is_gone_is_open_until_a_person_sends_it_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(faults={"refund_abnormal": 1.0})
    world = World(1, options, wants_it_back)
    assert world.run() == []
    assert world.hits["a person sent a refund elsewhere"]
    assert world.hits["a case: refund_abnormal"]

    async def nobody(_: World) -> None:
        """Looks into the console."""

    monkeypatch.setattr(World, "_person", nobody)
    assert {complaint.promise for complaint in World(1, options, wants_it_back).run()} == {"I3", "I15"}


def test_a_new_certificate_is_learned_and_what_it_signs_is_believed() -> None:
    world = World(5, Options(rotations=4))
    assert world.run() == []
    said = [what for _, _, what in world.trace]
    learned = said.index("GET /v3/certificates -> 200")
    assert "wechat signs by a new certificate" in said[:learned]
    assert "notifies /notify/wechat/wechat -> 204" in said[learned:]
    assert world.hits["a process learned a new key of a vendor"]


class WantsSome(Payer):
    """Somebody who wants a third of it back, once."""

    async def _refunds(self, path: str) -> None:
        await self._patiently(f"{path}/refunds", {"refund_no": "some", "minor": self.minor // 3 or 1})


@pytest.mark.parametrize("held", [True, False])
def test_a_process_that_stood_still_for_days_sends_nothing_a_second_time(
    held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its channel refuses the call that another process made in its stead, knows of no such refund, and would carry
    out the late call all the same: that none is made so late is what the next number's call relies on."""
    refused = iter([Refusal(400, "PARAM_ERROR", "no")])
    check = refunds._check

    def refuses_once(*given: Any) -> None:
        for refusal in refused:
            raise refusal
        check(*given)

    monkeypatch.setattr(refunds, "_check", refuses_once)
    late = edit(step._ask, "attempt.until_ms <= engine.clock.now_ms()", "False")
    with nullcontext() if held else late():
        world = World(1, Options(still=1.0), lambda world: [WantsSome(world, 0, "pays", "wechat native", refund=True)])
        complaints = world.run()
    assert world.hits["a process stood still between a refund's intent and its call"] == 1
    assert next(refused, None) is None, "it was refused"
    assert {complaint.promise for complaint in complaints} == (set() if held else {"I4"})


ON_A_BAD_DAY: Final = Options(
    queue=True, broken=3, shop=0.4, crash=0.02,
    roads={"queue lost": 0.3, "queue lost after": 0.3, "queue twice": 0.3},
)  # fmt: skip


def test_a_broker_that_is_down_confirms_that_are_lost_and_consumers_that_die() -> None:
    hits: Counter[str] = Counter()
    for seed in range(4):
        found = run(seed, ON_A_BAD_DAY)
        assert found.complaints == []
        hits.update(found.hits)
    for goal in (
        "the broker was down", "a confirm did not come", "a message came to the broker twice",
        "a consumer died before it had taken a message in", "a consumer died before it had acknowledged",
    ):  # fmt: skip
        assert hits[goal], goal


def test_a_consumer_that_acknowledges_first_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shop, "take", lambda *_: None)
    found = run(0, ON_A_BAD_DAY)
    assert {promise for promise, _, _ in found.complaints} == {"I8"}


# Worlds that once showed a bug of the core, as they were shrunk.
REGRESSIONS: Final = {
    "a switch by a clock that is ahead, and the late answer of the first call": (
        1194,
        (
            b'{"faults":{"http_502":0.3,"answer_04":0.03,"http_500_after":0.1,"paid_a6":0.2,"notify_forged":0.1},'
            b'"roads":{"call refused":0.03,"call lost":0.2,"call lost after":0.2,"call twice":0.03,"notify lost":0.3,'
            b'"notify lost after":0.2,"notify twice":0.03,"api refused":0.2,"api lost":0.3,"api twice":0.3,"hook lost":0.1},'
            b'"away":3,"skew_s":60.0,"shop":0.0,"shut":1,"late":"accept","unclosable":"wait","meddlers":0.3}'
        ),
    ),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_world_that_showed_a_bug_does_so_no_more(name: str) -> None:
    seed, options = REGRESSIONS[name]
    found = run(seed, msgspec.json.decode(options, type=Options))
    assert found.complaints == []
