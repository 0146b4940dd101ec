"""Workers that are not alike: each run is computed by one that can, and turns are kept."""

import signal
from typing import Any

import pytest
import sqlalchemy as sa

from worker.contract.errors import UserError
from worker.contract.inputs import AskPreflight, Inputs
from worker.contract.selection import FactsSpec
from worker.contract.spec import StudySpec
from worker.contract.study import StudyMask, StudyMethod

ENDLESS = {"steps": 100_000, "pause": 0.02}


def test_each_run_is_computed_by_the_worker_that_has_its_model_method_and_memory(
    unlike: Any,
) -> None:
    asked = {
        "small": [unlike.spec("demo"), unlike.spec("demo", "probes"), unlike.spec("demo")],
        "large": [unlike.spec("big"), unlike.spec("wide"), unlike.spec("both", "other")],
    }
    runs = [(unlike.engine.submit(spec), who) for who, specs in asked.items() for spec in specs]
    for run_id, who in runs:
        assert unlike.state(run_id, "done").worker == who
    assert [unlike.starts(run_id) for run_id, _ in runs] == [1] * 6


def test_a_run_for_a_busy_worker_waits_and_holds_up_nobody_else(unlike: Any) -> None:
    busy = unlike.submit(**ENDLESS)
    unlike.state(busy, "running")
    waiting = unlike.submit()
    other = unlike.engine.submit(unlike.spec("big"))
    assert unlike.state(other, "done").worker == "large"
    assert unlike.store.run(waiting).state == "queued", "the free worker does not have its model"
    unlike.engine.cancel(busy)
    assert unlike.state(waiting, "done").worker == "small"


def test_a_studys_children_go_to_the_workers_that_can_compute_each(unlike: Any) -> None:
    study = unlike.engine.submit(
        StudySpec(
            model="both",
            facts=FactsSpec(set="tiny", forget="first:1"),
            masks={"mlp": StudyMask(title="", components=("blocks.0.mlp",))},
            methods={"one": StudyMethod(title="", method="probes")},
            evaluations=("other",),
            seeds=(0,),
        )
    )
    unlike.state(study, "done", seconds=90)
    done_by = {child.kind: child.worker for child in unlike.store.children(study)}
    assert done_by == {"unlearn": "small", "evaluate": "large"}


def test_one_sessions_many_runs_leave_every_second_turn_to_another(unlike: Any) -> None:
    first = unlike.submit(**ENDLESS)
    unlike.compute_of(first)
    many, few = unlike.engine.of_session("ann"), unlike.engine.of_session("bob")
    of_ann = [many.submit(unlike.spec(steps=1)) for _ in range(4)]
    of_bob = [few.submit(unlike.spec(steps=1)) for _ in range(2)]
    assert [unlike.store.run(id).ahead for id in of_bob] == [1, 3]
    unlike.engine.cancel(first)
    for run_id in (*of_ann, *of_bob):
        unlike.state(run_id, "done")
    with unlike.store.database.read() as session:
        taken = sa.text("SELECT id FROM runs WHERE session IN ('ann', 'bob') ORDER BY taken")
        order = list(session.scalars(taken))
    assert order == [of_ann[0], of_bob[0], of_ann[1], of_bob[1], *of_ann[2:]]


def test_a_studys_children_take_the_turns_of_its_session(unlike: Any) -> None:
    study = unlike.engine.of_session("cleo").submit(
        StudySpec(
            facts=FactsSpec(set="tiny", forget="first:1"),
            masks={"mlp": StudyMask(title="", components=("blocks.0.mlp",))},
            methods={"one": StudyMethod(title="", method="fake")},
            seeds=(0,),
        )
    )
    unlike.state(study, "done", seconds=90)
    with unlike.store.database.read() as session:
        found = session.scalars(sa.text("SELECT kind FROM runs WHERE session = 'cleo'"))
        assert sorted(found) == ["evaluate", "study", "unlearn"]


def test_a_question_is_asked_of_a_worker_that_has_its_model(unlike: Any) -> None:
    nobody = AskPreflight(spec=unlike.spec("none"), inputs=Inputs(out=""))
    with pytest.raises(UserError, match="small does not have the model 'none'"):
        unlike.engine.ask(nobody)
    for model, worker in (("demo", "small"), ("big", "large")) * 2:
        question = AskPreflight(spec=unlike.spec(model), inputs=Inputs(out=""))
        assert unlike.engine.ask(question, 60)["notes"] == [worker]


@pytest.mark.slow
def test_what_a_worker_announces_anew_is_followed_and_a_dead_ones_runs_wait_for_one_that_can(
    fleet: Any,
) -> None:
    fleet.enable("w1", models={"demo": 1})
    fleet.start("w1")
    late = fleet.engine.submit(fleet.spec("late"))
    fleet.state(fleet.submit(), "done")
    assert fleet.store.run(late).state == "queued"
    assert "w1 does not have the model 'late'" in fleet.store.run(late).hindrance
    fleet.enable("w1", models={"demo": 1, "late": 1})
    fleet.state(late, "done")
    fleet.enable("w1", models={"demo": 1})
    fleet.wait(lambda: len(fleet.store.menus()["w1"].models) == 1)
    fleet.enable("w2", models={"late": 1})
    dying = fleet.start("w2")
    run_id = fleet.engine.submit(fleet.spec("late", steps=150, pause=0.02))
    assert fleet.state(run_id, "running").worker == "w2", "w1 has lost the model"
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    fleet.state(run_id, "interrupted")
    fleet.state(fleet.submit(), "done")
    assert fleet.store.run(run_id).state == "interrupted", "w1 is free and cannot"
    fleet.enable("w3", models={"late": 1})
    fleet.start("w3")
    assert fleet.state(run_id, "done").worker == "w3"
    assert fleet.starts(run_id) == 2
