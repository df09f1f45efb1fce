"""The pictures of the documentation, taken of a project's last run: `make pictures`, behind `make run`."""

import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from flows.start import prefect_server
from flows.start.prefect_server import Server
from tasks import paths, track
from tasks.records import read
from tasks.report.advice import Advised
from tests.browsing import chromium
from tests.tasks.ship.test_views import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COLOURS = 48  # of a picture: under 60 kB
LIMIT_S = 1800
SHOWN = {"width": 1100, "height": 820}


def keep(page: "Page", file: Path) -> None:
    """Save what is on the screen, small."""
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS).save(file, optimize=True)


def report(browser: "Browser", file: Path) -> None:
    """The report's chart, and why what is shipped to the first device is so."""
    choice = next(each.choice for each in read(Advised, paths.REPORT / "advice.json").devices if each.choice)
    page = browser.new_page(viewport=SHOWN)  # type: ignore[arg-type]  # Playwright's own kind of dictionary
    at = f"#device={choice.device}&x=gzip_bytes&row={choice.champion}@{choice.device}"
    page.goto((paths.REPORT / "index.html").absolute().as_uri() + at)
    page.locator("#chart svg").wait_for()
    page.locator("#explore").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('explore').scrollIntoView()")
    keep(page, file)


def mlflow(browser: "Browser", file: Path, log: Path) -> None:
    """The saved view of the first device."""
    command = track.ui()
    assert isinstance(command, track.Command)
    with served(command, log):
        page = browser.new_page(viewport=SHOWN)  # type: ignore[arg-type]  # likewise
        page.goto(list(command.views.values())[-1])
        page.locator(".js-plotly-plot").nth(2).wait_for(timeout=120_000)
        keep(page, file)


def prefect(browser: "Browser", file: Path, pages: Path) -> None:
    """A run that makes all estimates again, as a server of a user's shows it."""
    os.environ |= {"PREFECT_UI_API_URL": "/api", "PREFECT_UI_STATIC_DIRECTORY": str(pages)}
    prefect_server.SETTINGS = {}  # those of a run's own server: without pages
    server = Server()
    try:
        server.wait()
        environment = os.environ | {"PREFECT_API_URL": server.address}
        words = [str(Path(sys.executable).with_name("tercet")), "run", "--quiet", "--remeasure", "*@ethos*"]
        subprocess.run(words, env=environment, timeout=LIMIT_S, check=True)
        page = browser.new_page(viewport=SHOWN)  # type: ignore[arg-type]  # likewise
        page.set_default_timeout(120_000)
        page.goto(f"{server.address.removesuffix('/api')}/runs")
        page.locator("a[href*='/runs/flow-run/']").first.click()
        page.get_by_text("Artifacts", exact=True).click()
        page.get_by_text("what to ship, and every pair").click()
        page.get_by_role("heading", name="What to ship").wait_for()
        keep(page, file)
    finally:
        server.stop()


def main(folder: Path) -> None:
    """Take all of them, of the project that is the working directory."""
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        report(browser, folder / "report.png")
        mlflow(browser, folder / "mlflow.png", Path(temporary) / "log")
        prefect(browser, folder / "prefect.png", Path(temporary) / "pages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
