"""Scores general ability with tasks of the Language Model Evaluation Harness, by name.

1. Find each task: one of the two bundled sets, which need no network, or any that the harness
   knows (arc_easy, boolq, winogrande, mmlu, …), whose data the harness fetches itself.
2. Let the harness score the loaded model, before and after the edit, through its own Hugging Face
   wrapper.
3. Report each task's accuracy with a 95 % interval from the harness' standard error.

Source: the library `lm-eval`. Limits: tasks that run generated code are refused; a task whose data
is not on this machine needs a network.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.result import Comparison, Estimate, Evaluation, Table
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.findings import Findings, Job
from worker.core.models.model import Model

TITLE = "Language tasks"
PAPER = "Gao et al. 2024, A framework for few-shot language model evaluation"
FOLDER = Path(__file__).with_name("_tasks")
Z95 = 1.96
METRICS = ("acc_norm,none", "acc,none", "exact_match,none", "exact_match,strict-match", "f1,none")


class Options(BaseOptions):
    """Options of the language tasks."""

    tasks: tuple[str, ...] = Field(
        ("lethe_word_order", "lethe_relations"),
        min_length=1,
        description="Names of tasks: lethe_word_order and lethe_relations are bundled; any other "
        "name is the harness' own, such as arc_easy, boolq, winogrande or mmlu.",
    )
    limit: int = Field(100, ge=1, le=100_000, description="Questions per task, at most.")
    shots: int = Field(0, ge=0, le=32, description="Examples before each question.")
    batch_size: int = Field(32, ge=1, le=4096, description="Requests per forward pass.")


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Score the tasks before and after; the forget set plays no part."""
    tasks = [find_task(name) for name in options.tasks]
    n_states = len(models.names)

    def measure(model: Model, state: str) -> dict[str, Estimate]:
        share = models.names.index(state) / n_states
        job.report.progress(share, f"{', '.join(options.tasks)} {state}")
        return score_tasks(model, tasks, options, job.seed)

    asked = (options.tasks, options.limit, options.shots, job.seed)
    found = models.measure(measure, of=asked)
    names = list(found["before"])
    aggregates = tuple(
        Comparison(
            name=f"language_tasks.{name}.accuracy",
            title=f"{name}, accuracy",
            better="higher",
            before=found["before"][name],
            after=found["after"][name] if "after" in found else None,
        )
        for name in names
    )
    summary: dict[str, float | int | bool | str | None] = {
        f"language_tasks.{name}.accuracy.{state}": scores[name].mean
        for state, scores in found.items()
        for name in names
    }
    rows = tuple((name, *(found[state][name].mean for state in found)) for name in names)
    evaluation = Evaluation(
        name="language_tasks",
        title=TITLE,
        caption="Accuracy on tasks that have nothing to do with the edit; a fall is a side effect.",
        aggregates=aggregates,
        tables={"tasks": Table(title="Accuracy", columns=("task", *found), rows=rows)},
    )
    return Findings(summary=summary, evaluation=evaluation)


def require_harness() -> None:
    """Raise UserError where lm-evaluation-harness is not installed."""
    if find_spec("lm_eval") is None:
        raise UserError(
            "Language tasks are asked through lm-evaluation-harness, which is not installed here. "
            "Install it with `.venv/bin/pip install -e '.[tasks]'` (`make test` does) and start "
            "the worker again, or leave this evaluation out.",
            field="options.language_tasks.tasks",
        )


def find_task(name: str) -> str | dict[str, Any]:
    """Give a bundled task's configuration, or the name of one that the harness has."""
    require_harness()
    bundled = {path.stem: path for path in FOLDER.glob("*.yaml")}
    if name in bundled:
        config: dict[str, Any] = yaml.safe_load(bundled[name].read_text(encoding="utf-8"))
        files = config["dataset_kwargs"]["data_files"]
        config["dataset_kwargs"]["data_files"] = {k: str(FOLDER / v) for k, v in files.items()}
        return config
    known = _task_manager(True).all_tasks
    if name not in known:
        raise unknown("task", name, [*bundled, *known], field="options.language_tasks.tasks")
    return name


@lru_cache
def _task_manager(defaults: bool) -> Any:
    require_harness()
    # Imported here: the harness takes seconds to load, and half a minute to list its own tasks.
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=defaults)


def score_tasks(
    model: Model, tasks: list[str | dict[str, Any]], options: Options, seed: int
) -> dict[str, Estimate]:
    """Run the harness on a loaded model; return each task's (or group's) accuracy."""
    require_harness()
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    wrapped = HFLM(
        pretrained=model.hf,
        tokenizer=model.tokenizer,
        batch_size=options.batch_size,
        device=str(model.device),
        max_length=model.max_positions,
    )
    try:
        results = lm_eval.simple_evaluate(
            model=wrapped,
            tasks=tasks,
            num_fewshot=options.shots,
            limit=options.limit,
            bootstrap_iters=0,
            log_samples=False,
            random_seed=seed,
            task_manager=_task_manager(any(isinstance(task, str) for task in tasks)),
        )
    except (OSError, ConnectionError, ValueError) as error:
        names = ", ".join(t if isinstance(t, str) else str(t["task"]) for t in tasks)
        raise UserError(
            f"The tasks {names} could not be run: {str(error).splitlines()[0][:300]}. Their data "
            f"may need a network; the bundled lethe_word_order and lethe_relations do not.",
            field="options.language_tasks.tasks",
        ) from error
    assert results is not None
    samples = results["n-samples"]
    return {
        name: _estimate(scores, samples.get(name, {}).get("effective", 0))
        for name, scores in results["results"].items()
        if _metric(scores)
    }


def _metric(scores: dict[str, Any]) -> str | None:
    return next((m for m in METRICS if isinstance(scores.get(m), (int, float))), None)


def _estimate(scores: dict[str, Any], n: int) -> Estimate:
    """The mean and its normal 95 % interval; with a binomial error where the harness gives none."""
    metric = _metric(scores)
    assert metric is not None
    mean = float(scores[metric])
    name, _, rest = metric.partition(",")
    error = scores.get(f"{name}_stderr,{rest}")
    if not isinstance(error, (int, float)):
        error = (mean * (1 - mean) / n) ** 0.5 if n else 0.0
    low, high = max(0.0, mean - Z95 * error), min(1.0, mean + Z95 * error)
    return Estimate(mean=mean, low=low, high=high, n=n)
