"""``oncepay demo`` from its start to its end."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from oncepay.cli import exits
from oncepay.cli.demo.desk import Desk
from oncepay.cli.demo.process import Broken
from oncepay.cli.demo.screen import Line, Screen
from oncepay.cli.demo.shop import Refused
from oncepay.cli.demo.stage import Stage, Story
from oncepay.cli.demo.stories import STORIES
from oncepay.cli.demo.world import World
from oncepay.client import CallFailed

STORY_S: Final = 60.0  # real seconds that one story may take
WENT_WRONG: Final = (Broken, CallFailed, Refused, aiohttp.ClientError, TimeoutError, OSError)


def chosen(words: Sequence[str]) -> list[Story]:
    """The stories whose title or name holds one of the words; without words, all."""
    return [story for story in STORIES if not words or any(word in f"{story.name} {story.title}" for word in words)]


async def play(
    stories: Sequence[Story], *, once: bool, port_base: int | None, home: Path | None, silent: bool = False
) -> int:
    """Play them; the exit code. With ``once`` it ends then, otherwise it stays up until SIGINT or SIGTERM."""
    stop = _on_signals()
    kept = home is not None
    place = home or Path(tempfile.mkdtemp(prefix="oncepay-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    screen = Screen([Line(title=story.title) for story in stories])
    try:
        async with World(place, port_base, silent=silent) as world:
            good = await _or_stopped(_play_all(world, stories, screen), stop)
            if good is None:
                return exits.INTERRUPTED
            kept = kept or good < len(stories)
            if kept:
                screen.say(f"Databases and logs are in {place}")
            if once:
                screen.say(f"{len(stories)} stories, {good} as promised")
            else:
                await _stay_up(world, screen, f"{len(stories)} stories, {good} as promised", stop)
            return exits.OK if good == len(stories) else exits.FAILED
    except Broken as error:
        screen.say(f"The demonstration cannot start: {error}")
        return exits.FAILED
    finally:
        if not kept:
            shutil.rmtree(place, ignore_errors=True)


async def _play_all(world: World, stories: Sequence[Story], screen: Screen) -> int:
    """How many ended as promised, and still stood so at the end of all."""
    stages = [Stage(world, story.name) for story in stories]
    with screen:
        for story, stage, line in zip(stories, stages, screen.lines, strict=True):
            line.state = "playing"
            screen.changed(line)
            started_s = time.monotonic()
            try:
                line.said = await asyncio.wait_for(story.play(stage), STORY_S)
                line.state = "promised"
            except WENT_WRONG as error:
                line.said = str(error) or type(error).__name__
                line.state = "broken"
            line.took_s = time.monotonic() - started_s
            screen.changed(line)
        for stage, line in zip(stages, screen.lines, strict=True):
            found = await stage.complaints() if line.state == "promised" else []
            if found:  # it ended well, and something undid it since
                line.state, line.said = "broken", "; ".join(found)
                screen.changed(line)
    return sum(line.state == "promised" for line in screen.lines)


async def _stay_up(world: World, screen: Screen, last: str, stop: asyncio.Event) -> None:
    """For a person to click, until told to stop; the shop watches as it should."""
    world.shop.keep_watching()
    with Desk(world.shop) as desk_url:
        screen.say()
        for name, url in (
            ("the shop: buy something", world.shop.url),
            ("the cashier: scan and pay", world.sandbox_url),
            ("the orders, their timelines", desk_url),
            ("the API", f"{world.centre_url}/docs"),
        ):
            screen.say(f"{name:<28}{url}")
        screen.say("Ctrl-C ends it.")
        screen.say()
        screen.say(last)
        await stop.wait()


def _on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _or_stopped(playing: Coroutine[None, None, int], stop: asyncio.Event) -> int | None:
    """The result, or None when told to stop before."""
    task = asyncio.create_task(playing)
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None
