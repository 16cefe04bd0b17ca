"""report.md: what a pull request shows, and that no name of a sweep or setting can change its layout."""

from __future__ import annotations

import html
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from synthetic import error_sweep, flat, make_record, realistic

from analysis.commands import commands
from analysis.page.markdown import code, escaped, markdown
from analysis.recommended import recommended
from analysis.summary import summarise

SPECIAL = r"\`*_[]|~#"


def cells(line: str) -> list[str]:
    """Split a row of a table where GitHub does: at every | that no backslash escapes."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def rows(text: str) -> list[list[str]]:
    return [cells(line) for line in text.splitlines() if line.startswith("|")]


@given(st.text())
def test_escaped_text_reads_as_it_was(value: str) -> None:
    """Undoing what Markdown undoes gives the text, its white space flattened."""
    written = escaped(value)
    assert "\n" not in written
    assert "<" not in written
    for place, letter in enumerate(written):
        if letter in SPECIAL and letter != "\\":
            assert written[place - 1] == "\\"
    read = html.unescape(re.sub(r"\\([\\`*_\[\]|~#.)+-])", r"\1", written).replace("&amp;", "&amp;"))
    assert read == " ".join(value.split())


@given(st.text(alphabet="ab `|"))
def test_code_spans_end_where_they_should(value: str) -> None:
    flat_text = " ".join(value.split())
    written = code(value)
    fence = re.match("`+", written)
    assert fence
    if flat_text:
        ticks = max((len(run) for run in re.findall("`+", flat_text)), default=0)
        assert written.startswith("`" * (ticks + 1))
        assert written.endswith("`" * (ticks + 1))
    assert not re.search(r"(?<!\\)\|", written)


def test_a_heading_sign_or_list_at_the_start_is_none() -> None:
    assert escaped("1. first") == "1\\. first"
    assert escaped("- item") == "\\- item"
    assert escaped("+ item") == "\\+ item"
    assert escaped("0.4 points") == "0.4 points"
    assert escaped("# title") == "\\# title"


def test_the_table_is_that_of_the_page() -> None:
    for record in (realistic(), error_sweep()):
        summary = summarise(record)
        header, rule, *body = rows(markdown(summary))
        choices = recommended(summary)
        assert len(body) == len(choices)
        assert {len(row) for row in (header, rule, *body)} == {len(header)}
        for row, choice in zip(body, choices, strict=True):
            assert choice.test in row
            assert choice.compression in row
            assert escaped(choice.verdict) in row
            assert any(escaped(choice.method) in cell for cell in row)


def test_sentences_caveats_facts_and_commands_are_there() -> None:
    summary = summarise(realistic())
    text = markdown(summary)
    assert f"**{escaped(summary.headline[0])}**" in text
    assert "- Of 24 planned trials per method, 3 were run." in text
    assert "(frontier.png)" in text
    assert "Trials per method: 24" in text
    assert "on validation accuracy only" in text
    assert "rewa sweep search\\_spaces" not in text, "commands are not escaped"
    taken = {(choice.method, choice.trial) for choice in recommended(summary)}
    for row in commands(summary):
        assert (row["command"] in text) == ((row["method"], row["trial"]) in taken)
    assert "rewa best digits --compression 100" in text


def test_a_name_cannot_add_a_column_or_an_element() -> None:
    record = make_record({"rewa": flat(0.9)}, trials=1, ratios=(1, 100))
    for table in (record.runs, record.frontier):
        table["init"] = "a|b <b>`x`"
    text = markdown(summarise(replace(record, name="x|y <img src=z> ```\n# big")))
    header, *others = rows(text)
    assert {len(row) for row in others} == {len(header)}
    start = text.index("<details>")
    outside, (fence, *inside) = text[:start], text[start:].splitlines()[2:]
    assert set(fence) == {"`"}
    assert inside.count(fence) == 1, "the fence ends where the commands end"
    assert "<img" not in re.sub(r"(`+) .*?\1|`[^`]*`", "", outside)
    assert not re.search(r"^# big", outside, flags=re.MULTILINE)


def test_nothing_completed() -> None:
    text = markdown(summarise(make_record({}, meta={})))
    assert "No method completed a run" in text
    assert "```" not in text
