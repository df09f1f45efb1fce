"""Debian's Chromium, without a window, for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def chromium() -> "Iterator[Browser]":
    """A browser; the test is skipped where there is none. Playwright's loop runs in this thread until it is closed."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: infra/packages")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@contextmanager
def opened(browser: "Browser", file: Path, at: str = "", **context: Any) -> "Iterator[Page]":
    """A file's page, loaded and drawn. It must ask for nothing else, and its scripts must have nothing to say.

    Args:
        browser: which opens it.
        file: the page.
        at: the rest of its address, from `#` on.
        context: of Playwright's: viewport, color_scheme, java_script_enabled.
    """
    within = browser.new_context(**{"viewport": DESKTOP, **context})
    within.set_default_timeout(10_000)
    page, said, asked = within.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri() + at)
    yield page
    within.close()
    assert said == [], said
    assert {url.split("#")[0] for url in asked} == {file.as_uri()}, asked
