"""The harness' own path and ours give the same numbers, without a network."""

from pathlib import Path

import lm_eval
import pytest
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.evaluation.language_tasks import Options, evaluate, find_task, score_tasks
from worker.core.findings import Job
from worker.core.models.model import Model

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize("name", ["lethe_word_order", "lethe_relations"])
def test_a_loaded_model_scores_as_the_harness_scores_its_saved_folder(
    model: Model, tmp_path: Path, name: str
) -> None:
    options = Options(limit=20)
    ours = score_tasks(model, [find_task(name)], options, 0)[name]
    model.hf.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    theirs = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(tmp_path), device="cpu", batch_size=1),
        tasks=[find_task(name)],
        limit=20,
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )
    assert ours.mean == pytest.approx(theirs["results"][name]["acc,none"])
    assert ours.n == 20


def test_the_evaluation_names_each_task(model: Model, selection: Selection) -> None:
    found = evaluate(BeforeAfter(model), selection, Options(limit=4), Job(0, Quiet()))
    assert set(found.summary) == {
        "language_tasks.lethe_word_order.accuracy.before",
        "language_tasks.lethe_relations.accuracy.before",
    }


@pytest.mark.slow
def test_an_unknown_task_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'arc_easy'"):
        find_task("arc_eazy")


def test_without_the_harness_a_task_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.core.evaluation.language_tasks.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"not installed here.*\[tasks\]"):
        find_task("lethe_relations")
