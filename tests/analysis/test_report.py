"""The files of a report, the page's honesty, and the edges of what a sweep can leave behind."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from synthetic import CONFIG, Record, decay, flat, frontier_rows, make_record, realistic, run_row

from analysis import figures, report
from analysis.caveats import caveats
from analysis.page import rendering
from analysis.page.context import context
from analysis.page.interactive import frontier_item
from analysis.page.parts import PARTS
from analysis.page.writing import contents, parquet_bytes
from analysis.report import main, write_report
from analysis.summary import summarise
from rewa.errors import UserError

NAMES = [
    *("report.html", "report.md", "frontier.png", "pareto.csv", "frontier.csv"),
    *("frontier.parquet", "runs.parquet"),
]
FRONTIER = [
    "sweep",
    "method",
    "trial",
    "seed",
    "phase",
    "split",
    "criterion",
    "value",
    "compression",
    "compression_total",
    "accuracy",
    "recalibrated",
]
THIN = (0.0, -0.001, 0.001)
PNG = figures.png


def page(record: Record, output: Path) -> str:
    write_report(record, output)
    return read(output)


def read(folder: Path) -> str:
    """The page without the spans around a command's words."""
    return re.sub(r'<span class="w">(.*?)</span>', r"\1", (folder / "report.html").read_text())


def lead(html: str) -> str:
    found = re.search(r'<p class="lead">(.*?)</p>', html)
    assert found
    return found.group(1)


def with_runs(record: Record, *rows: dict[str, Any]) -> Record:
    return replace(record, runs=pd.concat([record.runs, pd.DataFrame(list(rows))]))


@pytest.fixture(autouse=True)
def _no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the static figure, render none, and one part only; `written` and `test_edges_render` do that."""
    monkeypatch.setattr(figures, "png", lambda figure, dpi=0: b"\x89PNG")
    monkeypatch.setattr(rendering, "PARTS", tuple(part for part in PARTS if part.name == "failures"))
    monkeypatch.setattr(rendering, "frontier_item", lambda *_: "{}")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report") / "new" / "digits"
    paths = write_report(realistic(), output)
    assert paths == [output / name for name in NAMES]
    return output


def test_exactly_the_files(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == sorted(NAMES)


def test_frontier_csv_is_the_table(written: Path) -> None:
    table = pd.read_csv(written / "frontier.csv")
    assert list(table.columns) == [*FRONTIER, *CONFIG]
    expected = realistic().frontier
    assert len(table) == len(expected)
    assert set(table["criterion"]) == {"ratio", "threshold"}
    assert table["compression"].map(math.isinf).sum() > 0
    assert table["accuracy"].to_numpy() == pytest.approx(expected["metric"].to_numpy())


def test_pareto_csv_has_a_row_per_method_and_question(written: Path) -> None:
    table = pd.read_csv(written / "pareto.csv")
    assert len(table) == 5 * 7
    assert list(table.columns)[:2] == ["method", "question"]
    assert not table["recalibrated"].any()


def test_parquet_is_the_tables_with_their_types(written: Path) -> None:
    frontier = pd.read_parquet(written / "frontier.parquet")
    assert list(frontier.columns) == [*FRONTIER, *CONFIG]
    expected = realistic().frontier.rename(columns={"metric": "accuracy"})
    pd.testing.assert_frame_equal(frontier, expected[frontier.columns], check_dtype=False)
    assert frontier["recalibrated"].dtype == bool
    assert frontier["seed"].dtype == "int64"
    assert frontier["K"].dtype == "float64"
    runs = pd.read_parquet(written / "runs.parquet")
    assert len(runs) == len(realistic().runs)
    assert set(runs["status"]) == {"completed"}


def test_a_column_of_several_types_becomes_texts_in_parquet() -> None:
    table = pd.DataFrame(
        {"mixed": [1, "auto", None, 0.5], "plain": [True, None, False, True], "n": [1, 2, 3, 4]}
    )
    table["none"] = pd.Series([None] * 4, dtype=object)
    read = pd.read_parquet(io.BytesIO(parquet_bytes(table.astype({"plain": object}))))
    assert read["mixed"].dropna().tolist() == ["1", "auto", "0.5"]
    assert read["mixed"].isna().tolist() == [False, False, True, False]
    assert read["plain"].dropna().tolist() == [True, False, True]
    assert read["n"].dtype == "int64"
    assert read["none"].isna().all()


def test_the_same_sweep_gives_the_same_bytes() -> None:
    methods = {"rewa": decay(100.0), "magnitude": decay(20.0)}
    first, again = (contents(summarise(make_record(methods, ratios=(1, 10, 100)))) for _ in range(2))
    assert first.keys() == again.keys()
    for name in first:
        assert first[name] == again[name], name


def test_page_needs_nothing_else(written: Path) -> None:
    html = (written / "report.html").read_text()
    assert html.count("data:image/png;base64,") >= 2
    page = re.sub(r"<script[^>]*>.*?</script>", "", html, flags=re.DOTALL)
    outside = re.findall(r'(?:src|srcset|href)="(?!data:|#)([^"]*)"', page)
    assert not outside
    assert "http" not in page
    assert not re.search(r"<script[^>]* src", html)
    assert len(html.encode()) < 4e6
    for anchor in re.findall(r'href="#([^"]*)"', html):
        assert f'id="{anchor}"' in html


def test_page_says_who_leads_first(written: Path) -> None:
    html = (written / "report.html").read_text()
    assert "At 100x compression" in lead(html)
    parts = [
        'class="lead"',
        "<figure",
        "<h2>Which setting to use",
        '<p class="divide">Evidence',
        "<h2>How it was compared",
    ]
    places = [html.index(part) for part in [*parts, '<section id="commands"']]
    assert places == sorted(places)


def test_page_has_commands_facts_and_space(written: Path) -> None:
    html = read(written)
    assert "rewa train digits rewa --set lr=0.0" in html
    assert "--epochs 40 --seed 1" in html
    assert "1\u202f078 train, 359 val, 360 test" in html
    assert "0123abc" in html
    assert "<details" in html
    assert "prunable weights" in html
    assert "frontier.csv, rows with criterion" in html


def test_page_is_honest_about_who_wins(tmp_path: Path) -> None:
    wins = make_record({"rewa": flat(0.96, THIN), "sgd_l1": flat(0.97, THIN)})
    assert "sgd_l1 leads" in lead(page(wins, tmp_path))
    loses = make_record({"rewa": flat(0.97, THIN), "sgd_l1": flat(0.96, THIN)})
    assert "rewa leads" in lead(page(loses, tmp_path)), "an old report is replaced"


def test_text_from_the_runs_is_escaped(tmp_path: Path) -> None:
    record = with_runs(
        make_record({"rewa": flat(0.9)}),
        run_row("rewa", 9, 0, "search", status="failed", reason="<b>&boom</b>", score=math.nan),
    )
    html = page(record, tmp_path)
    assert "&lt;b&gt;&amp;boom&lt;/b&gt;" in html
    assert "<b>&boom" not in html


def test_equal_marks_follow_the_interval() -> None:
    wide = (0.0, -0.02, 0.02)
    methods = {"rewa": flat(0.97, wide), "spred": flat(0.96, wide), "random": flat(0.1, wide)}
    rows = context(summarise(make_record(methods)))["ratios"]
    cells = next(row for row in rows if row["ratio"] == "100x")["cells"]
    assert (cells["rewa"]["best"], cells["rewa"]["equal"]) == (True, False)
    assert (cells["spred"]["best"], cells["spred"]["equal"]) == (False, True)
    assert (cells["random"]["best"], cells["random"]["equal"]) == (False, False)


def test_method_without_a_completed_run(tmp_path: Path) -> None:
    record = with_runs(
        make_record({"rewa": flat(0.9)}, meta={}),
        run_row("spred", 0, 0, "search", status="diverged", reason="loss is nan", score=0.0),
        run_row("spred", 1, 0, "search", status="diverged", reason="loss is nan", score=0.0),
    )
    html = page(record, tmp_path)
    assert "spred has no completed run" in html
    assert "2 of 2" in html, "and the cause beside it"
    table = pd.read_csv(tmp_path / "pareto.csv")
    assert (table.loc[table["method"] == "spred", "seeds"] == 0).all()


def test_nothing_completed_at_all(tmp_path: Path) -> None:
    record = with_runs(
        make_record({}, meta={}), run_row("rewa", 0, 0, "search", status="failed", score=math.nan)
    )
    html = page(record, tmp_path)
    assert "No method completed a run" in lead(html)
    assert "no reason recorded" in html


def test_empty_tables(tmp_path: Path) -> None:
    assert "No method completed a run" in page(make_record({}, meta={}), tmp_path)


def test_no_description_one_seed_no_confirmation(tmp_path: Path) -> None:
    record = make_record({"rewa": flat(0.9), "zeta": flat(0.8)}, seeds=(), meta={})
    html = page(record, tmp_path)
    assert "not confirmed" in lead(html)
    assert "There was no confirmation phase" in html
    assert "rewa train WORKLOAD rewa" in html
    assert "No magnitude or random run" in html


@pytest.mark.parametrize(
    "record",
    [
        make_record({}, meta={}),
        make_record({"zeta": flat(0.8)}, seeds=(), meta={}, trials=1, ratios=(1,)),
    ],
    ids=["nothing", "one point"],
)
def test_edges_render(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "png", lambda figure, dpi=0: PNG(figure, dpi=40))
    monkeypatch.setattr(rendering, "PARTS", PARTS)
    monkeypatch.setattr(rendering, "frontier_item", frontier_item)
    write_report(record, tmp_path)
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "rewa train digits rewa --set K=9 --seed 1",
            ["rewa", "train", "digits", "rewa", "--set K=9", "--seed 1"],
        ),
        ("--resume --set a='<b  c>' --x -1", ["--resume", "--set a='<b", "c>'", "--x", "-1"]),
        ("lr=1e-05 K=9", ["lr=1e-05", "K=9"]),
        ("", []),
    ],
)
def test_a_command_in_words_is_the_same_text(command: str, words: list[str]) -> None:
    html = rendering.in_words(command)
    assert unescape(re.sub(r"</?span[^>]*>", "", html)) == command
    assert [unescape(word) for word in re.findall(r'<span class="w">(.*?)</span>', html)] == words


def test_hand_made_runs(tmp_path: Path) -> None:
    runs = [run_row("rewa", 0, 0, "train", score=math.nan)]
    points = frontier_rows("rewa", flat(0.9), 0, 0, "train")
    record = Record("hand", {}, pd.DataFrame(runs), pd.DataFrame(points), [])
    assert "hand-made runs" in page(record, tmp_path)


def test_lost_confirm_seed_is_told() -> None:
    record = make_record({"rewa": flat(0.9, THIN)}, meta={})
    lost = run_row("rewa", 1, 4, "confirm", status="diverged", reason="nan", score=0.0)
    record = with_runs(record, lost)
    told = caveats(summarise(record))
    assert any("1 of 4 confirmation runs of rewa-0001 (rewa) diverged" in line for line in told)


def test_a_fair_sweep_has_no_caveat() -> None:
    record = realistic()
    meta = {**record.meta, "trials_per_method": 3}
    record = replace(record, meta=meta)
    assert caveats(summarise(record)) == []


def test_unequal_and_unfinished_budgets_are_told() -> None:
    record = realistic()
    assert caveats(summarise(record)) == ["Of 24 planned trials per method, 3 were run."]
    more = with_runs(record, run_row("rewa", 9, 0, "search"))
    assert "equal numbers of trials: rewa 4, spred 3" in caveats(summarise(more))[0]


@pytest.mark.parametrize("column", ["score", "phase", "K"])
def test_missing_run_column_is_named(column: str, tmp_path: Path) -> None:
    record = realistic()
    record = replace(record, runs=record.runs.drop(columns=column))
    with pytest.raises(UserError, match=f"runs table lacks the column {column}"):
        write_report(record, tmp_path)
    assert not list(tmp_path.iterdir())


def test_missing_frontier_columns_are_named(tmp_path: Path) -> None:
    record = realistic()
    record = replace(record, frontier=record.frontier.drop(columns=["split", "metric"]))
    with pytest.raises(UserError, match="frontier table lacks the columns split, metric"):
        write_report(record, tmp_path)


def test_output_that_is_a_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the report"):
        write_report(make_record({"rewa": flat(0.9)}), tmp_path / "file")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = make_record({"rewa": flat(0.9)}, trials=1)
    (tmp_path / "report.html").write_text("old")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(UserError, match="No space left"):
        write_report(record, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == "old"


def fake_tracking(record: Record | None, logged: list[Any]) -> SimpleNamespace:
    def read_sweep(tracking_uri: str | None, sweep: str | None) -> Record:
        if record is None:
            raise UserError(f"no sweep {sweep} in {tracking_uri}")
        return record

    def log_report(tracking_uri: str | None, sweep: str, files: list[Path], curves: Any) -> None:
        at_100 = {method: point.test_metric for method, points in curves.items() for point in points}
        logged.append((tracking_uri, sweep, [path.name for path in files], at_100))

    return SimpleNamespace(read_sweep=read_sweep, log_report=log_report)


def test_main_writes_logs_and_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[Any] = []
    record = make_record({"rewa": flat(0.96, THIN), "sgd_l1": flat(0.97, THIN)})
    monkeypatch.setattr(report, "tracking", fake_tracking(record, logged))
    monkeypatch.chdir(tmp_path)
    assert main(["--tracking-uri", "sqlite:///x.db"]) == 0
    ((*where, names, curves),) = logged
    assert where == ["sqlite:///x.db", "digits"]
    assert names == NAMES
    assert curves == {"rewa": pytest.approx(0.96), "sgd_l1": pytest.approx(0.97)}
    assert (tmp_path / "results" / "digits" / "report.html").exists()
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("At 100x compression sgd_l1 leads")
    assert out[-7:] == [
        "report: results/digits/report.html",
        f"beside it: {', '.join(NAMES[1:])}",
        "the setting for another compression: rewa best digits --compression 100",
        "the most compression for a loss: rewa best digits --max-drop 1",
        "which penalty gives which sparsity: rewa calibrate digits --method rewa --compression 100",
        "the model, into MLflow's registry: rewa register digits --compression 100",
        "runs: rewa ui --sweep digits",
    ]


def test_main_tells_a_user_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "tracking", fake_tracking(None, []))
    assert main(["--tracking-uri", "here", "--sweep", "gone"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "error: no sweep gone in here\n"
    assert not captured.out
