"""Visitors that do as people do, all at once, and what they met: what was lost, crossed or slow."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from imagen_core.records import png
from imagen_core.types import UserError

from .visitor import API, Answer, Layout, Visitor, browser

# Seconds a visitor looks at the page between two deeds, at least and at most; our choice.
LOOK = (2.0, 12.0)
# The steps of a run: those that the page opens with.
STEPS = 25


@dataclass
class Tally:
    """What all visitors met, times in seconds.

    ``answers`` are the page's without the engine, by what was asked; ``waits`` those in the queue.
    """

    answers: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    waits: list[float] = field(default_factory=list)
    deeds: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    crossed: list[str] = field(default_factory=list)

    def page(self, what: str, answers: Sequence[Answer]) -> None:
        """Note answers that need no engine."""
        self.answers[what] += [answer.seconds for answer in answers]
        self.lost += [f"{what}: {answer.error}" for answer in answers if answer.error]

    def run(self, what: str, answer: Answer) -> bool:
        """Note a run of the engine that nobody stopped; False if it was lost."""
        self.waits += [] if answer.waited is None else [answer.waited]
        self.lost += [f"{what}: {answer.error}"] if answer.error else []
        return answer.error is None


@dataclass
class Person:
    """One visitor with a seed of its own, by which its pictures are known."""

    http: httpx.AsyncClient
    page: Layout
    tally: Tally
    number: int
    random: random.Random
    at: Visitor = field(init=False)
    runs: int = 0
    kept: bytes = b""

    async def live(self, until: float) -> None:
        """Come, do one thing after another until the time is over, and leave."""
        await asyncio.sleep(self.random.uniform(0, LOOK[1]))
        await self.attempt("arrive", Person.arrive)
        while time.monotonic() < until:
            (deed,) = self.random.choices(list(DEEDS), [weight for weight, _ in DEEDS.values()])
            await self.attempt(deed, DEEDS[deed][1])
            await asyncio.sleep(self.random.uniform(*LOOK))
        await self.at.close()

    async def attempt(self, name: str, deed: Callable[[Person], Awaitable[object]]) -> None:
        """Do something, and note it, or that it was lost."""
        try:
            await deed(self)
            self.tally.deeds[name] += 1
        except (httpx.HTTPError, KeyError, IndexError, ValueError, UserError) as error:
            self.tally.lost.append(f"{name}: {type(error).__name__}: {error}")

    async def arrive(self) -> None:
        """Open the page as a new session."""
        self.at = Visitor(self.http, self.page)
        self.tally.page("open", await self.at.open())
        self.at.set("steps", STEPS)

    async def look(self) -> None:
        """Play a recorded run."""
        self.at.set("examples", self.random.randrange(3))
        self.tally.page("look", [await self.at.press("examples")])

    def ask(self) -> int:
        """Set a seed that nobody else has; returns it."""
        self.runs += 1
        seed = self.number * 10_000 + self.runs
        self.at.set("seed", seed)
        self.at.set("prompt", f"a red ball on grass at noon {seed}")
        return seed

    async def generate(self) -> bool:
        """Draw a picture, look at the price first, and fetch the picture as a PNG; False if it was lost."""
        seed = self.ask()
        price = await self.at.press("steps", "change")
        self.tally.page("price", [price])
        if not self.tally.run("generate", await self.at.press("generate")):
            return False
        self.owns(seed, json.loads(self.at.shown("player"))["request"]["seed"])
        self.kept = (await self.fetch(self.at.shown("gallery")[0]["image"])).content
        self.owns(seed, png.read_settings(self.kept)[0].seed)
        return True

    def owns(self, mine: int, seed: int) -> None:
        """Note a picture that is not this visitor's."""
        if mine != seed:
            self.tally.crossed.append(f"{mine} was shown {seed}")

    async def fetch(self, file: dict[str, Any]) -> httpx.Response:
        """Fetch a file that the page shows."""
        began = time.monotonic()
        reply = await self.http.get(f"{API}/file={file['path']}")
        self.tally.answers["file"].append(time.monotonic() - began)
        return reply.raise_for_status()

    async def stop(self) -> None:
        """Press Stop at the first frame, or while the run still waits."""
        self.ask()
        started = asyncio.Event()
        run = asyncio.create_task(self.at.press("generate", on_update=started.set))
        tell = asyncio.create_task(started.wait())
        await asyncio.wait([tell, run], timeout=self.random.uniform(1, 8), return_when=asyncio.FIRST_COMPLETED)
        tell.cancel()
        answer = await self.at.press("stop")
        self.tally.page("stop", [answer])
        await run

    async def upscale(self) -> None:
        """Draw a picture and enlarge it."""
        size = 1024 if self.random.random() < 0.2 else 256
        if not await self.generate() or not self.tally.run("upscale", await self.at.press(f"upscale-{size}")):
            return
        picture = await self.fetch(self.at.shown("gallery")[0]["image"])
        self.owns(png.read_settings(self.kept)[0].seed, png.read_settings(picture.content)[0].seed)

    async def compare(self) -> None:
        """Draw a grid of four cells."""
        seed = self.ask()
        self.at.set("grid-rows-values", "1, 8")
        self.at.set("grid-columns-values", "static, dynamic")
        if not self.tally.run("compare", await self.at.press("grid-go")):
            return
        sheet = await self.fetch(self.at.shown("grid-files")[0])
        self.owns(seed, png.read_settings(sheet.content)[0].seed)

    async def drop(self) -> None:
        """Drop a picture that was made here, once there is one."""
        if not self.kept:
            await self.look()
            return
        began = time.monotonic()
        form = {"files": ("mine.png", self.kept, "image/png")}
        (path,) = (await self.http.post(f"{API}/upload", files=form)).raise_for_status().json()
        self.tally.answers["upload"].append(time.monotonic() - began)
        self.at.set("inspect-png", {"path": path, "orig_name": "mine.png", "meta": {"_type": "gradio.FileData"}})
        read = await self.at.press("inspect-png", "change")
        self.tally.page("drop", [read])
        seed = png.read_settings(self.kept)[0].seed
        if f">{seed}<" not in str(self.at.shown("inspect-inside")):
            self.tally.lost.append("drop: the settings inside were not shown")

    async def reload(self) -> None:
        """Reload the page."""
        await self.at.close()
        await self.arrive()

    async def leave(self) -> None:
        """Close the window in the middle of a run, and come again."""
        self.ask()
        run = asyncio.create_task(self.at.press("generate"))
        await asyncio.sleep(self.random.uniform(0.2, 6))
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await self.reload()


# What visitors do, and how often in a hundred deeds; our choice.
DEEDS: dict[str, tuple[int, Callable[[Person], Awaitable[object]]]] = {
    "look": (30, Person.look),
    "generate": (30, Person.generate),
    "stop": (10, Person.stop),
    "upscale": (8, Person.upscale),
    "compare": (6, Person.compare),
    "drop": (6, Person.drop),
    "reload": (6, Person.reload),
    "leave": (4, Person.leave),
}


async def crowd(address: str, page: Layout, visitors: int, seconds: float) -> Tally:
    """Let so many visitors live at a page for so long; what they met. What they began they see to its end."""
    tally, until = Tally(), time.monotonic() + seconds

    async def live(number: int) -> None:
        async with browser(address) as http:
            await Person(http, page, tally, number, random.Random(number)).live(until)

    await asyncio.gather(*(live(number) for number in range(1, visitors + 1)))
    return tally
