"""Every reader of what comes from outside, a little: wholly random, changed, and growing. `make prove` does it for long.

Nothing is raised but what is meant to be, and twice as long a message takes no more than a little over twice the steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oncepay.http.edge import EdgeServer
from tests.fuzz import doors
from tests.fuzz.all import targets
from tests.fuzz.fuzzer import Coverage, Target, fuzz, run_once
from tests.wire.edge_clients import GET, SHORT, serving

pytestmark = [
    pytest.mark.filterwarnings("ignore:Parsed a serial number"),  # of changed certificates
    pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning"),
]
TARGETS = targets()
FEW = settings(max_examples=15, deadline=None, derandomize=True, database=None)
SHORT_BYTES, GROWN = 3_000, 2  # a message of so many bytes, and one so many times as long
SLACK = 3_000  # steps


def ids(target: Target) -> str:
    return target.name


@pytest.mark.parametrize("target", TARGETS, ids=ids)
def test_every_seed_is_understood_and_says_more_than_rubbish(target: Target) -> None:
    rubbish = run_once(target, b"\x00rubbish")
    assert all(run_once(target, seed) - rubbish for seed in target.seeds[:1])


@pytest.mark.parametrize("target", TARGETS, ids=ids)
def test_changed_messages_break_nothing(target: Target) -> None:
    report = fuzz(target, seed=1, runs=(40 if target.name.endswith(".account") else 250) + len(target.seeds))
    assert report.failures == {}


@pytest.mark.parametrize("target", TARGETS, ids=ids)
@FEW
@given(data=st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_random_bytes_break_nothing(target: Target, data: bytes) -> None:
    run_once(target, data)


@pytest.mark.parametrize("target", [target for target in TARGETS if target.name != "http.request"], ids=ids)
@FEW
@given(data=st.data())
def test_twice_the_message_takes_no_four_times_the_steps(target: Target, data: Any) -> None:
    """A piece of a message again and again: so often, and twice so often."""
    seed = data.draw(st.sampled_from(target.seeds))
    start = data.draw(st.integers(0, max(0, len(seed) - 1)))
    piece = seed[start : start + data.draw(st.integers(1, 40))]
    coverage, steps = Coverage(target.modules), []
    for size in (SHORT_BYTES, SHORT_BYTES * GROWN):
        run_once(target, seed[:start] + piece * (size // len(piece)) + seed[start:], coverage)
        steps.append(coverage.steps)
    assert steps[1] <= 1.3 * GROWN * steps[0] + SLACK, steps


@pytest.fixture(scope="module")
def edge() -> Iterator[tuple[asyncio.AbstractEventLoop, EdgeServer, list[str]]]:
    """A real server; what its loop complains about."""
    loop = asyncio.new_event_loop()
    complaints: list[str] = []
    loop.set_exception_handler(lambda _, context: complaints.append(repr(context)))
    running = serving(SHORT)
    server, _ = loop.run_until_complete(running.__aenter__())
    yield loop, server, complaints
    loop.run_until_complete(running.__aexit__(None, None, None))
    loop.close()


PIECES = st.lists(st.sampled_from((*doors.REQUESTS, *doors.WORDS)) | st.binary(max_size=20), max_size=6)


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(pieces=PIECES, apart=st.booleans())
def test_whatever_comes_on_a_socket_others_are_served(
    edge: tuple[asyncio.AbstractEventLoop, EdgeServer, list[str]], pieces: list[bytes], *, apart: bool
) -> None:
    loop, server, complaints = edge

    async def say() -> bytes:
        _, strange = await asyncio.open_connection("127.0.0.1", server.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with suppress(ConnectionError):
            for piece in pieces if apart else [b"".join(pieces)]:
                strange.write(piece)
                await strange.drain()
        writer.write(GET)
        answer = await asyncio.wait_for(reader.readline(), 5)
        for one in (strange, writer):
            one.transport.abort()
        return answer

    assert loop.run_until_complete(say()) == b"HTTP/1.1 200 OK\r\n"
    assert complaints == []
