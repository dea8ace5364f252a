"""``oncepay serve`` and ``oncepay work``: the centre itself."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
import time
from typing import TYPE_CHECKING, Final

import click

from oncepay.cli.common import run, settings

if TYPE_CHECKING:
    from oncepay.assembly import Centre
    from oncepay.config import Config
    from oncepay.ports import Clock

log = logging.getLogger("oncepay.cli")

# Objects between two looks of the collector. At its own 700 it walks what hundreds of requests under way hold, in vain,
# several times in the life of each (3 % of the time at saturation); what is in a circle waits a few MB longer.
YOUNG_MAX: Final = 10_000
TAKEN_S: Final = 5.0  # how long an address may still be held by processes whose parent was killed


@click.command(short_help="The centre: answer requests, do what falls due.")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; ONCEPAY_LISTEN, or 127.0.0.1:8480.")
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes; PostgreSQL only."
)
@click.option("--no-work", is_flag=True, help="Answer requests only; `oncepay work` elsewhere does what falls due.")
@click.option("--clock-from", metavar="URL", hidden=True, help="Take the time from a sandbox: for demonstrations.")
@click.option("--fd", type=int, hidden=True, help="A listening socket that was inherited from a parent.")
@click.option("--alive-fd", type=int, hidden=True, help="A pipe that closes when the parent has died.")
def serve(
    *, listen: str | None, workers: int, no_work: bool, clock_from: str | None, fd: int | None, alive_fd: int | None
) -> None:
    """Serve the API and take notifications; do what falls due, unless told not to.

    Tables are brought to this release first. Several of these may run on one PostgreSQL database, on any number of
    machines. On SQLite one is meant to run; a second on the same file is safe but waits for the first at each write.
    SIGTERM and Ctrl-C stop it: requests under way have three seconds to finish, what is left is simply due when it
    starts again.
    """
    from oncepay.config import ConfigInvalid

    config = settings(listen=listen)
    if workers > 1 and config.database_url.startswith("sqlite"):
        raise ConfigInvalid(
            f"--workers {workers} needs PostgreSQL: a SQLite file has one writer, a second process would only wait for"
            " it; leave --workers out, or set ONCEPAY_DATABASE_URL to postgresql://..."
        )
    listener = _bound(config) if fd is None else socket.socket(fileno=fd)
    if workers > 1:
        from oncepay.cli.processes import supervise

        config = _settled(config, listener)
        _log_to(config)
        arguments = ["serve", "--listen", config.listen]
        if no_work:
            arguments.append("--no-work")
        if clock_from is not None:
            arguments += ["--clock-from", clock_from]
        raise SystemExit(supervise(arguments, listener, workers))
    running = _serve(_settled(config, listener), listener, work=not no_work, clock_from=clock_from, alive_fd=alive_fd)
    run(running)


@click.command(short_help="Do what falls due, without answering requests.")
def work() -> None:
    """Do what falls due (queries, closing, refunds, deliveries) without answering requests.

    For machines beside those that run `oncepay serve --no-work`; any number of them.
    """
    run(_work(settings()))


def _bound(config: Config) -> socket.socket:
    """The address is taken before anything else is done, so that a clash is told at once: or nearly, since the
    processes of a centre that was killed a moment ago hold it until they notice."""
    from oncepay.config import split_listen
    from oncepay.domain.errors import Unavailable

    host, port = split_listen(config.listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    end = time.monotonic() + TAKEN_S
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=2048)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise Unavailable(f"cannot listen on {config.listen}: {error.strerror or error}") from None
        time.sleep(0.05)


def _settled(config: Config, listener: socket.socket) -> Config:
    """With the port that was got, when 0 asked for any."""
    import msgspec

    host, _, _ = config.listen.rpartition(":")
    return msgspec.structs.replace(config, listen=f"{host}:{listener.getsockname()[1]}")


def _log_to(config: Config) -> None:
    from oncepay.assembly import set_up_logging

    set_up_logging(config)


async def _serve(
    config: Config, listener: socket.socket, *, work: bool, clock_from: str | None, alive_fd: int | None
) -> None:
    from oncepay.http.edge import make_server

    _log_to(config)
    stop = _on_signals()
    if alive_fd is not None:
        asyncio.get_running_loop().add_reader(alive_fd, stop.set)
    clock = await _clock(clock_from)
    centre = await _assembled(config, clock)
    try:
        server = make_server(centre.app, listener=listener, lifespan="off")
        _calm_the_collector()
        centre.start(work=work)
        serving = asyncio.create_task(server.serve())
        log.info("centre.started url=%s listen=%s work=%s", config.url, config.listen, work)
        await _either(serving, stop)
        server.stop()
        await serving
    finally:
        await centre.stop()
        log.info("centre.stopped")


async def _work(config: Config) -> None:
    _log_to(config)
    stop = _on_signals()
    centre = await _assembled(config, None)
    try:
        _calm_the_collector()
        centre.start(work=True)
        log.info("worker.started")
        await stop.wait()
    finally:
        await centre.stop()
        log.info("worker.stopped")


def _calm_the_collector() -> None:
    """This process is a centre's and nobody else's: what is loaded by now stays, and need not be walked again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, *gc.get_threshold()[1:])


async def _assembled(config: Config, clock: Clock | None) -> Centre:
    from oncepay.assembly import assemble

    return await assemble(config, clock=clock)


async def _clock(clock_from: str | None) -> Clock | None:
    if clock_from is None:
        return None
    from oncepay.cli.demo.clock import SandboxClock

    clock = SandboxClock(clock_from)
    await clock.start()
    return clock


def _on_signals() -> asyncio.Event:
    """Set by SIGTERM or SIGINT. The second one is the system's again: it ends us on the spot."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        log.info("signal.received name=%s", number.name)
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    return stop


async def _either(serving: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Until told to stop, or the server ends by itself."""
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
