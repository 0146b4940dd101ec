"""What a worker announces at start: what it can do, from which forms and checks are made."""

from typing import Any, Literal

from pydantic import TypeAdapter, field_serializer, field_validator

from worker.contract.base import Contract
from worker.contract.facts import Fact
from worker.contract.projects import Visibility
from worker.contract.tokens import TokenExample

MethodKind = Literal["localization", "unlearning", "evaluation", "explore"]

Need = Literal["mlp_matrix", "plain_mlp_write"]
"""What a method may need of an architecture: one output matrix in every MLP; what the MLP returns
added to the residual as it is."""


class MethodInfo(Contract):
    """One method or evaluation that a worker has."""

    kind: MethodKind
    name: str
    title: str
    summary: str
    """The first sentence of the method's file."""
    limits: str = ""
    """What cannot be concluded from what it finds, in the words of the method's file."""
    paper: str = ""
    formula: str = ""
    """What it computes, on one line."""
    cost: str = ""
    """What it takes, in runs of the model."""
    options: dict[str, Any]
    """JSON schema of its Options."""
    needs: tuple[Need, ...] = ()
    """What a model's architecture must have for it."""
    suggests: bool = False
    """Of a localization: whether it chooses components by a rule of its own."""


class Placement(Contract):
    """Where a model's blocks are kept when they are not all on the device that computes."""

    main: str
    """The device that computes and holds the embeddings, the final norm and the unembedding."""
    blocks: tuple[str, ...]
    """The device of every block: `cuda:0`, `cpu`, or `disk`."""
    times_slower: float = 1.0
    """At most about so many times slower than with all blocks on the device that computes."""

    @property
    def counts(self) -> dict[str, int]:
        """Device -> the number of its blocks, in the order of the blocks."""
        return {device: self.blocks.count(device) for device in dict.fromkeys(self.blocks)}

    @property
    def words(self) -> str:
        """One sentence for a reader."""
        own = self.counts.get(self.main, 0)
        parts = [f"{own} of {len(self.blocks)} blocks are held on {self.main}"]
        for device, count in self.counts.items():
            if device != self.main:
                where = {"cpu": "in the CPU's memory (offload)", "disk": "on disk (offload)"}
                parts.append(f"{count} {where.get(device, 'on ' + device)}")
        listed = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
        return (
            f"{listed}: up to about {self.times_slower:.2g} times slower than all on {self.main}."
        )


class ModelInfo(Contract):
    """One model that a worker can load."""

    id: str
    title: str
    path: str = ""
    architecture: str = ""
    n_layers: int = 0
    n_heads: int = 0
    n_kv_heads: int = 0
    d_model: int = 0
    d_vocab: int = 0
    n_parameters: int = 0
    component_parameters: dict[str, int] = {}
    """Parameters of every component: `blocks.0.mlp`, `blocks.0.attn`, `blocks.0.attn.head.0`, …"""
    dtype: str = ""
    tokenizer: str = ""
    licence: str = ""
    note: str = ""
    """What its card says that a reader must know of its weights, for example how they were made."""
    weights_hash: str = ""
    """Empty until the weights were read once."""
    memory_bytes: dict[str, int] = {}
    """Run kind, or `load` for the weights alone -> estimated bytes."""
    memory_bytes_8bit: dict[str, int] = {}
    """The same for a base loaded in 8 bits: `load` and `localize`."""
    placement: Placement | None = None
    """Where its blocks would be, as memory is free now; None where one device holds them all."""
    loaded: bool = False
    """Whether the process that computes runs holds its weights in memory."""
    problem: str = ""
    """Why this worker cannot load it; empty when it can."""
    lacks: dict[Need, str] = {}
    """What its architecture lacks of what methods need -> why, as the end of a sentence."""
    notes: tuple[str, ...] = ()
    """What to know of it: sentences on what was taken otherwise than its files say."""


class FactSetInfo(Contract):
    """One fact set, bundled or brought."""

    name: str
    title: str
    description: str = ""
    n_facts: int
    groups: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    hash: str
    bundled: bool = False
    owner: str = ""
    """Who brought it, on a shared server."""
    project: str = ""
    visibility: Visibility = "server"


class FormatInfo(Contract):
    """One way of asking for a fact (`statement`, `question`, `choice`, …)."""

    name: str
    title: str
    trained: bool | None = None
    """Whether the bundled model was trained on it."""


class RecipeInfo(Contract):
    """One model that a worker can fetch and make when it is asked to."""

    name: str
    """Of the recipe, and of the model that it makes."""
    title: str
    summary: str
    licence: str
    made_by: str
    note: str
    download_bytes: int
    disk_bytes: int


class FileFormat(Contract):
    """One form in which facts can be brought: a kind of file, or a benchmark's layout in one."""

    title: str
    summary: str
    """The first sentence of the reader's file."""
    endings: tuple[str, ...] = ()
    """Of a file's name; none of a layout, which is found by its records' keys."""


class Announcement(Contract):
    """Everything a worker can do."""

    methods: tuple[MethodInfo, ...]
    models: tuple[ModelInfo, ...]
    fact_sets: tuple[FactSetInfo, ...]
    formats: tuple[FormatInfo, ...] = ()
    recipes: tuple[RecipeInfo, ...] = ()
    file_formats: tuple[FileFormat, ...] = ()
    device: str
    device_name: str = ""
    memory_bytes: int = 0
    versions: dict[str, str] = {}
    of_class: str = ""
    """The class to whose guests this is narrowed, by its title."""


class RefusedRow(Contract):
    """A row of an upload that was not understood."""

    row: int
    """Its line in the file, or its number, as `ReadFacts.counted` says."""
    reason: str
    text: str = ""


class ToldRow(Contract):
    """A row that was understood, with what a reader should know of how."""

    row: int
    note: str
    text: str = ""


class ReadFacts(Contract):
    """What was understood of an uploaded file, row by row."""

    format: str
    columns: tuple[str, ...] = ()
    mapping: dict[str, str] = {}
    """Field of a fact -> column of the file."""
    encoding: str = ""
    delimiter: str = ""
    quote: str = ""
    """The character around quoted cells, where it is not the usual one."""
    counted: Literal["line", "record", "row"] = "row"
    """What `lines` and the refused rows' numbers count in the file."""
    lines: tuple[int, ...] = ()
    """Of each fact, where in the file it stands."""
    facts: tuple[Fact, ...]
    """As JSON they are one text, which the processes between reader and asker pass on as it is:
    taking 22,000 facts apart in each would take longer than reading the file."""
    refused: tuple[RefusedRow, ...] = ()
    told: tuple[ToldRow, ...] = ()
    """Where a subject, a blank or another name's spelling was understood in one of several ways."""
    notes: tuple[str, ...] = ()

    @field_serializer("facts", when_used="json")
    def _to_text(self, facts: tuple[Fact, ...]) -> str:
        return _FACTS.dump_json(facts, exclude_defaults=True).decode()

    @field_validator("facts", mode="before")
    @classmethod
    def _from_text(cls, facts: Any) -> Any:
        return _FACTS.validate_json(facts) if isinstance(facts, str) else facts


_FACTS = TypeAdapter(tuple[Fact, ...])


class Preflight(Contract):
    """What is known of a run before it starts."""

    n_facts: int = 0
    n_tokens: int = 0
    seconds: float | None = None
    memory_bytes: int | None = None
    placement: Placement | None = None
    """Where the model's blocks are; None where one device holds them all."""
    left_out: tuple[RefusedRow, ...] = ()
    """Facts that the run would leave out, with the reason (row = index in the selection)."""
    notes: tuple[str, ...] = ()
    seams: tuple[TokenExample, ...] = ()
    """A fact for every way in which answers are joined to prompts, with how many facts have it."""
    brief: bool = False
    """Whether the model itself was not asked, so that what it does not know is not said yet."""
