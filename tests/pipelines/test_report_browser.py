"""The report in a real browser without a network, as a person reads it: sorted by clicks, on a desk and on a phone."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from pipelines import report
from tests.pipelines import results, upload
from tests.servers import require

pytestmark = pytest.mark.servers

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PAGES = ["index.html", "experiments/a_name_that_is_rather_long_for_a_phone.html"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on five experiments, one of them far behind and one in a section of its own."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        long, modes = "a_name_that_is_rather_long_for_a_phone", {"grip_loss": "min"}
        nine, far = {"fit_seconds": 9.5, "latency_one_ms": 0.25}, {"fit_seconds": 100, "latency_one_ms": 31}
        results("nine", {"grip": 0.9, "grip_loss": 0.3}, modes=modes, timings=nine, figures=3)
        results("ten", {"grip": 0.7, "grip_loss": 0.5}, modes=modes, timings={"fit_seconds": 10.5}, parameters=0, figures=2)
        results(long, {"grip": 0.8, "grip_loss": 0.4}, modes=modes, parameters=1_000_000, figures=2)
        results("far", {"grip": 0.1, "grip_loss": 24.5}, modes=modes, timings=far, parameters=999)
        results("other", {"reach": 0.4}, metric="reach", mode="min")
        upload("nine", "sqlite:////here/mlflow.db", experiment="3")
        report.main()
    return folder / "reports"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require(CHROMIUM.is_file(), "needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without a network; whatever goes wrong in it fails the test at its end."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if urlparse(asked.url).scheme not in ("file", "data") else None)
    yield page
    context.close()
    assert wrong == []


def column(page: Page, label: str) -> list[str]:
    """Clicks the head of a column, and gives the experiments from top to bottom."""
    page.locator("table.sortable").first.get_by_role("button", name=label, exact=True).click()
    return page.locator("table.sortable").first.locator("tbody th > a:first-child").all_inner_texts()


def test_a_click_sorts_by_number_from_the_better_end_and_back(site, page):
    page.goto((site / "index.html").as_uri())
    long = "a_name_that_is_rather_long_for_a_phone"
    assert column(page, "training, s") == [long, "nine", "ten", "far"]
    assert column(page, "training, s") == ["far", "ten", "nine", long]
    assert column(page, "grip") == ["nine", long, "ten", "far"]
    assert column(page, "grip") == ["far", "ten", long, "nine"]
    assert column(page, "experiment") == [long, "far", "nine", "ten"]


def test_what_is_not_known_stays_at_the_end_in_both_directions(site, page):
    page.goto((site / "index.html").as_uri())
    long = "a_name_that_is_rather_long_for_a_phone"
    assert column(page, "parameters") == ["far", "nine", long, "ten"]
    assert column(page, "parameters") == [long, "nine", "far", "ten"]


def test_a_screen_reader_is_told_the_order(site, page):
    page.goto((site / "index.html").as_uri())
    heads = page.locator("table.sortable").first.locator("thead th")
    assert heads.evaluate_all("all => all.map(head => head.ariaSort)")[:3] == [None, "descending", None]
    column(page, "grip loss")
    assert heads.evaluate_all("all => all.map(head => head.ariaSort)")[:3] == [None, None, "ascending"]
    column(page, "grip loss")
    assert heads.evaluate_all("all => all.map(head => head.ariaSort)")[:3] == [None, None, "descending"]


def test_a_table_is_sorted_by_keyboard(site, page):
    page.goto((site / "index.html").as_uri())
    page.locator("table.sortable").first.get_by_role("button", name="experiment", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.locator("table.sortable").first.locator("tbody th > a").first.inner_text().startswith("a_name")


@pytest.mark.parametrize("path", PAGES)
def test_every_image_is_there(site, page, path):
    page.goto((site / path).as_uri())
    widths = page.locator("img").evaluate_all(
        "async all => { for (const i of all) await i.decode(); return all.map(i => i.naturalWidth); }"
    )
    assert len(widths) >= 2
    assert min(widths) > 0
    assert page.locator("img:not([alt])").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_sticks_out_of_the_page(site, page, path, width, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto((site / path).as_uri())
    for details in page.locator("details").all():
        details.evaluate("node => node.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(level => level < 64)")
    assert dark == (scheme == "dark")


def test_a_table_scrolls_inside_its_own_frame_on_a_phone(site, page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto((site / "index.html").as_uri())
    frame = page.locator(".scroll:has(table.sortable)").first
    assert frame.evaluate("node => node.scrollWidth > node.clientWidth")
    frame.evaluate("node => node.scrollLeft = 300")
    assert page.locator("table.sortable tbody th").first.bounding_box()["x"] < 40  # the name stays in sight


def test_the_pages_link_to_each_other(site, page):
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="nine", exact=True).first.click()
    assert page.locator("h1").inner_text() == "nine"
    page.get_by_role("link", name="All experiments").click()
    assert page.locator("h1").inner_text() == "Experiments compared"
    assert page.get_by_role("link", name="MLflow run of nine").get_attribute("href").startswith("http://127.0.0.1:5000/#/")
