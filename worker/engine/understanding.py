"""What a question that reached the lane stands for: its spec resolved with this host's paths."""

import re

from pydantic import TypeAdapter

from worker.contract.around import around
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.inputs import (
    AskFactTokens,
    AskPreflight,
    AskReadFacts,
    Inputs,
    KeptElsewhere,
    Question,
)
from worker.contract.menu import Announcement
from worker.contract.spec import EvaluateSpec, Spec
from worker.engine.recent import Recent
from worker.engine.resolve import paces_of, resolve
from worker.engine.wire import KEPT
from worker.store.store import Store

_QUESTION: TypeAdapter[Question] = TypeAdapter(Question)
_UPLOAD = re.compile(r"uploads(/[\w-]+){1,2}")
OF_A_FACT = (
    "id", "subject", "prompt", "target", "edit_target", "group", "relation", "join",
)  # fmt: skip
"""What is asked of a fact before its run, without the prompts around it."""
WHOLE = 2_000
"""Facts of a set, at most, that are sent with what is around them to look for what is kept."""


def understand(
    data: object,
    store: Store,
    menu: Announcement | None,
    kept: KeptElsewhere | None = None,
) -> Question:
    """Read a question and resolve its spec here; raises UserError, pydantic's for a wrong shape.

    `kept` is what the process that would compute a run keeps, where it is not the one asked.
    """
    question = _QUESTION.validate_python(data)
    if isinstance(question, AskReadFacts):
        # Who knows the token may have uploads read, and no other of this worker's files.
        if not _UPLOAD.fullmatch(question.path):
            raise UserError(
                f"{question.path[:80]!r} is no upload's name; expected one as uploads/ID/file.",
                field="path",
            )
        path = str(store.artifacts.local(question.path))
        return question.model_copy(update={"path": path})
    assert menu is not None, "a starting worker refuses questions"
    if isinstance(question, AskFactTokens):
        # Of 22,000 CounterFact records the prompts around each fact are nine tenths: writing
        # and reading them would take as long as the cutting.
        fact_set = store.bare_fact_set(question.spec.facts.set, question.first)
        inputs = Inputs(out="", fact_set=fact_set)
    else:
        inputs = resolve(question.spec, store, menu, "")
        paces = paces_of(question.spec, store, menu)
        inputs = inputs.model_copy(update={"paces": paces})
        if isinstance(question, AskPreflight):
            inputs = inputs.model_copy(update={"kept": kept})
            if question.brief and not _asks_what_is_kept(question.spec, inputs):
                inputs = _bare(inputs)
    return question.model_copy(update={"inputs": inputs})


def _asks_what_is_kept(spec: Spec, inputs: Inputs) -> bool:
    """Whether an evaluation's base may have been measured, which its facts tell with what is around
    them; of many thousands that is not looked for."""
    kept, facts = inputs.kept, inputs.fact_set
    measures_two = isinstance(spec, EvaluateSpec) and (inputs.deltas or spec.interventions)
    if kept is None or facts is None or not measures_two:
        return False
    return bool(kept.keys) and len(facts.facts) <= WHOLE


def _bare(inputs: Inputs) -> Inputs:
    """Leave out what is around facts, of which a brief look reads nothing: it is nine tenths."""
    if inputs.fact_set is None:
        return inputs
    fact_set = inputs.fact_set.model_copy(update={"facts": _bared(inputs.fact_set.facts)})
    brought = _brought(inputs.fact_set.facts)
    return inputs.model_copy(update={"fact_set": fact_set, "brought": brought})


def _bare_facts(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    return tuple(
        Fact.model_construct(**{name: getattr(fact, name) for name in OF_A_FACT}) for fact in facts
    )


_bared = Recent(KEPT, _bare_facts)
_brought = Recent(KEPT, around)
