"""``make bench``: the whole path on both databases, beside the floor, in one table and one last line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from bench import due, floor, roads, rows
from bench.load import ATTEMPTS, Driver, Run, Shop
from bench.places import Town, settle
from oncepay.testing.servers import PostgresServer

RUNS = (
    Run("saturation", payments=8_000, times=3),
    Run("paced_100", payments=1_500, rate=100),
    Run("paced_500", payments=7_500, rate=500),
    Run("paced_100_abandoned", payments=1_500, rate=100, abandoned=0.4, linger_s=32),
    Run("alipay", payments=8_000, times=3, channel="alipay"),
    Run("unionpay", payments=8_000, times=3, channel="unionpay"),
)


async def town_figures(database: str, channel: str, *, quick: bool) -> tuple[dict[str, Any], rows.Rows]:
    """All runs of a channel on a database, in a new installation, and the rows that a payment left there."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop()
        await shop.open()
        town = Town(Path(folder), database, shop.port)
        await town.build()
        try:
            driver = Driver(town, shop)
            await driver.play(Run("warm-up", payments=300, channel=channel))
            left = await rows.left_by(town.url, channel)
            for run in [run for run in RUNS if run.channel == channel and not (quick and run.rate)]:
                played = []
                for turn in range(run.times):
                    await settle(1.0)
                    played.append(await driver.play(run, turn))
                    print(f"{database:9} {run.name:20} {played[-1]}", flush=True)
                figures[run.name] = sorted(played, key=lambda row: row["cpu_ms_per_payment"])[len(played) // 2]
        finally:
            town.tear_down()
    return figures, left


async def floor_figures(left: dict[str, dict[str, rows.Rows]]) -> dict[str, Any]:
    """Milliseconds a payment, by part. ``left``: the rows, by database and channel."""
    http_in, http_out = await floor.http_ms()
    found = {"http": 2 * http_in + 2 * http_out}
    for channel in ATTEMPTS:
        signed = found[f"crypto_{channel}"] = floor.crypto_ms(channel)
        for database, by_channel in left.items():
            written = await rows_ms(database, by_channel[channel])
            found |= {f"rows_{channel}_{database}": written, f"{channel}_{database}": found["http"] + signed + written}
    return {name: round(value, 3) for name, value in found.items()}


async def rows_ms(database: str, of: rows.Rows) -> float:
    """The bare loop, on a database of its own."""
    if database == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            return await rows.sqlite_ms(of, f"sqlite:///{folder}/floor.db")
    with PostgresServer() as server:
        return await rows.postgres_ms(of, server)


def floor_of(figures: dict[str, Any], database: str, run: str) -> float:
    """The floor of a run's channel on a database, ms."""
    channel = next(r.channel for r in RUNS if r.name == run)
    value: float = figures["floor"][f"{channel}_{database}"]
    return value


async def due_figures(rows: int) -> dict[str, Any]:
    """Claims on both databases."""
    with tempfile.TemporaryDirectory() as folder:
        sqlite = await due.measure(f"sqlite:///{folder}/due.db", None, rows)
    with PostgresServer() as server:
        postgres = await due.measure(server.url, server, rows)
    return {"sqlite": sqlite, "postgres": postgres}


def table(figures: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'':30} {'pay/s':>8} {'cpu ms':>8} {'ratio':>6} {'create p50/p99':>16} {'told p50/p99':>16} {'MB':>6}"]
    for database in ("sqlite", "postgres"):
        for name, row in figures.get(database, {}).items():
            ratio = row["cpu_ms_per_payment"] / floor_of(figures, database, name)
            lines.append(
                f"{database + ' ' + name:30} {row['payments_per_s']:8.0f} {row['cpu_ms_per_payment']:8.3f} {ratio:6.2f}"
                f" {row['create_p50_ms']:7.1f}/{row['create_p99_ms']:<8.1f}"
                f" {row['told_p50_ms']:7.1f}/{row['told_p99_ms']:<8.1f}"
                f" {row['rss_mb']:6.0f}"
            )
    lines += [f"floor {json.dumps(figures['floor'])}", f"due {json.dumps(figures.get('due', {}))}"]
    lines += [f"events to {name:9} {json.dumps(row)}" for name, row in figures.get("roads", {}).items()]
    return "\n".join(lines)


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="saturation of each channel and floor only")
    parser.add_argument("--database", choices=("sqlite", "postgres"), help="only this one")
    parser.add_argument("--due-rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    left: dict[str, dict[str, rows.Rows]] = {}
    databases = [arguments.database] if arguments.database else ["sqlite", "postgres"]
    for database in databases:
        figures[database], left[database] = {}, {}
        for channel in ATTEMPTS:
            found, left[database][channel] = await town_figures(database, channel, quick=arguments.quick)
            figures[database] |= found
    figures["floor"] = await floor_figures(left)
    for database in databases:
        for name, row in figures[database].items():
            row["ratio"] = round(row["cpu_ms_per_payment"] / floor_of(figures, database, name), 2)
    if not arguments.quick:
        figures["due"] = await due_figures(arguments.due_rows)
        figures["roads"] = await roads.measure()
    print(table(figures))
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
