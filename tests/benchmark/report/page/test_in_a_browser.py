"""The page as a person meets it: a headless Chromium sorts, points, tabs and reads, and axe-core looks for barriers."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from reports import HOSTILE

from benchmark.evaluation.rankers import CHANCE
from benchmark.records.collection import collect
from benchmark.report.page.drawings import Drawing
from benchmark.report.page.failures import heading
from benchmark.report.page.page import write_report

REPOSITORY = Path(__file__).parents[4]
DAY, NIGHT = "town, protocol town", "town, protocol town-night"
SCREENS = ((390, "dark"), (1280, "light"))
"""Widths of a telephone and of a desk in pixels, each with another theme."""
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="200"><style>circle{fill:#036}</style>'
    '<circle cx="90" cy="90" r="80"/><script>boom()</script></svg>'
)


def chromium() -> str:
    """The system's Chromium; a test is skipped without one, but fails where CROSSPLACE_CHROMIUM promised it."""
    promised = os.environ.get("CROSSPLACE_CHROMIUM")
    found = promised or shutil.which("chromium") or shutil.which("chromium-browser")
    if found and Path(found).is_file():
        return found
    if promised:
        pytest.fail(f"no Chromium at {promised}, which CROSSPLACE_CHROMIUM names; install it: apt-get install chromium")
    pytest.skip("no Chromium on this machine: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Seen:
    """A page that is open, and everything that it said or asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a file; afterwards nothing may have been said, thrown or asked of any other address."""
    seen: list[Seen] = []

    def opened(path: Path, width: int = 1280, theme: Any = "light") -> Page:
        size: Any = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=theme, reduced_motion="reduce")
        watched = Seen(context.new_page())
        watched.listen()
        seen.append(watched)
        watched.page.goto(path.as_uri())
        return watched.page

    yield opened
    for watched in seen:
        assert watched.said == []
        assert [url for url in watched.requests if not url.startswith("data:")] == [watched.page.url.split("#")[0]]
        watched.page.context.close()


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two committed protocols, of all studies and of a drawing; the whole one is four times as large."""
    path, collection = tmp_path_factory.mktemp("report") / "report.html", collect(REPOSITORY / "results")
    groups = [group for group in collection.groups if heading(group.board) in (DAY, NIGHT)]
    assert len(groups) == 2
    drawings = [Drawing(title="A circle", svg=SVG, csv="a,b\n1,2\n")]
    write_report(replace(collection, groups=groups), path, drawings=drawings)
    return path


def table_called(page: Page, words: str) -> Locator:
    return page.locator("figure.table").filter(has_text=words).first


def column(table: Locator, number: int) -> list[str]:
    """The first word of every cell of a column."""
    cells = table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()
    return [words.split()[0] for words in cells]


# --- tables --------------------------------------------------------------------------------------


def test_a_heading_sorts_by_numbers_and_says_so(opened: Callable[..., Page], committed: Path) -> None:
    table = table_called(opened(committed), "Recall@1")
    before = [float(value) for value in column(table, 4)]
    heading = table.locator("thead th").nth(3)
    assert heading.get_attribute("aria-sort") is None
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(value) for value in column(table, 4)] == sorted(before, reverse=True) != before
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert [float(value) for value in column(table, 4)] == sorted(before)


def test_a_heading_is_pressed_with_the_keyboard(opened: Callable[..., Page], committed: Path) -> None:
    page = opened(committed)
    table = table_called(page, "Recall@1")
    first, second = (table.locator("thead th").nth(number) for number in range(2))
    first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    names = column(table, 1)
    assert names == sorted(names, key=str.lower)
    assert first.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert second.get_attribute("aria-sort") == "descending"
    assert first.get_attribute("aria-sort") is None
    outline = second.get_by_role("button").evaluate("button => getComputedStyle(button).outlineStyle")
    assert outline == "solid"


def test_what_has_no_value_comes_last_either_way(opened: Callable[..., Page], committed: Path) -> None:
    page = opened(committed)
    details = page.locator("details").filter(has_text=re.compile(r"Cost: \d+ table")).first
    details.locator("summary").click()
    table = details.locator("figure.table").first
    cell = table.locator("tbody tr").first.locator("td").first
    cell.evaluate("cell => { cell.removeAttribute('data-value'); cell.textContent = '–'; }")
    button = table.locator("thead th").nth(1).get_by_role("button")
    for _ in range(2):
        button.click()
        assert column(table, 2)[-1] == "–"
        assert "–" not in column(table, 2)[:-1]


# --- the map -------------------------------------------------------------------------------------


def test_pointing_at_a_query_shows_what_it_retrieved(opened: Callable[..., Page], committed: Path) -> None:
    page = opened(committed)
    status, places = page.locator("#map-status"), page.locator("#map-places li")
    mark = page.locator(".query").nth(40)
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)
    name = str(mark.get_attribute("aria-label")).split(":")[0]
    expect(status).to_contain_text(f"Query {name} of")
    assert places.count() == 5
    assert all(re.match(r"(right|wrong) .+ \d+ m away", words) for words in places.all_inner_texts())
    assert page.locator("#map-svg .line").count() == 5
    rights = sum(words.startswith("right") for words in places.all_inner_texts())
    assert page.locator("#map-svg .line.right").count() == rights


def test_the_map_is_one_stop_of_the_keyboard_and_arrows_move_in_it(
    opened: Callable[..., Page], committed: Path
) -> None:
    page = opened(committed)
    marks, status = page.locator(".query"), page.locator("#map-status")
    assert page.locator(".query[tabindex='0']").count() == 1
    page.locator("#map-pair").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    assert status.get_attribute("role") == "status"

    def here() -> int:
        found = page.evaluate("Number(document.activeElement.dataset.number)")
        name = str(marks.nth(found).get_attribute("aria-label")).split(":")[0]
        expect(status).to_contain_text(f"Query {name} of")
        assert page.locator(".query[tabindex='0']").count() == 1
        assert page.locator(".query[aria-selected='true']").count() == 1
        return int(found)

    moves = {"ArrowRight": 1, "PageDown": 11, "ArrowLeft": 10, "PageUp": 0, "ArrowUp": 0, "End": marks.count() - 1}
    for key, expected in moves.items():
        page.keyboard.press(key)
        assert here() == expected
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#map-svg')") is None


def test_the_verdict_in_words_is_that_of_the_mark(opened: Callable[..., Page], committed: Path) -> None:
    page = opened(committed)
    for kind, words in {"hit": ", right.", "miss": ", wrong."}.items():
        page.locator(f".query.{kind}").first.focus()
        expect(page.locator("#map-status")).to_contain_text(words)
        first = page.locator("#map-places li").first.inner_text()
        assert first.startswith("right" if kind == "hit" else "wrong")


def test_selects_change_method_direction_drives_and_data(opened: Callable[..., Page], committed: Path) -> None:
    page = opened(committed)
    counts = page.locator("#map-counts")
    seen = [counts.inner_text()]
    for name in ("run", "direction", "pair"):
        page.locator(f"#map-{name}").select_option(index=2)
        seen.append(counts.inner_text())
    assert len(set(seen)) == 4
    chosen = page.locator("#map-direction").input_value()
    run = page.locator("#map-run").input_value()
    page.locator("#map-board").select_option(label=NIGHT)
    assert page.locator("#map-run").input_value() == run
    assert f"{run.split()[0]}-quick-town-night-s" in counts.inner_text()
    assert page.locator("#map-direction").input_value() == chosen, "what can stay chosen stays"
    expect(page.locator("#map-status")).to_contain_text("test-night (night)")


def test_the_counts_of_the_map_are_those_of_the_failures(opened: Callable[..., Page], tmp_path: Path) -> None:
    """With one run alone the map shows every query, and the table adds up no seeds."""
    collection, path = collect(REPOSITORY / "results"), tmp_path / "report.html"
    by_night = next(group for group in collection.groups if group.board.protocol["name"] == "town-night")
    vxp = [run for run in by_night.runs if run.result.method.name in ("vxp", CHANCE) and run.result.seed == 0]
    write_report(replace(collection, groups=[replace(by_night, runs=vxp)]), path)
    page = opened(path)
    page.locator("#map-board").select_option(label=NIGHT)
    found = re.match(
        r"(\d+) queries: (\d+) right, (\d+) wrong, (\d+) without", page.locator("#map-counts").inner_text()
    )
    assert found
    n, right, wrong, none = map(int, found.groups())
    assert n == right + wrong + none == page.locator(".query").count()
    table = page.locator("section.board").filter(has_text="town-night").locator("figure.table")
    expect(table.filter(has_text="whose first place is wrong").first).to_contain_text(f"{wrong} of {right + wrong}")


# --- for everybody -------------------------------------------------------------------------------


def open_all(page: Page) -> None:
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")


@pytest.fixture
def pages(committed: Path, hostile: Path, written_once: Callable[..., Path]) -> dict[str, Path]:
    """Reports by the results that they are of."""

    def write(folder: Path) -> None:
        drawings = [Drawing(title=name, svg=SVG, csv=name) for name in HOSTILE]
        write_report(collect(hostile), folder / "report.html", drawings=drawings)

    return {"committed": committed, "hostile": written_once("page of hostile", write) / "report.html"}


@pytest.mark.parametrize(("width", "theme"), SCREENS)
@pytest.mark.parametrize("results", ["committed", "hostile"])
def test_the_page_never_scrolls_sideways(
    opened: Callable[..., Page], pages: dict[str, Path], results: str, width: int, theme: str
) -> None:
    page = opened(pages[results], width, theme)
    for _ in range(2):
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
        open_all(page)
    for select in page.locator("select").all():
        assert float(select.evaluate("select => select.getBoundingClientRect().right")) <= width
    assert page.evaluate("typeof boom") == "undefined"
    assert page.locator("script").count() == 2


@pytest.mark.parametrize(("width", "theme"), SCREENS)
def test_nobody_meets_a_barrier(opened: Callable[..., Page], committed: Path, width: int, theme: str) -> None:
    page = opened(committed, width, theme)
    page.locator(".board").nth(1).evaluate("board => board.querySelectorAll('details').forEach((d) => d.open = true)")
    page.locator("#machines ~ details, #commands ~ details").first.evaluate("details => details.open = true")
    page.locator(".query").nth(10).focus()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[theme]
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_first_stop_leads_to_the_results(opened: Callable[..., Page], committed: Path) -> None:
    page = opened(committed)
    page.keyboard.press("Tab")
    skip = page.locator(".skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#content"
    assert page.evaluate("document.documentElement.lang") == "en"
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)  # type: ignore[arg-type]


def test_figures_are_shown_and_their_numbers_can_be_kept(opened: Callable[..., Page], committed: Path) -> None:
    page = opened(committed)
    picture = page.get_by_role("img", name="A circle")
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 600
    with page.expect_download() as kept:
        page.get_by_role("link", name="Numbers of figure 1 as CSV").click()
    assert Path(kept.value.path()).read_text() == "a,b\n1,2\n"


def test_without_scripts_the_tables_are_read_as_they_are(
    browser: Browser, opened: Callable[..., Page], committed: Path
) -> None:
    needs_scripts = "The map needs scripts, which are switched off here."
    expect(opened(committed).get_by_text(needs_scripts)).to_be_hidden()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(committed.as_uri())
    assert page.locator("figure.table th button").count() == 0
    expect(page.get_by_text(needs_scripts)).to_be_visible()
    expect(page.locator("#map-box")).to_be_hidden()
    context.close()


def test_on_paper_everything_is_open(opened: Callable[..., Page], committed: Path) -> None:
    page = opened(committed)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    expect(page.locator("nav")).to_be_hidden()


def test_a_browser_that_was_promised_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROSSPLACE_CHROMIUM", str(tmp_path / "chromium"))
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium()
    monkeypatch.delenv("CROSSPLACE_CHROMIUM")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        chromium()
