"""Views of a prompt under interventions: every forward inside a view is changed, generation too.

Answers that nobody names are those that the model proposes without interventions, so that a view
under them can be set beside the one without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from worker.contract.interventions import Intervention, under
from worker.core.explore._options import SubjectOptions
from worker.core.explore._subject import CLEAN, CORRUPTED, Subject, look
from worker.core.findings import Findings, Job
from worker.core.models.changes import Reference, make_changes, watching
from worker.core.models.interventions import intervened
from worker.core.models.model import Model
from worker.core.models.sites import as_batch

Own = TypeVar("Own", bound=SubjectOptions)
View = Callable[[Model, Own, Job], Findings]


def intervening(explore: View[Own]) -> View[Own]:
    """Make a view that is computed under its options' interventions, and says so."""

    @wraps(explore)
    def under_interventions(model: Model, options: Own, job: Job) -> Findings:
        if not options.interventions:
            found = explore(model, options, job)
            found.view["interventions"] = []
            return found
        job.report.progress(0.0, "running without interventions")
        subject = look(model, options, job.seed)
        changes = make_changes(
            model,
            options.interventions,
            _reference(subject),
            job.seed,
            "options.interventions",
        )
        with intervened(model, changes):
            found = explore(model, _answered(options, subject), job)
        for name, answer in subject.answers.items():
            found.view[name] = answer.as_json(model)
        found.view["interventions"] = [one.words for one in options.interventions]
        found.caption = f"{found.caption} {under(options.interventions)}".strip()
        return found

    return under_interventions


def _answered(options: Own, subject: Subject) -> Own:
    ids = {f"{name}_ids": answer.ids for name, answer in subject.answers.items()}
    return options.model_copy(update=ids)


def _reference(subject: Subject) -> Reference:
    def tokens(interventions: Sequence[Intervention]) -> list[Float[Tensor, "token width"]]:
        return [seen[subject.base.mask] for seen in _seen(subject, interventions)]

    def patch(interventions: Sequence[Intervention]) -> list[Float[Tensor, "pos width"]]:
        return [seen[CORRUPTED, -subject.n_positions :] for seen in _seen(subject, interventions)]

    lengths = [len(prompt.ids) for prompt in subject.prompts]
    pair = len(lengths) == 2 and len(set(lengths)) == 1
    return Reference(tokens, patch if pair else None, lengths[CLEAN])


def _seen(
    subject: Subject, interventions: Sequence[Intervention]
) -> list[Float[Tensor, "row pos width"]]:
    rows = range(len(subject.prompts))
    with watching(subject.model, interventions) as seen:
        subject.run([(which, ()) for which in rows])
    shape = (len(rows), subject.base.n_positions)
    return [as_batch(kept[0], shape) for kept in seen]
