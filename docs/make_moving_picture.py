"""Record the page as a moving picture: ``python -m docs.make_moving_picture``, from the checkout, writes page.webp.

It opens the page in headless Chromium and takes one screenshot of each step of the recorded run that the page opens
with. Needs requirements-dev.txt and Debian's ``chromium``.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from app.launch import shipped_page
from app.page import LAUNCH

FILE = Path(__file__).parent / "images" / "page.webp"
# Pixels of the window, and of the picture.
WINDOW = (1280, 860)
WIDTH = 960
# Milliseconds that a step is shown, and the first and last ones.
STEP, FIRST, LAST = 240, 900, 3500
# Milliseconds until it gives up on a busy machine.
PATIENCE = 120_000
# A README should load quickly.
MOST_BYTES = 1_500_000


def steps(page: Page) -> Iterator[Image.Image]:
    """A screenshot of each step of the opening run, first to last."""
    scrubber = page.locator(".pl-scrubber")
    counter = page.locator(".pl-counter")
    scrubber.wait_for()
    page.get_by_text("ready", exact=False).first.wait_for()
    count = int(counter.inner_text().rpartition("/")[2])
    scrubber.press("Home")
    for step in range(1, count + 1):
        page.wait_for_function(
            "text => document.querySelector('.pl-counter').innerText === text", arg=f"{step} / {count}"
        )
        page.wait_for_timeout(80)
        yield Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        scrubber.press("ArrowRight")


def record(address: str) -> list[Image.Image]:
    """Open the page at ``address`` and return the frames, WIDTH pixels wide."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        size = (WIDTH, WIDTH * WINDOW[1] // WINDOW[0])
        frames = [frame.resize(size, Image.Resampling.LANCZOS) for frame in steps(page)]
        browser.close()
    return frames


def main() -> int:
    """Write FILE; 1 if it is larger than a README should carry."""
    demo = shipped_page().demo
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, **LAUNCH)
    frames = record(address)
    demo.close()
    seconds = [FIRST, *[STEP] * (len(frames) - 2), LAST]
    frames[0].save(FILE, save_all=True, append_images=frames[1:], duration=seconds, loop=0, quality=70, method=4)
    size = FILE.stat().st_size
    print(f"{FILE}: {len(frames)} steps, {size:,} bytes")
    return int(size > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
