"""What a run gives back. Small numbers are in here; arrays lie beside it as files."""

from typing import Any, Literal

from pydantic import Field

from worker.contract.base import Contract
from worker.contract.mask import Mask
from worker.contract.pace import Pace

Direction = Literal["higher", "lower", "none"]


class Axis(Contract):
    """One axis of an array; `labels` name its entries where they have names."""

    name: str
    """`fact`, `layer`, `position`, `role`, `head`, `component`, `step`, `format`, …"""
    labels: tuple[str, ...] | None = None


class ArrayInfo(Contract):
    """Where an array lies and what its numbers mean."""

    file: str
    """File name beside result.json (npz); the array's key in it is its name. Empty where nothing
    was written, and `values` holds the numbers."""
    axes: tuple[Axis, ...]
    unit: str
    title: str = ""
    signed: bool = False
    """Signed values are drawn on a diverging scale that is symmetric about 0."""
    gaps: str = ""
    """What NaN stands for in words; empty where every value was computed."""
    values: list[Any] | None = Field(None, exclude_if=lambda value: value is None)
    """The numbers, nested by axis, of an answer that no file was written for; None for a gap."""


class Table(Contract):
    """A small table: rows of cells under named columns, with units in the columns' titles."""

    title: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class LeftOut(Contract):
    """A fact that a run could not use, and why."""

    id: str
    reason: str


class TracedFact(Contract):
    """One fact of a localization: what was traced and what the model said."""

    id: str
    label: str
    tokens: tuple[str, ...]
    """The prompt's tokens, in the order of the `position` axis of `grid.*` arrays."""
    subject: tuple[int, int]
    """First and one past the last position of the subject."""
    answer: str
    foil: str = ""
    clean: float
    """The metric on the clean prompt."""
    corrupted: float | None = None
    """The metric on the corrupted prompt; None for a method that corrupts none."""


class Attribution(Contract):
    """Scores of a localization. Its arrays, where they apply:

    `grid.<site>` (fact, layer, position): NaN past a fact's last position. `roles.<site>`
    (layer, role): mean over facts by token role (first, middle, last subject token, after, last).
    `components` (component): mean over facts; the labels are components' names.
    `components.facts` (fact, component). Sites: `resid`, `mlp`, `attn`.
    Other arrays (a probe curve, edges) have names and axes of their own.
    """

    method: str
    metric: str
    """`probability`, `logit_diff`, …"""
    direction: str
    """In words: what a positive score means, and on which run gradients were taken."""
    unit: str
    facts: tuple[TracedFact, ...] = ()
    suggested: Mask | None = None
    """The components that the method itself chooses, where it has a rule."""
    no_choice: str = ""
    """Why the method's own rule chose nothing, where it did; no mask is made then."""
    operations: int | None = None
    """Counted floating-point operations."""


class ChangedTensor(Contract):
    """One tensor of a receipt."""

    name: str
    n_changed: int
    n_parameters: int
    norm: float
    """Frobenius norm of the change."""
    relative_norm: float
    """The change's norm over the tensor's norm before."""


class Receipt(Contract):
    """The proof of what an edit changed."""

    tensors: tuple[ChangedTensor, ...]
    n_parameters: int
    """Parameters that the mask lets change."""
    n_changed: int
    hash_before: str
    hash_after: str
    outside_unchanged: bool
    """Every parameter outside the mask is bit-identical to the base's."""
    n_outside_checked: int
    base_restored: bool
    """After the run, the loaded base has the hash it had before."""


class Estimate(Contract):
    """A mean with its 95 % bootstrap interval over `n` facts, or a study's seeds."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def bounds(self) -> tuple[float, float] | tuple[None, None]:
        """The interval's ends as they are shown: of one fact there is no interval."""
        return (self.low, self.high) if self.n > 1 else (None, None)


class Comparison(Contract):
    """One measured quantity before and after the edits; `after` is None without edits."""

    name: str
    """Dotted, the same as in `Result.summary` without `.before`/`.after`."""
    title: str
    better: Direction
    """Which direction is better where the quantity stands (an edit wants forget facts to fall)."""
    before: Estimate | None = None
    after: Estimate | None = None


class Evaluation(Contract):
    """What one evaluation found. `facts` has one row per fact and format, before and after."""

    name: str
    title: str
    caption: str
    aggregates: tuple[Comparison, ...]
    facts: Table | None = None
    tables: dict[str, Table] = {}


class Provenance(Contract):
    """What made a result."""

    model: str
    edits: tuple[str, ...] = ()
    revision: str | None = None
    weights_hash: str
    model_note: str = ""
    """What the model's card says of how its weights were made: dequantized, or of an adapter."""
    fact_set: str | None = None
    fact_set_hash: str | None = None
    forget: tuple[str, ...] | None = None
    """Ids of the facts that were to be forgotten, where the model's knowledge chose among them."""
    shot: bool = False
    """Whether every prompt stood after another fact of its relation."""
    interventions: tuple[str, ...] = Field((), exclude_if=lambda value: not value)
    """What was switched on inside the model, in words."""
    seed: int
    device: str
    dtype: str
    load_in: str | None = None
    """"8bit" where the base was rounded while it was loaded."""
    placement: dict[str, int] = {}
    """Device -> number of blocks kept there; empty where `device` held the whole model."""
    versions: dict[str, str]


class Result(Contract):
    """What `lethe run` writes as result.json, and what the API gives at /api/runs/{id}/result."""

    kind: str
    spec: dict[str, Any]
    """The spec with its defaults filled in."""
    provenance: Provenance
    seconds: float
    paces: tuple[Pace, ...] = ()
    """How long its parts were told to take, and took; empty where that was not known."""
    peak_memory_bytes: int
    """The most that was taken during the run: of a GPU's memory by torch, on a CPU by the process
    that computed it, with the models that it held."""
    arrays: dict[str, ArrayInfo] = {}
    summary: dict[str, float | int | bool | str | None] = {}
    """Flat named scalars, for example `probes.statement.forget.edit_probability.before`."""
    caption: str = ""
    """What was found, in words."""
    left_out: tuple[LeftOut, ...] = ()
    attribution: Attribution | None = None
    mask: Mask | None = None
    receipt: Receipt | None = None
    evaluations: dict[str, Evaluation] = {}
    tables: dict[str, Table] = {}
    files: dict[str, str] = {}
    """Other files beside the result, by what they are: `delta` -> `delta.safetensors`."""
    view: dict[str, Any] = Field(default_factory=dict)
    """What an explore view shows: small JSON of that view's own."""
