"""What a spec's names stand for, resolved before compute sees them; and quick questions."""

from typing import Annotated, Literal, Union

from pydantic import Discriminator, Field

from worker.contract.base import Contract
from worker.contract.facts import Fact, FactSet
from worker.contract.known import Asked, Recalled
from worker.contract.mask import Mask
from worker.contract.result import Result
from worker.contract.spec import EvaluateSpec, ExploreSpec, Spec


class StackedEdit(Contract):
    """An edit with all that lies under it."""

    deltas: tuple[str, ...]
    """Local paths of the deltas under it, in order, and its own last."""
    facts: tuple[Fact, ...] = ()
    """Facts that it changed."""


class KeptElsewhere(Contract):
    """What the process that computes runs has measured of its bases and keeps, as it says at a
    run's end, so that another one that looks ahead tells what will be found again."""

    keys: tuple[str, ...] = ()
    """Short names of the measurements."""
    weights: dict[str, str] = {}
    """Base that it holds -> hash of its weights."""


class Inputs(Contract):
    """Everything a run needs besides its spec. Compute reads nothing else."""

    out: str
    """Local folder for the result's arrays and files."""
    fact_set: FactSet | None = None
    mask: Mask | None = None
    scores: dict[str, float] = {}
    """Component scores of the localization that the mask was made from, where it was."""
    deltas: tuple[str, ...] = ()
    """Local paths of the edits' delta files, in the order in which they are applied."""
    results: tuple[Result, ...] = ()
    """What an export's model card tells: the edits' own results, then evaluations of them."""
    texts: dict[str, str] = {}
    """Stored text's name -> its local path, for the texts that the options name."""
    edited: tuple[tuple[Fact, ...], ...] = ()
    """Facts that each edit below changed, in the stack's order: an edit on top must neither
    restore nor disturb them."""
    stacked: dict[str, StackedEdit] = {}
    """Edit that the options name (a run's id) -> what is needed to put it on another stack."""
    recalled: dict[Asked, dict[str, Recalled]] = {}
    """Way of asking -> fact -> how the base answers it, where that was measured before."""
    paces: dict[str, float] = {}
    """Work's name -> what this machine's finished runs took, over what they had been told."""
    brought: dict[str, float] = {}
    """What a fact brings beside its prompt, on average, where `fact_set` comes without it; see
    `contract.around`."""
    kept: KeptElsewhere | None = None
    """What will be found again where the run is computed; None where that is this process, which
    knows by itself."""
    batch_scale: float = Field(1.0, gt=0, le=1)
    """Batches are this fraction of their usual size: halved after each out-of-memory error."""


class FromReader(Contract):
    """A question of somebody who may meanwhile ask something else."""

    reader: str = Field("", max_length=200)
    """Who waits for the answer, as one figure in one tab of a browser. Its newer question ends an
    older one, which nobody looks at any more. Empty ends none."""


class AskPreflight(FromReader):
    """Could this run start, on which facts, how long would it take? Answered by a Preflight."""

    ask: Literal["preflight"] = "preflight"
    spec: Spec
    inputs: Inputs
    brief: bool = False
    """Neither load nor run the model: what it does not know is not said."""


class AskReadFacts(FromReader):
    """What is in this uploaded file? Answered by a ReadFacts."""

    ask: Literal["read_facts"] = "read_facts"
    path: str
    """The upload's name, as uploads/ID/file; the worker's own process is given its local path."""
    filename: str
    mapping: dict[str, str] = {}
    """Field of a fact -> column of the file; empty finds the columns by name."""


class AskFactTokens(FromReader):
    """How does the spec's model cut the facts of the spec's set? Answered by a FactTokens."""

    ask: Literal["fact_tokens"] = "fact_tokens"
    spec: EvaluateSpec
    inputs: Inputs
    first: int = Field(0, ge=0)
    """Look at this many facts of the set only; 0 looks at all."""


class AskExplore(FromReader):
    """One explore view. Answered by a Result with `view`, which holds its arrays itself."""

    ask: Literal["explore"] = "explore"
    spec: ExploreSpec
    inputs: Inputs


Question = Annotated[
    Union[AskPreflight, AskReadFacts, AskFactTokens, AskExplore], Discriminator("ask")
]
