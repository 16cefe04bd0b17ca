"""Search spaces by the thousand: each loads and can be drawn from, or is refused in one sentence."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import fuzz_words
import fuzzed_spaces
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewa.errors import UserError
from rewa.methods import get_method
from rewa.sweep.space import MethodSpace, SearchSpace, space_from_values
from rewa.sweep.space_draws import draws
from rewa.sweep.space_file import MOST_BYTES, load_space
from rewa.workloads import get_workload

optuna.logging.set_verbosity(optuna.logging.ERROR)

TEXT = fuzz_words.TEXTS[0]
SMALL = """\
name: small
workload: {name: digits, epochs: 5}
methods:
  rewa:
    coordinates: {weight_scale: 0.05}
    sample:
      K: {choice: [3, 5, 9]}
      p: {uniform: [0.7, 1.0]}
      effective_step: {log_uniform: [0.05, 0.5]}
    fixed: {momentum: 0.9}
"""


def checked(data: bytes, folder: Path) -> SearchSpace | None:
    """Load a space, and do with it what comes before a sweep's first trial; ``None`` if it is refused."""
    path = folder / "space.yaml"
    path.write_bytes(data)
    try:
        space = load_space(path)
    except UserError as error:
        message = str(error)
        assert message.startswith(f"search space {path}")
        assert message.isprintable(), "one line"
        assert len(message) < 1500
        return None
    assert (
        space_from_values(json.loads(json.dumps(space.model_dump(mode="json", by_alias=True))), "") == space
    )
    try:
        get_workload(space.workload_name).Config.parse(space.workload_settings, "the workload")
    except UserError:
        assert ":" in space.workload_name, "a wrong workload is found when the space is read"
    for method, part in space.methods.items():
        draw_some(method, part, 3)
    return space


def draw_some(method: str, part: MethodSpace, count: int) -> None:
    """Draw settings by Optuna and build the methods; anything raised is a failure."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(count):
        trial = study.ask()
        values: dict[str, object] = {}
        for name, distribution in part.sample.items():
            if part.active(values, name):
                values[name] = distribution.suggest(trial, name)
        get_method(method).from_values(part.config(method, values, schedule=900.0))


def as_bytes(made: str | bytes) -> bytes:
    return made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")


MAKERS: list[Callable[[int], str | bytes]] = [
    fuzzed_spaces.mutated,
    fuzzed_spaces.grown,
    fuzzed_spaces.noise,
]
few = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_malformed_space_is_refused_in_one_sentence(
    make: Callable[[int], str | bytes], tmp_path: Path
) -> None:
    @few
    @given(seed=seeds)
    def hold(seed: int) -> None:
        checked(as_bytes(make(seed)), tmp_path)

    hold()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_thousands_of_malformed_spaces(make: Callable[[int], str | bytes], tmp_path: Path) -> None:
    found = [checked(as_bytes(make(seed)), tmp_path) is not None for seed in range(4000)]
    assert 0 < sum(found) < len(found), "both kinds are there"


def test_grown_spaces_are_not_all_refused(tmp_path: Path) -> None:
    """Or nothing would be said about what loads."""
    found = [checked(as_bytes(fuzzed_spaces.grown(seed)), tmp_path) is not None for seed in range(40)]
    assert sum(found) >= 5


ABSURD = {
    "billion laughs": fuzz_words.BOMB + "\n" + TEXT,
    "billion laughs as the workload's name": fuzz_words.BOMB + "\nworkload: {name: *l}\n",
    "merged laughs": "a0: &a0 {x: 1}\n"
    + "\n".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 60)),
    "an anchor in itself": TEXT + "x: &x {y: [*x]}\n",
    "10 MB": TEXT + "#" * 10_000_000,
    "deep": "[" * (MOST_BYTES // 2),
    "many keys": "\n".join(f"k{i}: 1" for i in range(4000)),
    "an endless number": SMALL + "trials: 0b" + "1" * 100_000,
    "trials": SMALL + f"trials: {10**18}\n",
    "pack": SMALL + f"resources: {{pack: {10**9}}}\n",
    "workers": SMALL + f"resources: {{workers: {10**9}}}\n",
    "a core in a million": SMALL + "resources: {cpu: 1.0e-6}\n",
    "a GPU and a half": SMALL + "resources: {gpu: 1.5}\n",
    "seed": SMALL + f"seed: {10**30}\n",
    "confirm": SMALL + f"confirm: {{seeds: {10**9}}}\n",
    "epochs": SMALL.replace("epochs: 5", f"epochs: {10**15}"),
    "batch": SMALL.replace("epochs: 5", f"batch_size: {10**30}"),
    "home of nobody": SMALL.replace("digits, epochs: 5", "image_folder, root: ~nobody-there/x"),
    "a matrix of petabytes": SMALL.replace("digits, epochs: 5", "sparse_recovery, d: 100000000, k: 30000000"),
}


@pytest.mark.parametrize("text", ABSURD.values(), ids=ABSURD)
def test_absurd_spaces_are_refused_at_once(text: str, tmp_path: Path) -> None:
    started = time.process_time()
    assert checked(text.encode(), tmp_path) is None
    assert time.process_time() - started < 5


def test_a_device_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="more than 262,144 bytes"):
        load_space(Path("/dev/zero"))


def test_a_tag_runs_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "was-run"
    for tag in ("object/apply:os.mkdir", "object/new:os.mkdir", "object/apply:pathlib.Path.touch"):
        assert checked(f"{SMALL}trials: !!python/{tag} [{canary}]\n".encode(), tmp_path) is None
    assert not canary.exists()


UNDRAWABLE = {
    "differences overflow": (
        "{uniform: [0.7, 1.0]}",
        "{uniform: [-1.7e+308, 1.7e+308]}",
        "bounds must lie within",
    ),
    "logarithm of almost nothing": ("log_uniform: [0.05, ", "log_uniform: [5.0e-324, ", "lower bound"),
    "beyond 64 bits": ("{choice: [3, 5, 9]}", f"{{int: [3, {2**70}]}}", "bounds must lie within"),
    "the same choice twice": ("[3, 5, 9]", "[3, 5, 3.0]", "has 3.0 twice"),
    "a condition that never holds": ("[0.7, 1.0]}", "[0.7, 1.0], when: {K: [7]}}", "waits for K = 7"),
}


@pytest.mark.parametrize(("old", "new", "words"), UNDRAWABLE.values(), ids=UNDRAWABLE)
def test_what_could_never_be_drawn_is_refused_with_its_line(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    assert SMALL.count(old) == 1
    path = tmp_path / "space.yaml"
    path.write_text(SMALL.replace(old, new))
    with pytest.raises(UserError, match=r"line \d+: .*" + words):
        load_space(path)


def test_a_choice_in_the_middle_that_makes_others_invalid_is_found(tmp_path: Path) -> None:
    """The ends of K never sample M, so that only K = 5 shows that M = 6 is too large for it."""
    path = tmp_path / "space.yaml"
    path.write_text(
        "name: x\nworkload: {name: digits}\nmethods:\n  rewa:\n    fixed: {lr: 0.1, M: 1}\n    sample:\n"
        "      K: {choice: [3, 5, 9]}\n"
        "      weight_decay: {choice: [1.0e-3, -1.0], when: {K: [5]}}\n"
    )
    with pytest.raises(UserError, match="weight_decay"):
        load_space(path)


def test_draws_meet_every_condition_and_every_end(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        SMALL.replace("[0.7, 1.0]}", "[0.7, 1.0], when: {K: [5]}}").replace("choice: [3", "choice: [4")
    )
    space = load_space(path)
    drawn = list(draws(space.methods["rewa"]))
    assert {values["K"] for values in drawn} == {4, 5, 9}
    assert all(("p" in values) == (values["K"] == 5) for values in drawn)
    assert {0.7, 1.0} <= {values["p"] for values in drawn if "p" in values}
    assert drawn == list(draws(space.methods["rewa"]))
