"""The report page as a reader meets it: from a file, on a phone, on paper, without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from synthetic import META, Record, error_sweep, realistic, with_recalibrated

from analysis.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Page

OpenPage = Callable[..., "Page"]

WIDE, PHONE = 1280, 390
PHONE_SETTINGS = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}

POINT = """([method, target]) => {
  const plot = Bokeh.documents[0].get_model_by_name("frontier");
  const own = plot.renderers.filter((one) => ["dots", "front"].includes(one.name) && one.tags[0] === method);
  const { data } = own.map((one) => one.data_source).find((source) => source.data.target.includes(target));
  const i = data.target.indexOf(target);
  const view = [...Bokeh.index][0], box = view.el.getBoundingClientRect();
  return [box.left + view.frame.x_scale.compute(data.x[i]), box.top + view.frame.y_scale.compute(data.y[i])];
}"""
VISIBLE = """(method) => Bokeh.documents[0].get_model_by_name("frontier").renderers
  .filter((one) => one.tags[0] === method).map((one) => one.visible)"""


UNFOLD = "(open) => document.querySelectorAll('details').forEach((one) => { one.open = open; })"
RANGE = """(() => {
  const range = Bokeh.documents[0].get_model_by_name("frontier").y_range;
  return [range.start, range.end];
})()"""
COLOURS = """() => {
  const clear = "rgba(0, 0, 0, 0)", found = new Set();
  const ground = (e) => getComputedStyle(e).backgroundColor;
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest("#frontier-plot, script, style") || !e.innerText || !e.offsetParent) continue;
    let back = e;
    while (back && ground(back) === clear) back = back.parentElement;
    found.add(getComputedStyle(e).color + "|" + (back ? ground(back) : "rgb(255, 255, 255)"));
  }
  return [...found];
}"""


SELECTED = """() => [...document.querySelectorAll("#commands pre")].map((one) => {
  getSelection().selectAllChildren(one);
  return [one.textContent, getSelection().toString()];
})"""
BROKEN = """() => [...document.querySelectorAll("#commands .w")].filter((one) => one.offsetParent)
  .filter((one) => one.offsetHeight > 1.5 * parseFloat(getComputedStyle(one).lineHeight))
  .map((one) => one.innerText)"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of pages: of accuracies, linked to MLflow; of errors; with everything there can be."""
    ui = {"base": "http://127.0.0.1:5000", "experiment_id": "1", "summary_run": "x"}
    accuracy = realistic()
    records: dict[str, Record] = {
        "accuracy": replace(accuracy, meta={**META, "ui": ui}),
        "error": error_sweep(),
        "recalibrated": with_recalibrated(realistic(), lambda value: value),
    }
    found = {}
    for name, record in records.items():
        output = tmp_path_factory.mktemp(name)
        write_report(record, output)
        found[name] = (output / "report.html").as_uri()
    return found


def drawn(page: Page) -> Page:
    """Wait until the interactive figure is there and in view."""
    page.locator("#frontier-plot .bk-Legend").wait_for()
    page.locator("#frontier-plot").scroll_into_view_if_needed()
    page.wait_for_function("[...Bokeh.index][0].frame.bbox.width > 100")
    return page


def place(page: Page, method: str, target: str) -> tuple[float, float]:
    x, y = page.evaluate(POINT, [method, target])
    return float(x), float(y)


def test_it_works_from_a_file(open_page: OpenPage, tmp_path: Path) -> None:
    """The quick one: drawn, without an error, without a request, the decision on the first two screens."""
    write_report(replace(realistic(), meta=META), tmp_path)
    page: Any = drawn(open_page((tmp_path / "report.html").as_uri(), WIDE, 900))
    assert page.errors == []
    assert page.requests == []
    assert not page.locator(".twin").is_visible()
    table = page.locator("table.choices").bounding_box()
    assert table is not None
    top = table["y"] + page.evaluate("scrollY")
    assert top + table["height"] < 2 * 900 + 100, "the decision is on the first two screens"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accuracy", "error", "recalibrated"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_it_fits_its_screen(open_page: OpenPage, written: dict[str, str], name: str, width: int) -> None:
    page: Any = drawn(open_page(written[name], width, 800))
    for opened in (False, True):
        page.evaluate(UNFOLD, opened)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.errors == []
    assert page.requests == []
    wide = page.evaluate(
        """() => [...document.querySelectorAll('table')].filter((table) =>
            table.scrollWidth > innerWidth && !table.closest('.scroll')).length"""
    )
    assert wide == 0, "wide tables scroll by themselves"


@pytest.mark.slow
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_commands_break_between_options_and_are_copied_whole(
    open_page: OpenPage, written: dict[str, str], width: int
) -> None:
    page = open_page(written["accuracy"], width, 800)
    page.evaluate(UNFOLD, True)
    commands = page.evaluate(SELECTED)
    assert commands
    for command, copied in commands:
        assert copied == command
    assert page.evaluate(BROKEN) == []


@pytest.mark.slow
def test_the_tooltip_has_the_exact_setting(open_page: OpenPage, written: dict[str, str]) -> None:
    page: Any = drawn(open_page(written["accuracy"]))
    page.mouse.move(*place(page, "rewa", "100x"))
    tooltip = page.locator(".bk-Tooltip .bk-tooltip-content", has_text="rewa-000")
    tooltip.wait_for()
    told = tooltip.inner_text()
    assert re.search(r"lr=0\.0\d{11,}", told), told
    assert "M=1.7423456789" in told
    assert "target 100x" in told
    assert "±" in told


@pytest.mark.slow
def test_a_tap_tells_the_setting_and_keeps_it(open_page: OpenPage, written: dict[str, str]) -> None:
    page: Any = drawn(open_page(written["accuracy"], PHONE, 800, **PHONE_SETTINGS))
    x, y = place(page, "sgd_l1", "50x")
    page.touchscreen.tap(x + 4, y - 4)
    told = page.locator("#frontier-told")
    page.wait_for_function("document.querySelector('#frontier-told code') !== null")
    assert "l1=0.00032" in told.inner_text()
    assert "rewa-0000" in told.inner_text(), "which has the same value there: both are told"
    link = told.locator("div", has_text="sgd_l1").locator("a").get_attribute("href")
    assert re.fullmatch(r"http://127\.0\.0\.1:5000/#/experiments/1/runs/sgd_l1\dconfirm1", link or "")
    page.touchscreen.tap(x, y)
    box = told.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE


@pytest.mark.slow
def test_a_finger_on_the_figure_scrolls_the_page(open_page: OpenPage, written: dict[str, str]) -> None:
    """No tool that would take the finger's movement for itself is active at first."""
    page: Any = drawn(open_page(written["accuracy"], PHONE, 800, **PHONE_SETTINGS))
    action = page.locator("#frontier-plot .bk-events").first.evaluate(
        "(e) => getComputedStyle(e).touchAction"
    )
    assert "pan-y" in action or action == "auto"


@pytest.mark.slow
def test_a_click_on_the_legend_hides_a_method(open_page: OpenPage, written: dict[str, str]) -> None:
    page: Any = drawn(open_page(written["accuracy"]))
    assert len(page.evaluate(VISIBLE, "rewa")) == 3, "its marks, its points on the front, their numbers"
    assert all(page.evaluate(VISIBLE, "rewa"))
    item = page.locator("#frontier-plot .bk-Legend .bk-item", has_text=re.compile("^rewa$"))
    item.click()
    page.wait_for_function(f"!({VISIBLE})('rewa').some(Boolean)")
    assert all(page.evaluate(VISIBLE, "spred"))
    x, y = place(page, "rewa", "100x")
    page.mouse.move(x, y)
    page.wait_for_timeout(300)
    shown = page.locator(".bk-Tooltip .bk-tooltip-content", has_text="rewa-000")
    assert not shown.count(), "what is hidden tells nothing"
    item.click()
    page.wait_for_function(f"({VISIBLE})('rewa').every(Boolean)")


@pytest.mark.slow
def test_the_whole_range_is_a_click_away(open_page: OpenPage, written: dict[str, str]) -> None:
    page: Any = drawn(open_page(written["accuracy"]))
    before = page.evaluate(RANGE)
    assert before[0] > 80
    page.get_by_role("button", name="whole range").click()
    assert page.evaluate(RANGE) == [0, 103]
    page.get_by_role("button", name="where methods separate").click()
    assert page.evaluate(RANGE) == before


@pytest.mark.slow
def test_paper_gets_the_static_picture(open_page: OpenPage, written: dict[str, str]) -> None:
    page: Any = drawn(open_page(written["accuracy"]))
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})  # A4 within its margins
    picture = page.locator(".twin img")
    assert picture.is_visible()
    assert picture.evaluate("(image) => image.complete && image.naturalWidth") > 1000, "the wide one"
    assert not page.locator("#frontier-plot").is_visible()
    assert not page.locator("#frontier-told").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    wide = page.evaluate(
        "[...document.querySelectorAll('table')].filter((t) => t.offsetWidth > 720).map((t) => t.innerText)"
    )
    assert wide == [], "what does not fit on paper is cut off there"
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "narrow"), [(WIDE, False), (PHONE, True)])
def test_without_javascript(open_page: OpenPage, written: dict[str, str], width: int, narrow: bool) -> None:
    page: Any = open_page(written["accuracy"], width, 800, java_script_enabled=False)
    picture = page.locator(".twin img")
    assert picture.is_visible()
    assert not page.locator("#frontier-plot").is_visible()
    box = picture.bounding_box()
    assert box is not None
    assert 0.6 * min(width, 860) < box["width"] <= width
    assert (box["height"] > box["width"]) == narrow, "a phone gets the upright one"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accuracy", "error", "recalibrated"])
def test_the_page_is_sound(open_page: OpenPage, written: dict[str, str], name: str) -> None:
    """Every link in the page has its target, no id is given twice, every picture says what it shows."""
    page: Any = drawn(open_page(written[name]))
    outside = "[...document.querySelectorAll('body *')].filter((e) => !e.closest('#frontier-plot'))"
    ids = page.evaluate(f"{outside}.map((e) => e.id).filter(Boolean)")
    assert len(ids) == len(set(ids))
    targets = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.hash.slice(1))")
    assert targets
    assert set(targets) <= set(ids)
    assert page.evaluate("[...document.images].every((image) => image.alt.length > 10)")
    page.locator("nav a", has_text="commands").click()
    assert page.evaluate("location.hash") == "#commands"
    anchors = page.locator("table.choices a[href^='#setting-']")
    anchors.first.click()
    assert page.locator(f"[id='{page.evaluate('location.hash')[1:]}']").is_visible()


@pytest.mark.slow
def test_text_is_dark_enough(open_page: OpenPage, written: dict[str, str]) -> None:
    """WCAG's contrast of 4.5 for all text of the page outside of figures, by its own formula."""
    page: Any = drawn(open_page(written["accuracy"]))
    page.evaluate(UNFOLD, True)
    colours = page.evaluate(COLOURS)
    assert colours
    for pair in colours:
        lights = sorted((luminance(colour) for colour in pair.split("|")), reverse=True)
        assert (lights[0] + 0.05) / (lights[1] + 0.05) >= 4.5, pair


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2.2)."""
    parts = [int(part) / 255.0 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
