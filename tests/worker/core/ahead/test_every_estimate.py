"""Every kind of run on a tiny model: what its formula counts beside what torch counts of it, and
the progress that it tells.

A new method or evaluation is held against its formula as it comes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
import transformers as hf
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop

from tests.worker.core.measured import forget_all
from tests.worker.core.models.families import make_tokenizer
from tests.worker.core.test_every_method import EVERY, FACTS, KINDS, MASK, SIZES, spec_of, teach
from worker.contract.inputs import Inputs, StackedEdit
from worker.contract.progress import Quiet
from worker.contract.spec import parse_spec
from worker.core.ahead.asked_first import asked_first
from worker.core.ahead.estimate import FORMULAS, estimate_parts
from worker.core.asking import continuations
from worker.core.models.cache import ModelCache
from worker.core.models.model import Model
from worker.core.registry import methods
from worker.run import run

WITHIN = 1.25
WIDER = {
    # Of few layers, half a block more or less along a path is a quarter of the paths' work.
    "fact_lookup": 1.35,
    # Facts of other kinds are counted as long as the set's own, and here they are much longer.
    "verdict": 1.5,
}
CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
CPU_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


class Counter(TorchDispatchMode):
    """Counts the operations of matrix products as torch's own counter does, and of a CPU's fused
    attention, which that one leaves out; many times as fast."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        called = func._overloadpacket
        if called is CPU:
            self.operations += sdpa_flop(*(one.shape for one in args[:3]))
        elif called is CPU_BACKWARD:
            self.operations += sdpa_backward_flop(*(one.shape for one in args[:4]))
        elif called in flop_registry:
            self.operations += flop_registry[called](*args, **(kwargs or {}), out_val=out)
        return out


class Fractions(Quiet):
    """A report that remembers how far a run said it was."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[float] = []

    def progress(self, fraction: float, message: str) -> None:
        self.told.append(fraction)

    def expect(self, seconds: float) -> None:
        """Nothing is done yet, as who computes tells with what a run is expected to take."""
        self.told.append(0.0)


@dataclass
class Counted:
    """A run's operations as they were told, and as they were counted; and its progress."""

    told: float
    counted: float
    fractions: list[float]
    is_spared: bool
    """Whether something was told to be kept."""

    @property
    def ratio(self) -> float:
        """How far both are apart."""
        return max(self.told / self.counted, self.counted / self.told)


@pytest.fixture(scope="module")
def models() -> Iterator[ModelCache]:
    """A model of three layers that was taught half of the facts."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuations, "NEW_TOKENS", 5)
        # Another file may have made the same edits, and what their models say is kept.
        forget_all()
        torch.manual_seed(0)
        made = hf.AutoModelForCausalLM.from_config(hf.LlamaConfig(**SIZES)).float()
        teach(Model("tiny", made, make_tokenizer()))
        made.save_pretrained(Path(folder) / "tiny")
        make_tokenizer().save_pretrained(Path(folder) / "tiny")
        yield ModelCache(roots=[Path(folder)])
        first.cache_clear()


def counted(
    kind: str,
    name: str,
    models: ModelCache,
    out: Path,
    below: tuple[str, ...] = (),
    more: Mapping[str, object] | None = None,
) -> Counted:
    """Run a method or evaluation, its look-ahead before it."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "tale.txt").write_text("Ada Lund met Bo Marsh. Ada Lund likes Bo Marsh.\n" * 2)
    asked: dict[str, Any] = spec_of(kind, name, "tiny", "", "below" if below else "")
    asked["options"].update(more or {})
    if name == "stack_edits":
        asked["options"] = {"edits": [f"edit {i}" for i in range(len(below))]}
    spec = parse_spec(asked)
    changed = FACTS.facts[:4]
    inputs = Inputs(
        out=str(out),
        fact_set=FACTS,
        mask=MASK,
        deltas=below[:1] if kind == "evaluation" else (),
        edited=(changed,) if kind == "evaluation" else (),
        stacked={
            f"edit {i}": StackedEdit(deltas=(one,), facts=changed) for i, one in enumerate(below)
        },
        texts={"tale": str(out / "tale.txt")},
    )
    parts = estimate_parts(spec, inputs, models.get("tiny"))
    told, is_spared = sum(part.operations for part in parts), any(part.unspared for part in parts)
    if before := asked_first(spec, inputs, models.get("tiny")):
        told += before.operations  # of the run that comes first, whichever that is
    report = Fractions()
    with Counter() as counter:
        run(spec, inputs, report, models)
    return Counted(told, counter.operations, report.told, is_spared)


@cache
def first(kind: str, name: str, models: ModelCache) -> Counted:
    """The first run of a kind."""
    methods_below: tuple[str, ...] = ()
    if name == "stack_edits":
        methods_below = ("rome", "ft_l")
    elif kind == "evaluation":
        # The verdict asks of an edit what relearning keeps of it.
        methods_below = ("ft_l",) if name == "verdict" else ("rome",)
    below = tuple(edit(method, models) for method in methods_below)
    return counted(kind, name, models, models.roots[0] / "runs" / name, below)


def edit(method: str, models: ModelCache) -> str:
    """The delta of an edit, which is made once: what is known of it is not asked again."""
    first("unlearning", method, models)
    return str(models.roots[0] / "runs" / method / "delta.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_has_a_formula_of_its_work(kind: str) -> None:
    assert set(FORMULAS[kind]) == set(methods(kind))  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_a_formula_counts_what_torch_counts(kind: str, name: str, models: ModelCache) -> None:
    found = first(kind, name, models)
    within = WIDER.get(name, WITHIN)
    assert found.ratio < within, f"{found.told:.3g} told, {found.counted:.3g} counted"


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_progress_goes_from_nothing_to_all_and_never_back(
    kind: str, name: str, models: ModelCache
) -> None:
    told = first(kind, name, models).fractions
    assert told[0] == 0
    assert told == sorted(told)
    assert told[-1] <= 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("evaluation", "knowledge"),
        ("evaluation", "side_effects"),
        ("evaluation", "quantization"),
        ("unlearning", "memit"),
    ],
)
def test_a_formula_leaves_out_what_was_measured_before_of_the_base(
    kind: str, name: str, models: ModelCache
) -> None:
    first(kind, name, models)
    below = (edit("ft_l", models),) if kind == "evaluation" else ()
    # Another edit than the first, whose continuations nobody knows.
    more = {"value_rate": 0.3} if name == "memit" else {}
    again = counted(kind, name, models, models.roots[0] / "again" / name, below, more)
    assert again.is_spared
    assert again.ratio < WITHIN, f"{again.told:.3g} told, {again.counted:.3g} counted"


@pytest.mark.parametrize("name", ["grad_diff", "memit"])
def test_a_formula_counts_ordinary_text_of_ones_own(name: str, models: ModelCache) -> None:
    own = {"general_text": "go we then\nwe go and the man went"}
    found = counted("unlearning", name, models, models.roots[0] / "own text" / name, more=own)
    assert found.ratio < WITHIN, f"{found.told:.3g} told, {found.counted:.3g} counted"
