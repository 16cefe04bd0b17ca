"""What is given to workers, and what becomes of it when they are lost: nothing twice, nothing forgotten."""

from __future__ import annotations

import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pack_specs import spec

from rewa.record import Record
from rewa.sweep.keeper import Keeper, loss_of
from rewa.sweep.pack import RECORDS, TIMED_OUT
from rewa.sweep.tasks import GIVE_UP_AFTER, MAX_LOSSES, Loss, Tasks
from rewa.sweep.trial import TrialSpec, failed_trial
from rewa.sweep.watchdog import GRACE

CRASH, NODE, TIMEOUT = Loss("crash"), Loss("node", node_died=True), Loss("slow", timed_out=True)


class Listed:
    """Proposes what it is given, and remembers what it is told."""

    def __init__(self, *tasks: list[TrialSpec]) -> None:
        self.waiting = list(tasks)
        self.told: list[str] = []

    def propose(self) -> list[TrialSpec]:
        return self.waiting.pop(0) if self.waiting else []

    def tell(self, trial: str, score: float | None) -> None:
        self.told.append(trial)


def ended(one: TrialSpec) -> Record:
    return failed_trial(one, "ended")


def pack(*names: str) -> list[TrialSpec]:
    return [spec(name) for name in names]


def names_of(task: Any) -> list[str]:
    return [one["trial"] for one in task["specs"]]


def confirming(*names: str) -> list[TrialSpec]:
    return [one.model_copy(update={"phase": "confirm"}) for one in pack(*names)]


def tasks_for(*tasks: list[TrialSpec], after: Listed | None = None, limit: int = 9) -> tuple[Tasks, Listed]:
    search = Listed(*tasks)
    return Tasks(search, lambda: after or Listed(), lambda: limit), search


def test_confirmation_begins_when_the_search_has_ended() -> None:
    tasks, search = tasks_for(pack("a", "b"), pack("c"), after=Listed(confirming("a")))
    assert names_of(tasks.suggest("1")) == ["a", "b"]
    assert names_of(tasks.suggest("2")) == ["c"]
    assert tasks.suggest("3") is None
    for task, name in (("1", "a"), ("2", "c")):
        tasks.finished(task, ended(spec(name)))
    tasks.on_trial_complete("2")
    assert tasks.suggest("3") is None, "b may still be lost"
    tasks.finished("1", ended(spec("b")))
    tasks.on_trial_complete("1")
    assert names_of(tasks.suggest("3")) == ["a"]
    tasks.finished("3", ended(confirming("a")[0]))
    assert search.told == ["a", "c", "b"], "the confirmation is none of the search's business"
    assert tasks.suggest("4") is None
    tasks.on_trial_complete("3")
    assert tasks.suggest("4") == Tasks.FINISHED


def test_no_more_tasks_than_allowed() -> None:
    tasks, _ = tasks_for(pack("a"), pack("b"), limit=1)
    assert tasks.suggest("1")
    assert tasks.suggest("2") is None
    tasks.on_trial_complete("1")
    assert tasks.suggest("2")


def test_a_lost_pack_comes_again_one_by_one_without_what_it_had_finished() -> None:
    tasks, _ = tasks_for(pack("a", "b", "c"))
    tasks.suggest("1")
    tasks.finished("1", ended(spec("b")))
    assert tasks.lost("1", CRASH) == []
    assert [names_of(tasks.suggest(task)) for task in "23"] == [["a"], ["c"]]
    assert tasks.suggest("4") is None
    assert not tasks.losses, "a pack does not say whose fault it was"


def test_a_dead_node_brings_the_pack_back_whole_however_often() -> None:
    tasks, _ = tasks_for(pack("a", "b"))
    for number in range(4):
        assert names_of(tasks.suggest(str(number))) == ["a", "b"]
        assert tasks.lost(str(number), NODE) == []
    assert not tasks.losses


def test_a_trial_that_kills_its_worker_is_given_up() -> None:
    tasks, search = tasks_for(pack("a"), pack("b"))
    for number in range(MAX_LOSSES):
        name = f"a{number}"
        waiting = tasks.suggest(name)
        while names_of(waiting) != ["a"]:  # b comes first where it still waits
            tasks.finished(name, ended(spec("b")))
            tasks.on_trial_complete(name)
            waiting = tasks.suggest(name)
        found = tasks.lost(name, CRASH)
    assert [(record.trial, record.status) for record in found] == [("a", "failed")]
    assert found[0].reason == "its worker was lost 3 times (crash)"
    assert found[0].score == 0.0
    tasks.finished("?", found[0])
    assert search.told[-1] == "a"


def test_a_timed_out_pack_is_taken_apart_and_held_against_nobody() -> None:
    tasks, _ = tasks_for(pack("a", "b"))
    tasks.suggest("1")
    assert tasks.lost("1", TIMEOUT) == []
    assert names_of(tasks.suggest("2")) == ["a"]
    tasks.finished("2", ended(spec("a")))  # reported as timed out before its process ended
    assert tasks.lost("2", TIMEOUT) == []
    assert names_of(tasks.suggest("3")) == ["b"]
    assert not tasks.losses


def test_it_gives_up_where_no_worker_ever_finishes_anything() -> None:
    tasks, _ = tasks_for(*([one] for one in pack(*"abcdefghijk")))
    for number in range(GIVE_UP_AFTER):
        assert not tasks.gave_up
        tasks.suggest(str(number))
        assert tasks.lost(str(number), Loss("No module named 'x'")) == []
    assert tasks.gave_up == "No module named 'x'"
    assert tasks.suggest("next") == Tasks.FINISHED


@settings(max_examples=150)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    limit=st.integers(1, 4),
    fates=st.lists(st.sampled_from(["end", "crash", "node", "slow", "part"]), max_size=60),
)
def test_whatever_happens_every_trial_is_kept_once(sizes: list[int], limit: int, fates: list[str]) -> None:
    """Against a model: trials that are kept are those proposed, each once, and nothing runs twice at once."""
    count = iter(range(1000))
    tasks, search = tasks_for(*([spec(f"t{next(count)}") for _ in range(n)] for n in sizes), limit=limit)
    kept: Counter[str] = Counter()
    running: dict[str, list[TrialSpec]] = {}
    fate = iter(fates)
    number = 0
    while True:
        task = tasks.suggest(str(number))
        if isinstance(task, dict):
            running[str(number)] = [TrialSpec.model_validate(one) for one in task["specs"]]
            number += 1
            inside = [one.trial for specs in running.values() for one in specs]
            assert len(set(inside)) == len(inside)
            assert not set(inside) & set(kept)
            assert len(running) <= limit
            continue
        if not running:
            break
        name, specs = running.popitem()
        how = next(fate, "end")
        done = specs if how == "end" else specs[: len(specs) // 2] if how == "part" else []
        for one in done:
            kept[one.trial] += 1
            tasks.finished(name, ended(one))
        if how == "end":
            tasks.on_trial_complete(name)
            continue
        loss = {"node": NODE, "slow": TIMEOUT}.get(how, CRASH)
        for record in tasks.lost(name, loss):
            kept[record.trial] += 1
            tasks.finished(name, record)
    assert task == Tasks.FINISHED
    if not tasks.gave_up:
        assert kept == {f"t{i}": 1 for i in range(sum(sizes))}
    assert search.told == list(kept)


def tune_trial(name: str, began: float | None = None) -> Any:
    """What a keeper looks at of Tune's own trial."""
    return SimpleNamespace(trial_id=name, error_file=None, run_metadata=SimpleNamespace(start_time=began))


def test_a_process_that_ended_without_a_word_long_after_its_time() -> None:
    """Compiled code held its interpreter: the driver itself says that it timed out, at the first time."""
    late = spec("a").model_copy(update={"timeout": 5.0})
    quick = spec("b").model_copy(update={"timeout": 5.0})
    tasks, search = tasks_for([late], [quick])
    kept: list[Record] = []
    keeper = Keeper(kept.append, tasks)
    tasks.suggest("1")
    tasks.suggest("2")
    keeper.on_trial_error(1, [], tune_trial("1", time.time() - 5 - GRACE - 1))
    assert [(record.trial, record.status) for record in kept] == [("a", "failed")]
    assert kept[0].reason.startswith("timed out after 5 s")
    assert search.told == ["a"]
    keeper.on_trial_error(1, [], tune_trial("2", time.time() - 5 - GRACE + 30))
    assert names_of(tasks.suggest("3")) == ["b"]
    assert len(kept) == 1


def test_the_keeper_keeps_before_it_tells() -> None:
    order: list[str] = []
    tasks, search = tasks_for(pack("a", "b"))
    tasks.suggest("1")
    search.tell = lambda trial, score: order.append(f"told {trial}")  # type: ignore[method-assign]
    keeper = Keeper(lambda record: order.append(f"kept {record.trial}"), tasks)
    trial = tune_trial("1")
    keeper.on_trial_result(1, [], trial, {RECORDS: json.dumps({0: ended(spec("a")).model_dump_json()})})
    keeper.on_trial_result(1, [], trial, {"score": 0.0, TIMED_OUT: True})
    assert order == ["kept a", "told a"]
    keeper.on_trial_error(1, [], trial)
    assert names_of(tasks.suggest("2")) == ["b"]
    assert not tasks.losses, "it timed out"


RAY = """\
The actor died unexpectedly before finishing this task.
	class_name: ImplicitFunc
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: \
Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) ..."""
NODE_TEXT = (
    "The actor died because its node has died. Node Id: 3f. the actor's node was terminated unexpectedly"
)


def test_what_is_made_of_rays_text() -> None:
    crash = loss_of(RAY, timed_out=False)
    assert crash == Loss("Worker unexpectedly exits with a connection error code 2. End of file")
    assert loss_of(NODE_TEXT, timed_out=False).node_died
    assert loss_of("", timed_out=True) == Loss("no reason is known", timed_out=True)
