"""Lethe from Python, without a server: load a model, localize, mask, edit, ask, revert.

    from pathlib import Path
    from worker import lethe

    model = lethe.load("demo")
    facts = lethe.facts("athletes", forget="first:2")
    lens = lethe.explore(model, "lens", prompt=facts.forget[0].text)
    print(lens.arrays["lens.probability"].values.shape)
    found = lethe.localize(model, facts, "attribution_patching")
    mask = lethe.mask(model, found, top=2, only="mlp")
    control = lethe.control_mask(model, "random_mlps", like=mask)
    options = {"objective": "edit", "steps": 3, "general_weight": 0.0}
    edit = lethe.unlearn(model, facts, mask, "localized_finetuning", **options)
    other = lethe.unlearn(model, facts, control, "localized_finetuning", **options)
    for one in (edit, other):
        with lethe.edited(model, one):
            print([answer.edit_probability for answer in lethe.ask(model, facts.forget)])
    lethe.save(model, edit, Path("edit.safetensors"))

Every function leaves the model bit for bit as it was; `edited` puts an edit on for as long as its
block lasts. Methods are named as `lethe menu` names them, with its options as keywords. What cannot
be done raises UserError in words. The same methods run in the worker, so the numbers are the same.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from worker.contract.base import Contract, parse, unknown
from worker.contract.choose import choose, control, suggested_mask
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.mask import ControlKind, Mask, MaskRule
from worker.contract.menu import MethodKind
from worker.contract.progress import Quiet, Report
from worker.contract.selection import Selection, select
from worker.contract.settings import settings
from worker.core.asking.scoring import score_answers
from worker.core.border import FiniteReport, check_findings
from worker.core.facts.reading import bundled_fact_sets, read_facts
from worker.core.findings import Findings, Job
from worker.core.models.components import component_parameters
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import noting_changes, restored
from worker.core.models.digests import digest_values
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.models.prompts import pairs
from worker.core.registry import method as find_method

__all__ = [
    "Answer",
    "ask",
    "control_mask",
    "edited",
    "explore",
    "facts",
    "load",
    "localize",
    "mask",
    "save",
    "unlearn",
]


@dataclass(frozen=True)
class Answer:
    """What a model expects behind one fact's prompt."""

    fact: Fact
    probability: float
    """Of the whole target, teacher-forced: the product over its tokens; 0 to 1."""
    edit_probability: float | None
    """The same of the edit target; None where the fact has none."""
    rank: int
    """Of the target's first token among the whole vocabulary; 0 is the model's own choice."""
    says: str
    """The likeliest next token."""


def load(name: str = "demo", device: str = "cpu", dtype: str = "auto") -> Model:
    """Load a model by its id ("demo", a folder's name under LETHE_MODEL_ROOTS) or by its path.

    `device` is torch's name of one; `dtype` is "float32", "bfloat16", "float16" or "auto", the
    stored one on a GPU and float32 on a CPU. The model is in evaluation mode. Raises UserError for
    a model that is not there, damaged, or too large for the device.
    """
    return load_model(name, device=device, dtype=dtype, roots=settings().roots)


def facts(source: str | Path, forget: str = "first:16", seed: int = 0) -> Selection:
    """Read a bundled fact set by its name, or a file of facts, and split it.

    `forget` says which facts are to be forgotten ("first:16", "random:64", "group:golf",
    "ids:a,b"); the others are the retain facts. Raises UserError for an unknown set or split and
    for a file that cannot be read.
    """
    bundled = {one.name: one for one in bundled_fact_sets()}
    if isinstance(source, str) and source in bundled:
        return select(bundled[source], forget, seed)
    path = Path(source)
    if not path.is_file():
        raise unknown("fact set or file", str(source), sorted(bundled), "facts")
    read = read_facts(path, path.name, {})
    if not read.facts:
        raise UserError(f"{path.name} holds no fact that could be read.", field="facts")
    return select(FactSet(name=path.stem, facts=read.facts), forget, seed)


def localize(
    model: Model,
    selection: Selection,
    method: str,
    *,
    seed: int = 0,
    report: Report | None = None,
    **options: Any,
) -> Findings:
    """Score the model's parts for the forget facts by a localization method.

    The findings' `arrays` hold the scores with their axes, units and titles, a tracing's grids as
    [fact, layer, position] with NaN where a prompt has no such token; `arrays["components"]` is one
    score per component, [component], which `mask` chooses from. `attribution` says the metric, its
    unit and what a positive score means; a method's docstring names its paper. Raises UserError for
    an unknown method or option and for facts that it cannot be asked about, Cancelled where
    `report` says so.
    """
    chosen, compute = _method("localization", method, options)
    found: Findings = compute(model, selection.forget, chosen, _job(selection, seed, report))
    check_findings(found)
    return found


def explore(
    model: Model, view: str, *, seed: int = 0, report: Report | None = None, **options: Any
) -> Findings:
    """Look at a prompt through a view: "predictions", "lens", "patching", "patch", …

    The findings' `view`, `arrays` and `tables` hold what the page shows, each array with its axes
    and unit: a lens is [row of the residual stream, position]. A view's docstring names its source.
    Raises UserError for an unknown view or option and a prompt that cannot be looked at so.
    """
    chosen, compute = _method("explore", view, options)
    found: Findings = compute(model, chosen, Job(seed, FiniteReport(report or Quiet())))
    check_findings(found)
    return found


def mask(
    model: Model,
    found: Findings,
    *,
    top: int | None = None,
    threshold: float | None = None,
    parameters: int | None = None,
    only: str = "all",
) -> Mask:
    """Take the components with the largest |score|: `top` of them, those from `threshold` (in the
    scores' unit), or as many as reach `parameters` (Guo et al. 2024, parameters equalized).

    `only` is "all", "whole", "mlp", "attn" or "head". Without a rule, the components that the
    method itself suggests. Raises UserError where there are no scores, or none are chosen.
    """
    rule = {"top": top, "threshold": threshold, "parameters": parameters}
    if all(value is None for value in rule.values()):
        return suggested_mask(found.attribution, component_parameters(model))
    if "components" not in found.arrays:
        raise UserError("This localization gives no score per component to choose by.")
    array = found.arrays["components"]
    scores = dict(zip(array.axes[0].labels or (), array.values.tolist(), strict=True))
    chosen = parse(MaskRule, rule | {"only": only}, "mask.rule")
    return choose(scores, component_parameters(model), chosen)


def control_mask(model: Model, kind: ControlKind, like: Mask, seed: int = 0) -> Mask:
    """Make a mask's control: "random" or "random_mlps" of as many parameters, "all_mlps", "all".

    A random one takes whole components until it has at least as many parameters as `like`, the same
    under the same seed (after the Random of Guo et al. 2024, arXiv 2410.12949, which draws single
    matrices). Raises UserError for a component that the model has not.
    """
    counts = component_parameters(model)
    return control(kind, counts, sum(counts[name] for name in like.components), seed)


def unlearn(
    model: Model,
    selection: Selection,
    mask: Mask,
    method: str,
    *,
    seed: int = 0,
    report: Report | None = None,
    **options: Any,
) -> Findings:
    """Compute an edit of the forget facts through a mask's components alone; the model is put back.

    The findings' `delta` maps a parameter's name to its values after the edit, of the parameter's
    shape and dtype; the `receipt` says what changed and proves that nothing else did. A method's
    docstring names its paper. Raises UserError for an unknown method or option and for facts or a
    mask that it cannot take, Diverged where training does, Cancelled where `report` says so.
    """
    chosen, compute = _method("unlearning", method, options)
    torch.manual_seed(seed)
    found: Findings = compute(model, selection, mask, chosen, _job(selection, seed, report))
    check_findings(found)
    return found


@contextmanager
def edited(model: Model, *edits: Findings) -> Iterator[Model]:
    """Put edits on, in order, while the block lasts; then the base is back bit for bit.

    Also where the block ends in an error. Raises UserError for findings without a delta.
    """
    deltas = [edit.delta for edit in edits]
    if any(delta is None for delta in deltas):
        raise UserError("One of the findings is no edit: it has no delta.", field="edits")
    names = {name for delta in deltas if delta is not None for name in delta}
    parameters = dict(model.hf.named_parameters())
    with noting_changes(model), restored(model, names):
        with torch.no_grad():
            for delta in deltas:
                for name, value in (delta or {}).items():
                    parameters[name].copy_(value)
                    model.changed |= {name: digest_values(value)}
        yield model


def ask(model: Model, asked: Sequence[Fact]) -> list[Answer]:
    """Ask a model, as it is now, each fact's own prompt; one Answer per fact, in their order.

    Probabilities are those of whole answers, teacher-forced: 0 to 1, products over their tokens,
    with the space before an answer that belongs to it. Raises UserError for a fact whose prompt and
    answer the tokenizer cannot keep apart, or that is longer than the model reads.
    """
    edits = [fact.pair(fact.edit_target) for fact in asked if fact.edit_target]
    scores = score_answers(model, pairs(asked))
    others = iter(score_answers(model, edits).log_prob.exp().tolist() if edits else ())
    return [
        Answer(
            fact=fact,
            probability=scores.log_prob[i].exp().item(),
            edit_probability=next(others) if fact.edit_target else None,
            rank=int(scores.rank[i]),
            says=str(model.tokenizer.decode(scores.top5[i, :1].tolist())),
        )
        for i, fact in enumerate(asked)
    ]


def save(model: Model, edit: Findings, path: Path) -> Path:
    """Write an edit as a delta file, which runs, stacks and exports take; its path is returned.

    A safetensors file of the changed parameters by name, with the hashes before and after the edit,
    so that it goes onto no other model. Raises UserError for findings without a delta.
    """
    if edit.delta is None or edit.receipt is None:
        raise UserError("These findings are no edit: they have no delta.", field="edit")
    path.parent.mkdir(parents=True, exist_ok=True)
    before, after = edit.receipt.hash_before, edit.receipt.hash_after
    save_delta(path, edit.delta, model=model, before_hash=before, after_hash=after)
    return path


def _method(kind: MethodKind, name: str, options: dict[str, Any]) -> tuple[Contract, Any]:
    found = find_method(kind, name)
    return parse(found.options, options, "options"), found.function


def _job(selection: Selection, seed: int, report: Report | None) -> Job:
    pool = (*selection.forget, *selection.retain)
    return Job(seed=seed, report=FiniteReport(report or Quiet()), pool=pool)
