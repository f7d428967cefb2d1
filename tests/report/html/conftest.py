"""Pages made of runs that nothing ran, and a real browser to open them in."""

from __future__ import annotations

import html.parser
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deltann.pictures import FOLDER
from deltann.report.contents import Contents, load_contents
from deltann.report.html import to_html
from deltann.store import Run
from deltann.testing.stored import write_run

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = Path(__file__).parents[3] / "build" / "screenshots"
_VOID = {"meta", "img", "input", "br", "link"}


@dataclass
class Element:
    """A tag of a page with its attributes, all the text inside it, and those it stands in."""

    tag: str
    attributes: dict[str, str]
    parents: tuple[Element, ...] = field(repr=False)
    texts: list[str] = field(repr=False)
    start: int
    end: int | None = None

    @property
    def text(self) -> str:
        """Of the texts of the whole page, those inside it."""
        return " ".join(self.texts[self.start : self.end])


@dataclass
class Page(html.parser.HTMLParser):
    """A page, read back."""

    source: str = field(repr=False)
    elements: list[Element] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []
        self._texts: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(
            tag, {key: value or "" for key, value in attrs}, tuple(self._open), self._texts, len(self._texts)
        )
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self._open):
            while (closed := self._open.pop()).tag != tag:
                closed.end = len(self._texts)
            closed.end = len(self._texts)

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    def all(self, tag: str, name: str = "", inside: str = "") -> list[Element]:
        """Those of a tag that have the class `name` and stand in the element of the id `inside`, where given."""
        return [
            element
            for element in self.elements
            if element.tag == tag
            and (not name or name in element.attributes.get("class", "").split())
            and (not inside or any(parent.attributes.get("id") == inside for parent in element.parents))
        ]

    def one(self, key: str) -> Element:
        """The element of that id."""
        (found,) = (element for element in self.elements if element.attributes.get("id") == key)
        return found


Making = Callable[..., Page]


@pytest.fixture
def page(tmp_path: Path) -> Making:
    """The page of a run made as `write_run` makes it; `change` is called with that run before it is read."""

    def make(cells: dict[str, Any], change: Callable[[Run], object] | None = None, **settings: Any) -> Page:
        run = write_run(tmp_path / "run", cells, **settings)
        if change is not None:
            change(run)
        return Page(to_html(load_contents(run.folder)))

    return make


@pytest.fixture(scope="session")
def reader() -> Callable[[str], Page]:
    """Reads a page back."""
    return Page


@pytest.fixture
def contents(tmp_path: Path) -> Callable[..., Contents]:
    """The contents of such a run."""

    def make(cells: dict[str, Any], change: Callable[[Run], object] | None = None, **settings: Any) -> Contents:
        run = write_run(tmp_path / "run", cells, **settings)
        if change is not None:
            change(run)
        return load_contents(run.folder)

    return make


@pytest.fixture
def keep() -> Callable[..., None]:
    """Puts a picture of each of some samples into a run, as a comparison of images would have done."""

    def put(run: Run, samples: Iterable[int], noise: bool = False, data: bytes | None = None) -> None:
        folder, rng = run.folder / FOLDER, np.random.default_rng(0)
        folder.mkdir()
        for sample in samples:
            file = folder / f"{sample}.jpg"
            if data is not None:
                file.write_bytes(data)
                continue
            colour = rng.integers(0, 255, (120, 160, 3) if noise else 3).astype(np.uint8)
            pixels: npt.NDArray[np.uint8] = np.broadcast_to(colour, (120, 160, 3)).copy()
            Image.fromarray(pixels).save(file, quality=80)

    return put


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser that asks no network of its own accord; its event loop would be in other modules' way."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser: pip install it")
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: these tests always run in CI (apt-get install chromium)")
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*quiet, "--disable-sync", "--no-first-run"])
        yield browser
        browser.close()


@dataclass
class Opened:
    """A page in the browser, and what went wrong: words on the console, errors, requests for anything but the file."""

    page: Any
    complaints: list[str]

    def screenshot(self, name: str, full: bool = False) -> None:
        """Keep what is seen, to be looked at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full)


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens the HTML from disk; at the end nothing may have gone wrong."""
    contexts, complaints = [], list[str]()

    def open_(source: str, width: int = 1280, height: int = 800, scheme: str = "light") -> Opened:
        file = tmp_path / "report.html"
        file.write_text(source, "utf-8")
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.split("#")[0] == file.as_uri() or request.url.startswith("data:")
                else complaints.append(f"request: {request.url[:200]}")
            ),
        )
        page.goto(file.as_uri())
        return Opened(page, complaints)

    yield open_
    for context in contexts:
        context.close()
    assert not complaints
