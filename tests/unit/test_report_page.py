"""The HTML report as a file: whole, safe, bounded, readable without scripts."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sim_cases as cases

import hbmmodel as hbm
from hbmmodel.report import render_html
from hbmmodel.report.content import STATES, describe
from hbmmodel.report.palette import CAUSE, COMPONENT, DARK, LIGHT, STATE, resolve
from hbmmodel.report.series import GROUPS
from hbmmodel.result import LOST, POWER_STATES, Result
from hbmmodel.result.table import Table
from hbmmodel.system import System

Make = Callable[..., Any]
VOID = {"meta", "br", "link", "img", "input"}


class Page(HTMLParser):
    """Tags, texts and attributes, with a check that every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.texts: list[str] = []
        self.headings: list[str] = []
        self._script: str | None = None
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self._script = dict(attrs).get("id") or "behaviour"
            self.scripts[self._script] = ""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "script":
            self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] += data
        else:
            self.texts.append(data)
            if self.open and self.open[-1] in ("h1", "h2"):
                self.headings.append(data)

    def attributes(self, name: str) -> list[str]:
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="module")
def everything() -> Result:
    """A small run that has something to show in every section."""
    controller = hbm.Controller(power="aggressive", page_policy="timeout")
    system = cases.small(channels=4, stacks=2, controller=controller)
    trace = hbm.workload.dlrm(batch=8, tables=2, rows=10_000, training=True, seed=1)
    return hbm.simulate(system, trace, thermal="coupled")


def figures(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.scripts["figures"])
    return found


def test_every_section_of_the_report_is_on_the_page_and_reachable(everything: Result) -> None:
    page = Page(render_html(everything))
    for section in describe(everything).sections:
        assert section.title in page.headings
    assert {"Bandwidth over time", "Power states", "Every value and its source"} <= set(page.headings)
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    links = page.attributes("href")
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)
    sections = [attrs for tag, attrs in page.tags if tag == "section"]
    assert sections and all(attrs["aria-labelledby"] in ids for attrs in sections)


def test_the_page_loads_nothing(everything: Result) -> None:
    text = render_html(everything)
    page = Page(text)
    assert not page.attributes("src") and not any(tag in ("link", "img", "iframe", "object") for tag, _ in page.tags)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "fetch(" not in page.scripts["behaviour"] and "import(" not in page.scripts["behaviour"]
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'") and "http:" not in policy


def test_the_script_that_draws_is_plotly_itself(everything: Result) -> None:
    from plotly.offline import get_plotlyjs

    page = Page(render_html(everything))
    assert gzip.decompress(base64.b64decode(page.scripts["plotly"])).decode() == get_plotlyjs()


def test_every_figure_is_a_figure_of_plotly_in_both_themes(everything: Result) -> None:
    import plotly.graph_objects as go

    found = figures(Page(render_html(everything)))
    shown = found["figures"]
    expected = {
        "bandwidth-phase", "bandwidth-class", "bandwidth-name", "bandwidth-direction", "account", "account-lost",
        "latency", "channels", "banks-bursts", "banks-activations", "banks-energy", "energy", "temperature",
        "cross-section", "states", "states-stacks", "operations",
    }  # fmt: skip
    assert set(shown) == expected

    def painted(value: Any, colours: dict[str, Any], key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: painted(v, colours, k) for k, v in value.items()}
        if isinstance(value, list):
            return [painted(v, colours, key) for v in value]
        return colours.get(value, value) if isinstance(value, str) and "color" in key else value

    for theme in ("light", "dark"):
        for key, figure in shown.items():
            made = go.Figure(painted(figure, found["themes"][theme]))  # raises on what Plotly does not know
            assert len(made.data) > 0, key
    assert set(found["themes"]["light"]) == set(found["themes"]["dark"])


def test_every_thing_has_a_colour_and_every_colour_two_themes() -> None:
    from hbmmodel.energy import COMPONENTS

    assert set(CAUSE) == set(LOST) and set(STATE) == set(STATES) == set(POWER_STATES)
    assert set(COMPONENT) == set(COMPONENTS) == {name for names in GROUPS.values() for name in names}
    assert set(LIGHT) == set(DARK)
    for name in (*CAUSE.values(), *STATE.values(), *COMPONENT.values()):
        assert re.fullmatch("#[0-9a-f]{6}", str(resolve(name))) and resolve(name) in LIGHT.values()
        assert resolve(name, dark=True) in DARK.values()


HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><b>&lt;i&gt;',
    "{{ 7 * 7 }}{% raw %}",
    "@c1",
    "%{x}<br>\u2028\x00\ud800"[:-1],
    "x" * 5000,
    "",
)


def hostile(system: System, raw: dict[str, Any]) -> Result:
    n = len(HOSTILE)
    raw["operations"] = {
        "index": np.arange(n), "name": list(HOSTILE), "phase": list(HOSTILE[::-1]), "start_tick": np.arange(n) * 1000,
        "end_tick": np.arange(n) * 1000 + 900, "bytes_read": np.full(n, 64), "bytes_written": np.zeros(n, dtype=int),
        **{k: np.zeros(n, dtype=int) for k in ("row_hits", "row_misses", "row_conflicts")},
    }  # fmt: skip
    trace = {"name": f"/tmp/{HOSTILE[0]}", "note": HOSTILE[1], "rewrites": [HOSTILE[0]]}
    return Result.from_raw(system, trace, raw, {"version": HOSTILE[0], "command_line": list(HOSTILE)})


def test_names_of_a_trace_stay_text(one_channel: System, make_raw: Make) -> None:
    text = render_html(hostile(one_channel, make_raw(one_channel)))
    page = Page(text)
    assert [tag for tag, _ in page.tags if tag == "script"] == ["script"] * 3
    assert not any(tag in ("img", "b", "i") for tag, _ in page.tags)
    assert "alert(1)" in "".join(page.texts) and "{{ 7 * 7 }}" in "".join(page.texts)
    found = figures(page)
    names = [trace["name"] for trace in found["figures"]["bandwidth-name"]["data"]]
    assert not any("<" in name for name in names) and any(html.unescape(n).startswith("</script>") for n in names)
    assert "@c1" in names
    assert len(text) < 3_000_000


def test_the_page_of_a_very_large_run_stays_small(eight_stacks: System, make_raw: Make) -> None:
    raw = make_raw(eight_stacks)
    rng = np.random.default_rng(1)
    n = 200_000
    start = np.sort(rng.integers(0, 99_000, n))
    raw["operations"] = {
        "index": np.arange(n), "name": [f"kernel_{i % 5000}_of_a_long_name" for i in range(n)],
        "phase": [f"step {i % 300}" for i in range(n)], "start_tick": start,
        "end_tick": start + rng.integers(0, 900, n),
        "bytes_read": rng.integers(0, 1 << 30, n), "bytes_written": rng.integers(0, 1 << 30, n),
        **{k: np.zeros(n, dtype=int) for k in ("row_hits", "row_misses", "row_conflicts")},
        "classes": {f"class{i}_bytes_read": rng.integers(0, 1 << 20, n) for i in range(30)},
    }  # fmt: skip
    epochs = {name: rng.integers(0, 1 << 40, 512) for name in ("bytes_read", "bytes_written", "n_act", "n_ref")}
    raw["epochs"] = {"epoch_ticks": 196, **epochs, **{c: rng.integers(0, 1 << 30, 512) for c in POWER_STATES.values()}}
    result = Result.from_raw(eight_stacks, {}, raw, {})
    cells = eight_stacks.n_pseudo_channels * eight_stacks.device.organisation.banks
    ones = rng.integers(0, 1 << 20, cells)
    place = np.indices((8, 32, 2, cells // 512)).reshape(4, -1)
    banks = {**dict(zip(("stack", "channel", "pseudo_channel", "bank"), place, strict=True)), "n_act": ones}
    object.__setattr__(result, "banks", Table({**banks, "n_rd": ones, "n_wr": ones, "energy_pj": ones * 1.5}))
    times, dies = 512, 17
    grid = np.indices((times, 8, dies)).reshape(3, -1)
    warm = rng.random(grid.shape[1]) * 60 + 40
    names = np.array(["BASE", *(f"DRAM{i}" for i in range(dies - 1))], dtype=object)
    columns = {"time_s": grid[0] * 0.1, "stack": grid[1], "die": names[grid[2]], "power_w": warm}
    object.__setattr__(result, "temperature", Table({**columns, "mean_c": warm, "min_c": warm - 1, "max_c": warm + 1}))
    assert len(render_html(result)) < 4_000_000


def test_a_run_without_anything_still_makes_a_page(one_channel: System, make_raw: Make) -> None:
    from hbmmodel.result import COUNTERS

    raw = make_raw(one_channel, reads=False)
    raw.update(end_tick=0, operations=None, epochs=None, counters={name: np.zeros(2, np.int64) for name in COUNTERS})
    page = Page(render_html(Result.from_raw(one_channel, {}, raw, {})))
    assert "No time passed." in page.texts and "No read reached a bank." in page.texts
    assert set(figures(page)["figures"]) == {"channels"}


def test_a_set_or_stack_that_is_gone_is_said_and_the_page_still_made(everything: Result, tmp_path: Path) -> None:
    system = everything.system.to_dict()
    system["energy"] = str(tmp_path / "gone.toml")
    result = Result.load(everything.save(tmp_path / "run"))
    object.__setattr__(result, "system", System.from_dict(system))
    assert "(its file is gone)" in "".join(Page(render_html(result)).texts)


def test_every_value_stands_with_its_confidence_and_source(everything: Result) -> None:
    texts = "\n".join(Page(render_html(everything)).texts)
    for value in everything.system.device.timing.values():
        assert f"\n{value.name}\n" in texts
    for energy in everything.system.energies()[0]:
        assert energy.source in texts
    assert "geometry.height_um" in texts and everything.system.content_hash() in texts
