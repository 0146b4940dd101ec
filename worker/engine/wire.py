"""What a supervisor and its compute process say to each other: one JSON object per line.

NaN and infinities, which rows of floats may hold, arrive as null: pydantic writes them so. The
facts of a job are a text within the line: runs and questions that follow each other name the same
thousands, and each side writes or reads them once.
"""

import json
from functools import lru_cache
from typing import Annotated, Any, Literal, Union

from pydantic import Discriminator, TypeAdapter

from worker.contract.base import Contract
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs, KeptElsewhere, Question
from worker.contract.menu import Announcement
from worker.contract.progress import Event
from worker.contract.result import Result
from worker.contract.spec import Spec
from worker.engine.recent import Recent

FACTS = "facts"
"""Key of a line under which a job's facts stand as text."""
KEPT = 4
"""Sets whose facts each side keeps written, and read."""


class Lease(Contract):
    """Live until this time of the machine's monotonic clock; then the kernel ends the process."""

    say: Literal["lease"] = "lease"
    until: float


class Start(Contract):
    """Compute a run. `job` names this attempt in every answer."""

    say: Literal["start"] = "start"
    job: str
    spec: Spec
    inputs: Inputs


class Ask(Contract):
    """Answer a question."""

    say: Literal["ask"] = "ask"
    job: str
    question: Question


class Cancel(Contract):
    """Stop the job at its next report; one that has not begun is left out."""

    say: Literal["cancel"] = "cancel"
    job: str


class Announced(Contract):
    """The first thing that a compute process says."""

    say: Literal["announced"] = "announced"
    announcement: Announcement
    fact_sets: tuple[FactSet, ...]
    """The bundled sets, whole."""


class Began(Contract):
    """A job is computed from now on; until then it waited behind others."""

    say: Literal["began"] = "began"
    job: str


class Told(Contract):
    """What happened to a job since the last time, in order."""

    say: Literal["told"] = "told"
    job: str
    events: tuple[Event, ...]


class Ended(Contract):
    """A run has its result; its files lie in the folder that its inputs named."""

    say: Literal["ended"] = "ended"
    job: str
    result: Result
    kept: KeptElsewhere = KeptElsewhere()
    """What the process keeps of its bases from now on."""


class Answered(Contract):
    """The answer to a question, as its contract's JSON."""

    say: Literal["answered"] = "answered"
    job: str
    answer: dict[str, Any]


class Failed(Contract):
    """A job ended with an exception."""

    say: Literal["failed"] = "failed"
    job: str
    kind: Literal["user", "missing", "cancelled", "diverged", "oom", "disk", "bug"]
    message: str
    problems: tuple[tuple[str, str], ...] = ()
    """Of a UserError: (field, sentence)."""
    traceback: tuple[str, ...] = ()


ToCompute = Annotated[Union[Lease, Start, Ask, Cancel], Discriminator("say")]
FromCompute = Annotated[
    Union[Announced, Began, Told, Ended, Answered, Failed], Discriminator("say")
]
_FACTS = TypeAdapter(tuple[Fact, ...])
_TO: TypeAdapter[ToCompute] = TypeAdapter(ToCompute)
_FROM: TypeAdapter[FromCompute] = TypeAdapter(FromCompute)


def encode(message: Contract) -> bytes:
    """Write a message as one line."""
    fact_set = _fact_set_of(message)
    if fact_set is None:
        return json.dumps(message.model_dump(mode="json")).encode() + b"\n"
    inputs: dict[str, Any] = {"inputs": {"fact_set": {"facts"}}}
    around = inputs if isinstance(message, Start) else {"question": inputs}
    data = message.model_dump(mode="json", exclude=around)
    return json.dumps(data | {FACTS: _written(fact_set.facts)}).encode() + b"\n"


def decode_to_compute(line: bytes) -> ToCompute:
    data = json.loads(line)
    if text := data.pop(FACTS, ""):
        data.get("question", data)["inputs"]["fact_set"]["facts"] = _read(text)
    return _TO.validate_python(data)


def decode_from_compute(line: bytes) -> FromCompute:
    return _FROM.validate_python(json.loads(line))


def _fact_set_of(message: Contract) -> FactSet | None:
    job = message.question if isinstance(message, Ask) else message
    inputs = getattr(job, "inputs", None)
    return inputs.fact_set if isinstance(inputs, Inputs) else None


def _write(facts: tuple[Fact, ...]) -> str:
    return _FACTS.dump_json(facts).decode()


_written = Recent(KEPT, _write)


@lru_cache(KEPT)
def _read(text: str) -> tuple[Fact, ...]:
    return _FACTS.validate_json(text)
