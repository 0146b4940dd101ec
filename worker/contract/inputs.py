"""What a spec's names stand for, resolved before compute sees them; and quick questions."""

from typing import Annotated, Literal, Union

from pydantic import Discriminator, Field

from worker.contract.base import Contract
from worker.contract.facts import FactSet
from worker.contract.mask import Mask
from worker.contract.spec import Spec


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
    batch_scale: float = Field(1.0, gt=0, le=1)
    """Batches are this fraction of their usual size: halved after each out-of-memory error."""


class AskPreflight(Contract):
    """Could this run start, on which facts, how long would it take? Answered by a Preflight."""

    ask: Literal["preflight"] = "preflight"
    spec: Spec
    inputs: Inputs


class AskReadFacts(Contract):
    """What is in this uploaded file? Answered by a ReadFacts."""

    ask: Literal["read_facts"] = "read_facts"
    path: str
    """Local path of the upload."""
    filename: str
    mapping: dict[str, str] = {}
    """Field of a fact -> column of the file; empty finds the columns by name."""


class AskExplore(Contract):
    """One explore view. Answered by a Result with `view`."""

    ask: Literal["explore"] = "explore"
    spec: Spec
    inputs: Inputs


Question = Annotated[Union[AskPreflight, AskReadFacts, AskExplore], Discriminator("ask")]
