"""What a worker announces at start: what it can do, from which forms and checks are made."""

from typing import Any, Literal

from worker.contract.base import Contract
from worker.contract.facts import Fact

MethodKind = Literal["localization", "unlearning", "evaluation", "explore"]


class MethodInfo(Contract):
    """One method or evaluation that a worker has."""

    kind: MethodKind
    name: str
    title: str
    summary: str
    """The first sentence of the method's file."""
    paper: str = ""
    options: dict[str, Any]
    """JSON schema of its Options."""


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
    weights_hash: str = ""
    """Empty until the weights were read once."""
    memory_bytes: dict[str, int] = {}
    """Run kind, or `load` for the weights alone -> estimated bytes."""
    loaded: bool = False
    """Whether the process that computes runs holds its weights in memory."""
    problem: str = ""
    """Why this worker cannot load it; empty when it can."""


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


class FormatInfo(Contract):
    """One way of asking for a fact (`statement`, `question`, `choice`, …)."""

    name: str
    title: str
    trained: bool | None = None
    """Whether the bundled model was trained on it."""


class Announcement(Contract):
    """Everything a worker can do."""

    methods: tuple[MethodInfo, ...]
    models: tuple[ModelInfo, ...]
    fact_sets: tuple[FactSetInfo, ...]
    formats: tuple[FormatInfo, ...] = ()
    device: str
    device_name: str = ""
    memory_bytes: int = 0
    versions: dict[str, str] = {}


class RefusedRow(Contract):
    """A row of an upload that was not understood."""

    row: int
    reason: str
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
    facts: tuple[Fact, ...]
    refused: tuple[RefusedRow, ...] = ()
    notes: tuple[str, ...] = ()


class Preflight(Contract):
    """What is known of a run before it starts."""

    n_facts: int = 0
    n_tokens: int = 0
    seconds: float | None = None
    memory_bytes: int | None = None
    left_out: tuple[RefusedRow, ...] = ()
    """Facts that the run would leave out, with the reason (row = index in the selection)."""
    notes: tuple[str, ...] = ()
