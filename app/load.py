"""A crowd on a page: ``python -m app.load --visitors 100 --minutes 30 --out docs/results/load.json``.

It starts a server of its own on this machine, waits until its model is loaded, lets the visitors of serving/crowd.py
at it, and reports what they met.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import httpx

from imagen_core.commands.options import Parser, add_model_argument
from imagen_core.files.writing import check_output, write_text
from imagen_core.types import UserError

from .serving.crowd import Tally, crowd
from .serving.visitor import Layout, Visitor, browser, layout

MOST_VISITORS, MOST_MINUTES = 200, 120.0
# The server's memory is read so often, and must be flat from the fifth minute on; both in seconds.
MEMORY_EVERY, WARM = 5.0, 300.0
START_SECONDS, END_SECONDS = 180.0, 60.0
ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load; 0 if nothing was lost or crossed, 1 if something was, 2 for bad input, 130 if interrupted."""
    parser = Parser(prog="app.load", description="Visitors at work on a page of this machine, and what they meet.")
    parser.add_argument("--visitors", type=int, default=20, help=f"1 to {MOST_VISITORS} (default 20)")
    parser.add_argument("--minutes", type=float, default=3.0, help=f"0.1 to {MOST_MINUTES:g} (default 3)")
    parser.add_argument("--out", type=Path, help="also write the report here, as JSON, and as .md beside it")
    add_model_argument(parser)
    args = parser.parse_args(arguments)
    try:
        check(args)
        began = time.monotonic()
        with server(args.model) as (process, address):
            started = {"seconds_to_first_answer": round(time.monotonic() - began, 1)}
            report = started | asyncio.run(measure(process, address, args))
    except (UserError, OSError) as error:
        parser.exit(2, f"app.load: {str(error).splitlines()[0]}\n")
    except KeyboardInterrupt:
        parser.exit(130, "app.load: interrupted\n")
    text = json.dumps(report, indent=1)
    if args.out is not None:
        write_text(args.out, text + "\n")
        write_text(args.out.with_suffix(".md"), as_markdown(report))
    print(text)
    return 1 if report["lost"] or report["crossed"] else 0


def check(args: argparse.Namespace) -> None:
    """Refuse what is out of range, before a server is started.

    Raises:
        UserError: an option is out of its range, or the report cannot be written.
    """
    if not 1 <= args.visitors <= MOST_VISITORS:
        raise UserError(f"--visitors: must be between 1 and {MOST_VISITORS}, got {args.visitors}")
    if not 0.1 <= args.minutes <= MOST_MINUTES:
        raise UserError(f"--minutes: must be between 0.1 and {MOST_MINUTES:g}, got {args.minutes:g}")
    if args.out is not None:
        check_output(args.out, ".json")


@contextlib.contextmanager
def server(model: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A page of the model in a process of its own; its address. It is told to stop at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from app.launch import main; main('app.load')"
    command = [sys.executable, "-c", code, "--port", str(port), "--model", model]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise UserError("the page did not start")
            time.sleep(0.5)
        yield process, address
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/gradio_api/startup-events", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


async def measure(process: subprocess.Popen[bytes], address: str, args: argparse.Namespace) -> dict[str, Any]:
    """Let the crowd at the address; the report."""
    memory: list[tuple[float, float]] = []
    watching = asyncio.create_task(_watch(process.pid, memory))
    async with browser(address) as http:
        page = await layout(http)
        started = {"seconds_until_ready": await ready(http, page)}
    tally = await crowd(address, page, args.visitors, 60 * args.minutes)
    watching.cancel()
    asked = {"visitors": args.visitors, "minutes": args.minutes, "model": args.model}
    return {**asked, **started, **report_of(tally, memory)}


async def ready(http: httpx.AsyncClient, page: Layout) -> float:
    """Open the page once, which is answered whole when the model is loaded; the seconds that took."""
    began, first = time.monotonic(), Visitor(http, page)
    await first.open()
    await first.close()
    return round(time.monotonic() - began, 1)


async def _watch(pid: int, memory: list[tuple[float, float]]) -> None:
    began = time.monotonic()
    while (megabytes := memory_of(pid)) is not None:
        memory.append((time.monotonic() - began, megabytes))
        await asyncio.sleep(MEMORY_EVERY)


def memory_of(pid: int) -> float | None:
    """A process's resident memory in MB; None where the system has no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return int(lines["VmRSS"].split()[0]) / 1024 if "VmRSS" in lines else None


def report_of(tally: Tally, memory: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """What the crowd met, as numbers: seconds, counts and MB."""
    warm = [megabytes for at, megabytes in memory if at >= WARM]
    minutes = {int(at // 60): round(megabytes) for at, megabytes in reversed(memory)}
    waits = tally.waits
    answers = [seconds for times in tally.answers.values() for seconds in times]
    return {
        "deeds": dict(sorted(tally.deeds.items())),
        "runs": len(waits),
        "lost": len(tally.lost),
        "lost_because": sorted(set(tally.lost))[:20],
        "crossed": len(tally.crossed),
        "page_answers": len(answers),
        "page_answer_s": median_and_p99(answers),
        "page_answer_s_to": {what: median_and_p99(times) for what, times in sorted(tally.answers.items())},
        "wait_s": {"mean": round(mean(waits), 2) if waits else None, "longest": round(max(waits, default=0.0), 2)},
        "longest_wait_to_mean": round(max(waits) / mean(waits), 2) if waits and mean(waits) else None,
        "memory_mb": {
            "first": round(memory[0][1]) if memory else None,
            "last": round(memory[-1][1]) if memory else None,
            "most": round(max((megabytes for _, megabytes in memory), default=0.0)),
            "drift_from_minute_5": drift(warm),
            "spread_from_minute_5": round((max(warm) - min(warm)) / median(warm), 3) if warm else None,
            "at_minute": {str(minute): minutes[minute] for minute in sorted(minutes)},
        },
    }


def as_markdown(report: Mapping[str, Any]) -> str:
    """A report as a page with a table."""
    answers, waits, memory = report["page_answer_s"], report["wait_s"], report["memory_mb"]
    rows = [
        ("deeds", ", ".join(f"{count} {deed}" for deed, count in report["deeds"].items())),
        ("runs of the engine", report["runs"]),
        ("lost; shown a picture of another", f"{report['lost']}; {report['crossed']}"),
        (
            "page answers: number; median; 99th of 100",
            f"{report['page_answers']}; {answers['median']} s; {answers['p99']} s",
        ),
        (
            "the same by what was asked: median; 99th of 100",
            ", ".join(f"{what} {s['median']}; {s['p99']}" for what, s in report["page_answer_s_to"].items()),
        ),
        ("wait for the engine: mean; longest", f"{waits['mean']} s; {waits['longest']} s"),
        ("memory: first; last; most", f"{memory['first']} MB; {memory['last']} MB; {memory['most']} MB"),
        ("memory from minute 5: the last third over the first third, less 1", memory["drift_from_minute_5"]),
        ("memory from minute 5: most less least, over the median", memory["spread_from_minute_5"]),
        ("memory at the start of each minute, MB", ", ".join(map(str, memory["at_minute"].values()))),
    ]
    title = f"# {report['visitors']} visitors for {report['minutes']:g} minutes"
    asked = f"--visitors {report['visitors']} --minutes {report['minutes']:g} --model {report['model']}"
    table = [f"| {name} | {value} |" for name, value in (("what", "found"), ("---", "---"), *rows)]
    return "\n".join([title, "", f"`python -m app.load {asked}`", "", *table, ""])


def drift(megabytes: Sequence[float]) -> float | None:
    """How much the median of the last third exceeds that of the first, as a share of it; None of fewer than three.

    Unlike the largest and smallest value, the medians do not tell how often a run to 1024 was at work.
    """
    third = len(megabytes) // 3
    return round(median(megabytes[-third:]) / median(megabytes[:third]) - 1, 3) if third else None


def median_and_p99(seconds: Sequence[float]) -> dict[str, float | None]:
    """The median and the 99th of 100."""
    return {"median": quantile(seconds, 0.5), "p99": quantile(seconds, 0.99)}


def quantile(seconds: Sequence[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of the values do not exceed; None of none."""
    if not seconds:
        return None
    return round(sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)], 3)


if __name__ == "__main__":
    sys.exit(main())
