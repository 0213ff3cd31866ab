"""The HTML report in a browser: what it draws, what it does when one clicks, in both schemes, by keyboard, on paper."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hbmmodel as hbm

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install --group browser")
CHROMIUM = os.environ.get("HBMMODEL_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs Chromium", allow_module_level=True)


def everything() -> hbm.Result:
    """Something to show in every section."""
    controller = hbm.Controller(power="aggressive", page_policy="timeout")
    system = hbm.System(hbm.device("HBM4_8000", "24Gb_12H", channels=8), stacks=2, controller=controller)
    trace = hbm.workload.dlrm(batch=8, tables=2, rows=10_000, training=True, seed=1)
    return hbm.simulate(system, trace, thermal="coupled")


def steady() -> hbm.Result:
    """A state that holds: temperatures of one time."""
    system = hbm.System(hbm.device("HBM4_8000", channels=4))
    return hbm.simulate(system, hbm.workload.dlrm(batch=8, tables=2, rows=10_000, seed=1), thermal="steady")


def requests() -> hbm.Result:
    """Requests alone: no operations, no temperatures."""
    system = hbm.System(hbm.device("HBM3_6400", channels=2))
    address = np.random.default_rng(1).integers(0, 1 << 20, 4000) * 32
    return hbm.simulate(system, hbm.Trace.from_requests(address, np.arange(4000) % 3 == 0))


def one_read() -> hbm.Result:
    """The smallest run there is."""
    return hbm.simulate(hbm.System(hbm.device("HBM2E_3200", channels=1)), hbm.Trace.from_requests([0], [False]))


def hostile() -> hbm.Result:
    """Names that would be markup."""
    result = requests()
    n = 6
    name = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'><b>%{x}"
    columns = {
        "index": np.arange(n), "name": [name, "<a href='javascript:window.broken=1'>x</a>", "@c1", "", "a", "b"],
        "phase": [name, "y", "y", "y", "y", "y"], "start_ns": np.arange(n) * 100.0, "end_ns": np.arange(n) * 100.0 + 90,
        "duration_ns": np.full(n, 90.0), "bytes_read": np.full(n, 6400), "bytes_written": np.zeros(n, dtype=int),
        "bandwidth_gb_per_s": np.full(n, 71.0),
        **{k: np.zeros(n, dtype=int) for k in ("row_hits", "row_misses", "row_conflicts")},
    }  # fmt: skip
    object.__setattr__(result, "operations", type(result.operations)(columns))
    result.trace["name"] = name
    return result


RUNS = {run.__name__: run for run in (everything, steady, requests, one_read, hostile)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    return {name: run().report(folder / f"{name}.html") for name, run in RUNS.items()}


class Opened:
    """A page with everything that went wrong on it."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "offline": True, **options})
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url, path))
        self.page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)

    def _request(self, url: str, path: Path) -> None:
        if url.partition("#")[0] != path.as_uri() and not url.startswith(("data:", "blob:")):
            self.wrong.append(f"requested {url}")

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *_: object) -> None:
        self.context.close()
        assert self.wrong == []


MARKS = """(plot) => {
  const marks = plot.querySelectorAll(
    ".scatterlayer .trace path, .barlayer path, .heatmaplayer image, .sankey-link, .sankey-node, .scatterlayer .point");
  return [...marks].filter((mark) => {
    const box = mark.getBoundingClientRect();
    return box.width > 0 || box.height > 0;
  }).length;
}"""


@pytest.mark.parametrize(("name", "scheme"), [*((name, "light") for name in RUNS), ("everything", "dark")])
def test_every_picture_is_drawn_and_nothing_goes_wrong(
    browser: Any, reports: dict[str, Path], name: str, scheme: str
) -> None:
    with Opened(browser, reports[name], color_scheme=scheme) as page:
        for button in page.query_selector_all(".choice button"):
            button.click()
        page.wait_for_timeout(100)
        plots = page.query_selector_all(".plot")
        assert plots
        for plot in plots:
            key = plot.get_attribute("data-figure")
            plot.evaluate("plot => { plot.hidden = false; Plotly.Plots.resize(plot); }")
            page.wait_for_timeout(50)
            assert plot.evaluate(MARKS) > 0, key
        assert page.evaluate("window.broken") is None
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_button_shows_its_picture_and_hides_the_others(browser: Any, reports: dict[str, Path]) -> None:
    with Opened(browser, reports["everything"]) as page:
        group = page.locator(".choice").first
        buttons = group.locator("button")
        assert buttons.count() == 4
        buttons.nth(2).click()
        key = buttons.nth(2).get_attribute("data-shows")
        assert page.locator(f"#plot-{key}").is_visible()
        first = buttons.first.get_attribute("data-shows")
        assert not page.locator(f"#plot-{first}").is_visible()
        assert [b.get_attribute("aria-pressed") for b in buttons.all()] == ["false", "false", "true", "false"]


def test_one_can_point_at_numbers_and_hide_layers(browser: Any, reports: dict[str, Path]) -> None:
    with Opened(browser, reports["everything"]) as page:
        plot = page.locator("#plot-bandwidth-phase")
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        plot.locator(".hoverlayer text").first.wait_for(timeout=5000)
        assert "B/s" in plot.locator(".hoverlayer").text_content()
        before = plot.evaluate("plot => plot._fullData.map(trace => trace.visible)")
        plot.locator(".legendtoggle").first.click()
        page.wait_for_function("() => document.getElementById('plot-bandwidth-phase')._fullData[0].visible !== true")
        assert before[0] is True


def test_the_keyboard_reaches_everything(browser: Any, reports: dict[str, Path]) -> None:
    with Opened(browser, reports["everything"]) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#report"
        buttons = page.locator(".choice").first.locator("button")
        buttons.first.focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.dataset.shows") == buttons.nth(1).get_attribute("data-shows")
        assert buttons.nth(1).get_attribute("aria-pressed") == "true"
        summary = page.locator("#values summary").first
        summary.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.querySelector('#values details').open")
        focusable = page.locator("nav a, .choice button, summary").count()
        reached = page.evaluate(
            "[...document.querySelectorAll('nav a, .choice button, summary')].filter((e) => e.tabIndex >= 0).length"
        )
        assert reached == focusable > 25


def test_the_page_follows_the_scheme_while_it_is_open(browser: Any, reports: dict[str, Path]) -> None:
    colour = "getComputedStyle(document.querySelector('#plot-account .legendtext')).fill"
    with Opened(browser, reports["everything"], color_scheme="light") as page:
        light = page.evaluate(colour), page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.emulate_media(color_scheme="dark")
        page.wait_for_timeout(300)
        dark = page.evaluate(colour), page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert light[0] != dark[0] and light[1] != dark[1]
        assert contrast(*light) > 7 and contrast(*dark) > 7


def contrast(ink: str, paper: str) -> float:
    """Of two ``rgb(r, g, b)``, by WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(c) / 255 for c in colour[4:-1].split(",")]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    a, b = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def test_paper_shows_every_table_and_light_pictures_that_fit(
    browser: Any, reports: dict[str, Path], tmp_path: Path
) -> None:
    with Opened(browser, reports["everything"], color_scheme="dark") as page:
        seen = page.evaluate(
            """() => { dispatchEvent(new Event("beforeprint"));
                const closed = [...document.querySelectorAll("details")].filter((d) => !d.open).length;
                const widths = [...document.querySelectorAll(".plot .main-svg")].map((s) => s.clientWidth);
                const ink = getComputedStyle(document.querySelector("#plot-account .legendtext")).fill;
                dispatchEvent(new Event("afterprint"));
                return [closed, Math.max(...widths), ink, document.querySelectorAll("details:not([open])").length]; }"""
        )
        closed, widest, ink, closed_again = seen
        assert closed == 0 and widest <= 700 and contrast(ink, "rgb(255, 255, 255)") > 7
        assert closed_again > 5
        page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
        assert (tmp_path / "report.pdf").stat().st_size > 50_000


def test_without_scripts_every_number_is_there(browser: Any, reports: dict[str, Path]) -> None:
    with Opened(browser, reports["everything"], java_script_enabled=False) as page:
        assert page.locator("noscript").inner_text().startswith("Pictures need scripts")
        assert not page.locator(".plot").first.is_visible()
        text = page.locator("main").text_content()
        for words in ("moving data", "Numbers", "Every value and its source"):
            assert words in text
        assert page.locator("table").count() > 10


def test_a_narrow_screen_needs_no_sideways_scrolling(browser: Any, reports: dict[str, Path]) -> None:
    with Opened(browser, reports["everything"], viewport={"width": 360, "height": 780}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
