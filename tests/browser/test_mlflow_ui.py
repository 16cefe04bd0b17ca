"""The MLflow UI as ``rewa ui`` serves it, in headless Chromium: what a user finds on opening it."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageColor
from tiny_sweep import make_sweep
from toy_records import record

from analysis import report
from benchmarks.faults.servers import free_port
from rewa.mlflow_view import METHODS_VIEW, RUNS_VIEW, SEARCH_VIEW, method_colour, view_url
from rewa.register_command import register_model
from rewa.run_payload import CurvePoint
from rewa.sparsity.frontier import OperatingPoint
from rewa.tracking import Tracker, log_report, read_sweep

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OpenPage = Callable[..., "Page"]

PATIENCE = 60_000
"""Milliseconds for a page to come; the machine may be busy."""


@dataclass(frozen=True)
class Served:
    """A store with two sweeps behind the UI: tiny, of real trainings, and normed, with batch norm."""

    base: str
    uri: str
    experiment: str
    summary: str
    page: str
    normed: str

    def open(self, open_page: OpenPage, fragment: str) -> Page:
        """Open a page of the UI; as large as the charts, which are drawn where they are seen."""
        return open_page(f"{self.base}{fragment}", 1500, 2300)


@pytest.fixture(scope="module")
def served(
    browser: object, tmp_path_factory: pytest.TempPathFactory, migrated_store: Path
) -> Iterator[Served]:
    """Run the commands of ``make sweep`` on a small sweep, and serve what comes of it."""
    folder = tmp_path_factory.mktemp("ui")
    store = folder / "results/mlflow.db"
    store.parent.mkdir()
    shutil.copy(migrated_store, store)
    uri = f"sqlite:///{store}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        normed = batch_norm_sweep(uri, folder)
        make_sweep(folder / "results/tiny").track(uri)
        assert report.main(["--sweep", "tiny", "--output", "results/tiny", "--tracking-uri", uri]) == 0
        register_model("tiny", 20, None, None, None, uri)
        ui = read_sweep(uri, "tiny").meta["ui"]
    page = (folder / "results/tiny/report.html").read_text()
    port = free_port()
    words = [sys.executable, "-m", "rewa", "ui", "--port", str(port), "--sweep", "tiny"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    server = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    base = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(server, base)
        yield Served(base, uri, ui["experiment_id"], ui["summary_run"], page, normed)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def batch_norm_sweep(uri: str, folder: Path) -> str:
    """A sweep whose models have batch norm: as pruned at chance from 10x on, recalibrated not."""
    raw = {1.0: 0.97, 10.0: 0.3, 100.0: 0.1}
    renewed = {1.0: 0.97, 10.0: 0.95, 100.0: 0.9}
    points = [
        OperatingPoint(split, "ratio", ratio, ratio, ratio / 2, value, again)
        for split in ("val", "test")
        for again, values in ((False, raw), (True, renewed))
        for ratio, value in values.items()
    ]
    tracker = Tracker(uri, "normed")
    curves = {}
    for method in ("rewa", "magnitude"):
        for phase, seed in (("search", 0), ("confirm", 1)):
            tracker.log(record(f"{method}-0000", phase, seed, sweep="normed", frontier=points))
        curves[method] = [
            CurvePoint(ratio, ratio, raw[ratio], raw[ratio], f"{method}-0000", renewed[ratio], renewed[ratio])
            for ratio in raw
        ]
    tracker.log_summary({"objective": {"reference": 0.05}})
    page = folder / "report.html"
    page.write_text("<p>hello</p>")
    log_report(uri, "normed", [page], curves)
    return tracker.experiment_id


def wait_until_healthy(server: subprocess.Popen[str], base: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        assert server.poll() is None, "the server ended"
        assert time.monotonic() < deadline
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.3)


MARKS = ".js-plotly-plot path.js-line, .js-plotly-plot .point path, .js-plotly-plot path.point"
"""Lines, bars and points of Plotly's charts."""


def chart(page: Page, title: str) -> str:
    """The colours of what one chart draws, once it is drawn, as ``#RRGGBB`` joined by blanks."""
    card = page.locator("[data-testid='experiment-view-compare-runs-card']", has_text=title).first
    card.locator(MARKS).first.wait_for(state="attached", timeout=PATIENCE)
    styles = card.locator(MARKS).evaluate_all("paths => paths.map(path => path.getAttribute('style') || '')")
    found = {tuple(map(int, rgb)) for s in styles for rgb in re.findall(r"rgb\((\d+), (\d+), (\d+)\)", s)}
    return " ".join(sorted(f"#{r:02X}{g:02X}{b:02X}" for r, g, b in found))


def shown_colours(page: Page) -> dict[str, int]:
    """How many pixels of the page have each method's colour."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    counts = {colour: count for count, colour in image.getcolors(image.width * image.height)}
    methods = ("rewa", "spred", "sgd_l1", "magnitude")
    return {m: counts.get(ImageColor.getrgb(method_colour(m)), 0) for m in methods}


def comparison(served: Served) -> re.Pattern[str]:
    return re.compile(re.escape(served.base + view_url(served.experiment)))


@pytest.mark.parametrize("fragment", ["/", "/#/experiments/EXPERIMENT", "/#/experiments/EXPERIMENT/runs"])
def test_the_comparison_is_there_on_opening(served: Served, open_page: OpenPage, fragment: str) -> None:
    page = served.open(open_page, fragment.replace("EXPERIMENT", served.experiment))
    page.wait_for_url(comparison(served), timeout=PATIENCE)
    both = [method_colour("magnitude"), method_colour("sgd_l1")]
    for title in ("frontier/test_accuracy", "frontier/accuracy", "test_accuracy/at_10x"):
        colours = chart(page, title)
        assert all(colour in colours for colour in both), (title, colours)
    pixels = shown_colours(page)
    assert pixels["magnitude"] > 500 and pixels["sgd_l1"] > 500, pixels  # noqa: PT018
    assert not pixels["spred"]
    text = page.locator("body").inner_text()
    assert all(words in text for words in ("compare them", "run by run", "the search", "the report"))


def test_the_comparison_opens_from_the_list_of_experiments(served: Served, open_page: OpenPage) -> None:
    page = served.open(open_page, "/#/experiments")
    page.locator(f"a[href='#/experiments/{served.experiment}']").first.click(timeout=PATIENCE)
    page.wait_for_url(comparison(served), timeout=PATIENCE)
    assert method_colour("sgd_l1") in chart(page, "frontier/test_accuracy")
    page.go_back()
    page.wait_for_url(re.compile(r"#/experiments$"), timeout=PATIENCE)


def test_the_home_page_and_other_addresses_are_left_alone(served: Served, open_page: OpenPage) -> None:
    for fragment in ("/#/", "/#/models", "/#/experiments/0"):
        page = served.open(open_page, fragment)
        page.locator("a[href*='#/experiments']").first.wait_for(timeout=PATIENCE)
        time.sleep(1)
        assert METHODS_VIEW not in page.url


def follow(page: Page, name: str) -> Page:
    """Click a link of a description; MLflow opens these in a new tab."""
    link = page.get_by_role("link", name=name).first
    link.wait_for(timeout=PATIENCE)
    if (more := page.get_by_role("button", name="Show more")).count():
        more.first.click()
    with page.expect_popup(timeout=PATIENCE) as opened:
        link.click()
    return opened.value


def test_run_by_run_and_the_search_are_a_click_away(served: Served, open_page: OpenPage) -> None:
    page = served.open(open_page, view_url(served.experiment))
    runs = follow(page, "run by run")
    runs.wait_for_url(re.compile(f"viewStateShareKey={RUNS_VIEW}"), timeout=PATIENCE)
    assert method_colour("magnitude") in chart(runs, "frontier/accuracy")
    search = follow(page, "the search")
    search.wait_for_url(re.compile(f"viewStateShareKey={SEARCH_VIEW}"), timeout=PATIENCE)
    assert method_colour("sgd_l1") in chart(search, "lr vs. score")
    search.get_by_text("sgd_l1: settings and score").wait_for(timeout=PATIENCE)
    search.get_by_text("Parallel Coordinates").first.wait_for(timeout=PATIENCE)


def test_the_report_leads_to_runs_and_these_lead_back(served: Served, open_page: OpenPage) -> None:
    links = set(re.findall(r'href="http://127\.0\.0\.1:5000(/#/experiments/[^"]+)"', served.page))
    assert links, "the report has links to runs"
    names = set()
    for link in sorted(links)[:2]:
        page = served.open(open_page, link.replace("&amp;", "&"))
        heading = page.get_by_role("heading", name=re.compile(r"^(magnitude|sgd_l1)-\d{4}( seed \d+)?$"))
        heading.first.wait_for(timeout=PATIENCE)
        names.add(heading.first.inner_text())
    assert len(names) == min(2, len(links))
    back = follow(page, "the report")
    back.wait_for_url(re.compile(rf"{served.summary}/artifacts/report\.html"), timeout=PATIENCE)
    sentence = re.compile(r"At \d+x compression")
    back.frame_locator("iframe").first.get_by_text(sentence).first.wait_for(timeout=PATIENCE)


def test_a_methods_curve_leads_to_its_trainings(served: Served, open_page: OpenPage) -> None:
    page = served.open(open_page, view_url(served.experiment))
    page.get_by_role("link", name="sgd_l1", exact=True).first.click(timeout=PATIENCE)
    training = follow(page, "seed 2")
    heading = training.get_by_role("heading", name=re.compile(r"^sgd_l1-\d{4} seed 2$"))
    heading.first.wait_for(timeout=PATIENCE)


def test_the_registered_models_page_shows_signature_and_source(served: Served, open_page: OpenPage) -> None:
    page = served.open(open_page, "/#/models/tiny/versions/1")
    page.get_by_text("best-20x").first.wait_for(timeout=PATIENCE)
    page.get_by_role("link", name=re.compile(r"-\d{4} seed 1$")).wait_for(timeout=PATIENCE)
    for side in ("Inputs (1)", "Outputs (1)"):
        page.get_by_text(side).click()
    page.get_by_text(re.compile(r"float32.*-1, ?64", re.DOTALL)).first.wait_for(timeout=PATIENCE)
    page.get_by_text(re.compile(r"float32.*-1, ?10", re.DOTALL)).first.wait_for(timeout=PATIENCE)


def test_recalibrated_series_stand_beside_the_raw_ones(served: Served, open_page: OpenPage) -> None:
    page = served.open(open_page, f"/#/experiments/{served.normed}")
    for title in ("frontier/test_accuracy_recalibrated", "frontier/accuracy_recalibrated"):
        assert method_colour("rewa") in chart(page, title)
    for title in ("test_accuracy/at_100x", "test_accuracy_recalibrated/at_100x"):
        assert method_colour("rewa") in chart(page, title)
