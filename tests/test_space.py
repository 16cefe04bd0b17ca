"""Search spaces: good ones load, bad ones name file, line and key, and nothing ends in a traceback."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewa.errors import UserError
from rewa.methods import get_method
from rewa.sweep.space import Distribution, SearchSpace, space_from_values
from rewa.sweep.space_file import find_space, load_space, spaces_folder

SPACE = """\
name: little
workload: {name: digits, epochs: 5}
objective: {criterion: ratio, max_compression: 100}
trials: 4
methods:
  rewa:
    coordinates: {weight_scale: 0.05}
    sample:
      K: {choice: [3, 9]}
      p: {uniform: [0.7, 1.0]}
      effective_step: {log_uniform: [0.05, 0.5]}
      decay_budget:
        log_uniform: [2, 20]
        when: {K: [9]}
    fixed: {momentum: 0.9, epsilon: 0}
    known:
      - {K: 9, p: 0.9, effective_step: 0.2, decay_budget: 6}
      - {K: 3, p: 0.9, effective_step: 0.2}
  sgd_l1:
    sample:
      lr: {log_uniform: [0.01, 0.5]}
      l1:
        log_uniform: [1.0e-4, 1.0e-2]
"""


def load(text: str, folder: Path) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_text(text)
    return load_space(path)


def refusal(text: str, folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        load(text, folder)
    return str(raised.value)


def swapped(old: str, new: str) -> str:
    assert SPACE.count(old) == 1, f"{old!r} must occur once"
    return SPACE.replace(old, new)


@pytest.mark.parametrize("path", sorted(spaces_folder().glob("*.yaml")), ids=lambda path: path.stem)
def test_the_spaces_that_come_with_rewa_load(path: Path) -> None:
    space = load_space(path)
    assert space.name == path.stem
    for name, part in space.methods.items():
        for values in part.known:
            config = part.config(name, values, schedule=900.0)
            get_method(name).from_values(config)
    assert space_from_values(space.model_dump(by_alias=True), "again") == space


def test_digits_space_says_what_its_comments_say() -> None:
    """The two known ReWA settings, with the numbers written beside them in the file (100 epochs)."""
    space = load_space(find_space("digits"))
    assert space.workload_name == "digits"
    assert space.workload_settings == {"epochs": 100}
    assert list(space.methods) == ["rewa", "spred", "sgd_l1", "magnitude", "random"]
    schedule = (85 + 1) / 2 + (1700 - 85 + 1) / 2  # 1,700 steps, 5 % of them a ramp
    rewa = space.methods["rewa"]
    configs = [rewa.config("rewa", values, schedule) for values in rewa.known]
    keys = ("K", "M", "lr", "weight_decay", "momentum", "epsilon")
    expected = [(9, 1.74, 0.062, 1.3e-3, 0.9, 0.0), (5, 1.45, 0.093, 3.9e-3, 0.9, 0.0)]
    for config, numbers in zip(configs, expected, strict=True):
        assert [config[key] for key in keys] == pytest.approx(numbers, rel=0.02)


def test_the_little_space_is_read_as_written(tmp_path: Path) -> None:
    space = load(SPACE, tmp_path)
    assert (space.name, space.trials, space.seed) == ("little", 4, 0)
    assert (space.objective.max_compression, space.objective.reference) == (100, 0.8)
    rewa = space.methods["rewa"]
    assert list(rewa.sample) == ["K", "p", "effective_step", "decay_budget"]
    assert rewa.sample["K"].choice == (3, 9)
    assert [type(K) for K in rewa.sample["K"].choice] == [int, int]
    assert rewa.sample["decay_budget"].log_uniform == (2, 20)
    assert rewa.active({"K": 9}, "decay_budget")
    assert not rewa.active({"K": 3}, "decay_budget")
    assert space.methods["sgd_l1"].sample["l1"].log_uniform == (1e-4, 1e-2)


SAMPLE_LR = "lr: {log_uniform: [0.01, 0.5]}"
PLAIN = """\
name: plain
workload: {name: digits}
methods:
  rewa:
    sample:
      K: {int: [3, 9]}
      lr: {log_uniform: [0.01, 1]}
    known:
      - {K: 4, lr: 0.1}
"""


def plain(old: str, new: str) -> str:
    assert PLAIN.count(old) == 1, f"{old!r} must occur once"
    return PLAIN.replace(old, new)


BROKEN: list[tuple[str, str, int, list[str]]] = [
    ("unknown top-level key", swapped("trials: 4", "trails: 4"), 4, ["'trails'", "'trials'"]),
    (
        "unknown key of the objective",
        swapped("criterion", "criterium"),
        3,
        ["'objective.criterium'", "'criterion'"],
    ),
    ("misspelt method", swapped("  sgd_l1:", "  sgd_l2:"), 19, ["'sgd_l2'", "'sgd_l1'"]),
    ("misspelt setting", swapped("      l1:", "      l1x:"), 22, ["'l1x'", "'l1'", "sgd_l1"]),
    ("misspelt coordinate", swapped("      p:", "      pp:"), 10, ["'pp'", "'p'"]),
    ("misspelt fixed setting", swapped("epsilon: 0", "epsilom: 0"), 15, ["'epsilom'", "'epsilon'"]),
    ("misspelt group", swapped("    fixed:", "    fixd:"), 15, ["fixd"]),
    ("misspelt distribution", swapped("uniform: [0.7, 1.0]", "unifrom: [0.7, 1.0]"), 10, ["unifrom"]),
    ("p too small: M above K - 1", swapped("[0.7, 1.0]", "[0.6, 1.0]"), 8, ["K=3", "p=0.6", "K - 1 = 2"]),
    ("p too large: M below 0", swapped("[0.7, 1.0]", "[0.7, 1.2]"), 8, ["K=9", "p=1.2", "M = "]),
    (
        "falling bounds",
        swapped("[0.01, 0.5]", "[0.5, 0.01]"),
        21,
        ["methods.sgd_l1.sample.lr", "[0.5, 0.01]"],
    ),
    ("equal bounds", swapped("[0.01, 0.5]", "[0.5, 0.5]"), 21, ["methods.sgd_l1.sample.lr", "rise"]),
    ("logarithm of 0", swapped("[0.01, 0.5]", "[0, 0.5]"), 21, ["methods.sgd_l1.sample.lr", "positive"]),
    (
        "logarithm below 0",
        swapped("[1.0e-4, 1.0e-2]", "[-1, 1]"),
        22,
        ["methods.sgd_l1.sample.l1", "positive"],
    ),
    ("one bound", swapped("[0.01, 0.5]", "[0.01]"), 21, ["methods.sgd_l1.sample.lr.log_uniform"]),
    (
        "three bounds",
        swapped("[0.01, 0.5]", "[0.01, 0.1, 0.5]"),
        21,
        ["methods.sgd_l1.sample.lr.log_uniform"],
    ),
    ("infinite bound", swapped("[0.01, 0.5]", "[0.01, .inf]"), 21, ["methods.sgd_l1.sample.lr.log_uniform"]),
    ("bound is a word", swapped("[0.01, 0.5]", "[0.01, much]"), 21, ["lr.log_uniform", "'much'"]),
    (
        "two distributions",
        swapped("[0.01, 0.5]", "[0.01, 0.5], choice: [1]"),
        21,
        ["sgd_l1.sample.lr", "exactly one"],
    ),
    ("no distribution", swapped(SAMPLE_LR, "lr: {}"), 21, ["sgd_l1.sample.lr", "exactly one"]),
    ("empty choice", swapped("[3, 9]", "[]"), 9, ["K.choice"]),
    ("known outside a range", swapped("K: 3, p: 0.9", "K: 3, p: 0.5"), 18, ["known p = 0.5"]),
    ("known outside a choice", swapped("K: 9, p: 0.9", "K: 5, p: 0.9"), 17, ["known K = 5"]),
    (
        "known lacks a key",
        swapped("K: 3, p: 0.9, effective_step: 0.2", "K: 3, p: 0.9"),
        18,
        ["'effective_step'"],
    ),
    ("known lacks a conditional key", swapped(", decay_budget: 6", ""), 17, ["'decay_budget'"]),
    (
        "known has a key too many",
        swapped("{K: 3, p: 0.9", "{K: 3, lr: 1, p: 0.9"),
        18,
        ["'lr'", "not sampled"],
    ),
    ("known is not an integer", plain("K: 4", "K: 4.5"), 9, ["known K = 4.5"]),
    (
        "condition on itself",
        swapped("when: {K: [9]}", "when: {decay_budget: [9]}"),
        12,
        ["'when'", "'decay_budget'"],
    ),
    (
        "condition on a later key",
        swapped("{choice: [3, 9]}", "{choice: [3, 9], when: {p: [1]}}"),
        9,
        ["'when'", "'p'"],
    ),
    ("condition is no list", swapped("when: {K: [9]}", "when: {K: 9}"), 14, ["decay_budget.when"]),
    (
        "coordinates without scale",
        swapped("    coordinates: {weight_scale: 0.05}\n", ""),
        9,
        ["'p'", "weight_scale"],
    ),
    (
        "coordinates without lr",
        plain("    sample:\n", "    coordinates: {weight_scale: 1}\n    sample:\n")
        .replace("lr: {log_uniform: [0.01, 1]}", "decay_budget: {uniform: [2, 9]}")
        .replace("lr: 0.1", "decay_budget: 5"),
        6,
        ["lr"],
    ),
    (
        "coordinates of a method without K",
        swapped("  sgd_l1:\n", "  sgd_l1:\n    coordinates: {weight_scale: 0.05}\n"),
        20,
        ["coordinates", "sgd_l1"],
    ),
    ("sampled and fixed", swapped("epsilon: 0", "K: 3"), 15, ["'K'", "both sampled and fixed"]),
    (
        "fixed out of range",
        plain("    sample:", "    fixed: {momentum: 1.5}\n    sample:"),
        5,
        ["momentum = 1.5"],
    ),
    (
        "fixed out of range under coordinates",
        swapped("momentum: 0.9", "momentum: 1.5"),
        15,
        ["momentum = 1.5"],
    ),
    ("required setting is missing", swapped(f"      {SAMPLE_LR}\n", ""), 20, ["'lr'"]),
    (
        "nothing sampled",
        swapped(f"      {SAMPLE_LR}\n      l1:\n        log_uniform: [1.0e-4, 1.0e-2]\n", "      {}\n"),
        20,
        ["sgd_l1.sample"],
    ),
    (
        "no sample",
        plain("    sample:", "    fixed:")
        .replace("{int: [3, 9]}", "3")
        .replace("{log_uniform: [0.01, 1]}", "1"),
        4,
        ["methods.rewa.sample"],
    ),
    ("missing methods", SPACE[: SPACE.index("methods:")], 1, ["missing key 'methods'"]),
    ("missing name", swapped("name: little\n", ""), 1, ["missing key 'name'"]),
    ("methods is a list", SPACE[: SPACE.index("methods:")] + "methods: [rewa]\n", 5, ["methods"]),
    ("methods is empty", SPACE[: SPACE.index("methods:")] + "methods: {}\n", 5, ["methods"]),
    ("a method is a word", SPACE[: SPACE.index("methods:")] + "methods:\n  rewa: yes\n", 6, ["methods.rewa"]),
    ("trials is a word", swapped("trials: 4", "trials: many"), 4, ["trials = 'many'"]),
    ("trials is 0", swapped("trials: 4", "trials: 0"), 4, ["trials = 0"]),
    ("name is a path", swapped("name: little", "name: ../little"), 1, ["name = '../little'"]),
    ("name is a number", swapped("name: little", "name: 7"), 1, ["name = 7"]),
    ("workload is a word", swapped("{name: digits, epochs: 5}", "digits"), 2, ["workload = 'digits'"]),
    (
        "compression out of reach",
        swapped("max_compression: 100", "max_compression: 2000"),
        3,
        ["objective.max_compression"],
    ),
    ("key is a number", SPACE + "7: 8\n", 24, ["7"]),
]


@pytest.mark.parametrize(
    ("text", "line", "words"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, words: list[str], tmp_path: Path) -> None:
    message = refusal(text, tmp_path)
    assert message.startswith(f"search space {tmp_path / 'space.yaml'}, line {line}: ")
    sentence = message.split(": ", 1)[1]
    assert all(word in sentence for word in words), sentence
    assert "\n" not in message


def test_a_setting_that_a_coordinate_overrides_is_refused(tmp_path: Path) -> None:
    """effective_step decides lr, so an lr beside it would be searched in vain."""
    message = refusal(swapped("    fixed: {momentum: 0.9,", "    fixed: {lr: 0.1, momentum: 0.9,"), tmp_path)
    assert "'lr'" in message
    assert "'effective_step'" in message


NOT_A_SPACE = {
    "empty": "",
    "a word": "digits",
    "a list": "- name: x\n",
    "unclosed bracket": swapped("[0.7, 1.0]", "[0.7, 1.0"),
    "tab": swapped("  sgd_l1:", "\tsgd_l1:"),
    "bad indentation": swapped("  sgd_l1:", "   sgd_l1:"),
    "two documents": SPACE + "---\n" + SPACE,
    "unknown alias": swapped("trials: 4", "trials: *four"),
    "unknown tag": swapped("trials: 4", "trials: !!python/object:os.system 4"),
    "list as a key": SPACE + "? [1, 2]\n: 3\n",
    "no such day": swapped("trials: 4", "trials: 2026-02-30"),
    "control character": SPACE + "\x00",
    "tag of an empty number": swapped("trials: 4", 'trials: !!int ""'),
    "tag of no truth": swapped("trials: 4", 'trials: !!bool "x"'),
    "deep nesting": "[" * 5000,
}


@pytest.mark.parametrize("text", NOT_A_SPACE.values(), ids=NOT_A_SPACE)
def test_what_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    message = refusal(text, tmp_path)
    assert message.startswith(f"search space {tmp_path / 'space.yaml'}: ")
    assert "not valid YAML" in message or "must be a mapping" in message
    assert "\n" not in message


@pytest.mark.parametrize("number", ["0.1", "1.0e-1", "1e-1", "1E-1"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lr: 0.1}", "lr: %s}"),
        ("[0.01, 1]", "[%s, 1]"),
        ("{log_uniform: [0.01, 1]}", "{choice: [%s, 1.0]}"),
    ],
    ids=["known", "bound", "choice"],
)
def test_a_tenth_is_a_tenth_however_written(old: str, new: str, number: str, tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-1 as text; where a number belongs it must still count as one."""
    part = load(plain(old, new % number), tmp_path).methods["rewa"]
    assert part.known == ({"K": 4, "lr": 0.1},)
    assert part.sample["lr"].contains(0.1)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_space(tmp_path)
    broken = tmp_path / "latin.yaml"
    broken.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(UserError, match=r"latin\.yaml: cannot be read"):
        load_space(broken)


def test_spaces_are_found_by_file_and_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SPACE)
    assert find_space(str(path)) == path
    assert find_space("digits") == spaces_folder() / "digits.yaml"
    with pytest.raises(UserError, match=r"none\.yaml: no such file"):
        find_space(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match=r"'digit'.*did you mean 'digits'"):
        find_space("digit")


TOKENS = [
    *("[", "]", "{", "}", ":", ",", "- ", "? ", "*a", "&a ", "!!int ", "|", ">", "#", "'", '"', "\n"),
    *("0", "-1", "1e-400", "1e400", "1e-1", ".inf", ".nan", "9" * 400, "0x", "1_0", "0o7", "12:30:45"),
    *("null", "~", "yes", "2026-02-30", "<<: ", "\t", "é", "%", "@", "`", " ", "  "),
    *("K", "p", "lr", "M", "when", "known", "fixed", "choice", "int", "uniform", "rewa", "spred"),
    *("weight_scale: 0", "coordinates: {weight_scale: 1}", "momentum: 1", "K: 1", "when: {K: [3]}"),
]


@st.composite
def edited_spaces(draw: st.DrawFn) -> str:
    """Draw a space with up to four random edits: tokens or lines replaced, inserted, removed."""
    rng = draw(st.randoms(use_true_random=False))
    text = SPACE
    for _ in range(draw(st.integers(1, 4))):
        text = edit(text, rng)
    return text


def edit(text: str, rng: random.Random) -> str:
    start = rng.randrange(len(text) + 1)
    stop = min(len(text), start + rng.choice([0, 0, 1, 2, 5, 20]))
    kind = rng.randrange(4)
    if kind == 0:
        return text[:start] + rng.choice(TOKENS) + text[stop:]
    if kind == 1:
        return text[:start] + text[stop:]
    lines = text.splitlines(keepends=True) or [""]
    chosen = rng.randrange(len(lines))
    if kind == 2:
        lines.insert(rng.randrange(len(lines) + 1), lines[chosen])
    else:
        words = lines[chosen].split(" ")
        words[rng.randrange(len(words))] = rng.choice(TOKENS)
        lines[chosen] = " ".join(words)
    return "".join(lines)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=edited_spaces())
def test_no_edit_ends_in_a_traceback(text: str, tmp_path: Path) -> None:
    try:
        space = load(text, tmp_path)
    except UserError as error:
        message = str(error)
    else:
        assert space.methods
        return
    assert message.startswith(f"search space {tmp_path / 'space.yaml'}")
    assert "\n" not in message


class FakeTrial:
    """Answers like Optuna's trial, with the lower end of everything."""

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> Any:
        return (name, low, high, log)

    def suggest_int(self, name: str, low: int, high: int) -> Any:
        return (name, low, high)

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        return (name, choices)


@pytest.mark.parametrize(
    ("values", "asked", "inside", "outside"),
    [
        ({"uniform": [0, 2]}, ("x", 0.0, 2.0, False), [0, 1.5, 2], [-0.1, 2.1, "1"]),
        ({"log_uniform": [0.1, 2]}, ("x", 0.1, 2.0, True), [0.1, 1, 2], [0.05, 3, None]),
        ({"int": [3, 5]}, ("x", 3, 5), [3, 4, 5], [2, 6, 3.5]),
        ({"choice": [3, "a"]}, ("x", [3, "a"]), [3, "a"], [4, "b", None]),
    ],
)
def test_distributions(values: dict[str, Any], asked: Any, inside: list[Any], outside: list[Any]) -> None:
    distribution = Distribution.model_validate(values)
    assert distribution.suggest(FakeTrial(), "x") == asked
    assert all(distribution.contains(value) for value in inside)
    assert not any(distribution.contains(value) for value in outside)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    """YAML would silently keep the last, and a method's space could vanish."""
    message = refusal(SPACE + "trials: 5\n", tmp_path)
    assert "'trials' is given twice" in message
    assert f"line {SPACE.count(chr(10)) + 1}" in message


def test_unknown_nested_keys_get_a_suggestion(tmp_path: Path) -> None:
    message = refusal(SPACE.replace("    sample:", "    smaple:", 1), tmp_path)
    assert "did you mean 'sample'?" in message


LINEAR = """\
name: linear
workload: {name: sparse_recovery, d: 500}
objective: {max_compression: 500, reference: 2.0}
methods:
  mcp:
    sample: {lambda_fraction: {log_uniform: [0.1, 1]}}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("reference: 2.0", "reference: 0.8", 3, "objective.reference = 0.8: for mse it must be worse than 1"),
        (", reference: 2.0", "", 3, "objective.reference = 0.8"),
        ("reference: 2.0", "reference: 1.0", 3, "worse than 1, the best possible"),
        ("max_compression: 500", "max_compression: 501", 3, "must be at most 500, the largest target"),
        ("sparse_recovery, d: 500", "digits", 3, "at least 0 and below 1"),
        (
            "sparse_recovery, d: 500}\nobjective: {max_compression: 500, reference: 2.0}",
            "digits}",
            4,
            "'mcp' fits",
        ),
        ("[0.1, 1]", "[0.1, 2]", 6, "lambda_fraction"),
    ],
)
def test_the_objective_and_the_methods_must_fit_the_workload(
    old: str, new: str, line: int, words: str, tmp_path: Path
) -> None:
    assert LINEAR.count(old) == 1
    load(LINEAR, tmp_path)
    message = refusal(LINEAR.replace(old, new), tmp_path)
    assert f"line {line}: " in message
    assert words in message


def test_the_spaces_that_come_with_rewa_are_valid_and_fair() -> None:
    for path in spaces_folder().glob("*.yaml"):
        space = load_space(path)
        assert path.read_text().startswith("# ")
        assert space.name == path.stem
        assert len({len(part.known) for part in space.methods.values()}) == 1, (
            "as many known settings for each"
        )


def test_a_training_that_is_too_short_for_a_decay_budget_is_said(tmp_path: Path) -> None:
    """A cyclic schedule of one step is 0 there: weight_decay would be a division by zero."""
    part = load(SPACE, tmp_path).methods["rewa"]
    with pytest.raises(UserError, match=r"decay_budget: .* train for longer"):
        part.config("rewa", {"K": 9, "p": 0.9, "effective_step": 0.2, "decay_budget": 6}, schedule=0.0)
