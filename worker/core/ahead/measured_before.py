"""What of a run was measured before on its base, and is kept: an estimate leaves it out.

The caches are asked by the very keys under which the run will ask them, and nothing is computed:
an evaluation goes on until it asks the model for the first time. They are the caches of the process
that would compute the run (`Inputs.kept`); of a model without values they are known where that
process told the hash of its weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, get_args

from worker.contract.errors import UserError
from worker.contract.inputs import Inputs
from worker.contract.progress import Quiet
from worker.contract.selection import Selection, select
from worker.contract.spec import EvaluateSpec, UnlearnSpec
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.kept import is_anything_kept, is_kept, kept_value
from worker.core.closed_form.layers import layers_of
from worker.core.closed_form.memory import kept_moments
from worker.core.editing.check import Objective
from worker.core.editing.edit import spoken_key
from worker.core.editing.parts import count_of
from worker.core.findings import Job, job_of
from worker.core.models.model import Model
from worker.core.models.offloaded import NoValues
from worker.core.models.sizes import Sizes
from worker.core.registry import method
from worker.core.training.auto import is_asked
from worker.core.training.material import retained
from worker.core.training.options import Training
from worker.core.training.rehearsal import rehearse_on
from worker.core.training.settle import settings_key

NONE: frozenset[str] = frozenset()


def kept_of_evaluation(
    name: str, options: Any, spec: EvaluateSpec, inputs: Inputs, model: Model
) -> frozenset[str]:
    """Name what is kept of an evaluation's base: `base`, all of it, or what is measured first."""
    has_two = inputs.deltas or spec.interventions
    if not has_two or inputs.fact_set is None or is_nameless(model) or not is_anything_kept():
        return NONE
    looking = _Looking(model, tuple(map(Path, inputs.deltas)))
    job = job_of(spec.seed, inputs, Quiet())
    try:
        with _unasked(model):
            selection = select(inputs.fact_set, spec.facts.forget, spec.seed)
            method("evaluation", name).function(looking, selection, options, job)
    except (_Asked, NoValues, UserError):  # the run refuses in words
        pass
    return frozenset(looking.found)


def kept_of_edit(options: Any, spec: UnlearnSpec, inputs: Inputs, model: Model) -> frozenset[str]:
    """Name what is kept of an edit's base: `continuations`, `moments` of layers, `settings`."""
    if is_nameless(model) or not is_anything_kept():
        return NONE
    state: State = "after" if inputs.deltas else "before"
    weights = BeforeAfter(model, tuple(map(Path, inputs.deltas))).hash_of(state)
    found = {"continuations"} if is_kept(spoken_key(model, weights)) else set()
    if not inputs.deltas and inputs.fact_set is not None:
        chosen = select(inputs.fact_set, spec.facts.forget, spec.seed)
        job = job_of(spec.seed, inputs, Quiet())
        if hasattr(options, "covariance_tokens"):
            kept = _moments(options, inputs, model, chosen, job)
            found |= {f"moments {layer}" for layer in kept}
        if isinstance(options, Training) and _settings(options, inputs, model, chosen, job):
            found.add("settings")
    return frozenset(found)


def _moments(options: Any, inputs: Inputs, model: Model, chosen: Selection, job: Job) -> list[int]:
    """List the layers whose second moments are kept."""
    try:
        layers = layers_of(model, inputs.mask, options)
    except UserError:  # the run refuses in words
        return []
    facts = retained(chosen, job).trained if options.protect_retain else ()
    n_tokens, own = options.covariance_tokens, options.general_text
    return kept_moments(model, layers, job.seed, n_tokens, facts, own)


def _settings(options: Training, inputs: Inputs, model: Model, chosen: Selection, job: Job) -> bool:
    """Whether the run would search its settings, and they are kept, for either objective."""
    if not is_asked(model, options):
        return False
    n = count_of(model, inputs.mask)
    for objective in get_args(Objective):
        stage = rehearse_on(model, chosen, options, objective, job)
        if stage and is_kept(settings_key(model, stage, n, options, objective)):
            return True
    return False


class _Asked(Exception):
    """An evaluation asks the model for what is not kept, or has nothing more to look for."""


@dataclass(frozen=True)
class _Looking(BeforeAfter):
    """Lets an evaluation go on until it asks the base for what nobody measured before."""

    found: set[str] = field(default_factory=set)

    def measure_against(
        self,
        before: Callable[[Model], object],
        after: object,
        of: tuple[object, ...] | None = None,
    ) -> NoReturn:
        if of is None:
            before(self.base)  # what it asks in parts is asked of `once`
            self.found.add("base")
        elif is_kept(self.key("before", of)):
            self.found.add("base")
        raise _Asked

    def once(self, state: State, of: tuple[object, ...], ask: object) -> Any:
        """Give the value, None where it is another process that keeps it."""
        key = self.key(state, of)
        if not is_kept(key):
            raise _Asked
        self.found.add(str(of[0]))
        return kept_value(key)


@contextmanager
def _unasked(model: Model) -> Iterator[None]:
    """Raise _Asked where the model would be run."""

    def refuse(*args: object) -> NoReturn:
        raise _Asked

    with ExitStack() as stack:
        for module in (model.hf, model.hf.get_input_embeddings()):
            stack.callback(module.register_forward_pre_hook(refuse).remove)
        yield


def is_nameless(model: Model) -> bool:
    """Whether a model is known by its sizes alone, and nobody told the hash of its weights."""
    return isinstance(model, Sizes) and not model.weights_hash
