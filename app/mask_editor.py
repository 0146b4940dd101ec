"""The mask editor: a rule or a reader's hand chooses components of a localization or a model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request

from app.drawing.drawing import Offer
from app.figures.components_heatmap import by_layer, title_of
from app.formats import number
from worker.contract.base import unknown
from worker.contract.choose import choose, mask_of
from worker.contract.components import parse_component
from worker.contract.errors import UserError
from worker.contract.mask import Mask, MaskRule
from worker.contract.menu import Announcement, ModelInfo
from worker.engine.resolve import component_scores, model_info
from worker.store.store import Store

SUGGESTED = "suggested"
RULES = {
    SUGGESTED: "The method's own choice",
    "top": "Top k",
    "threshold": "Threshold",
    "parameters": "Parameter budget",
}
KINDS = {
    "all": "all components",
    "mlp": "MLPs only",
    "attn": "attentions only",
    "head": "heads only",
}
BY_HAND = "chosen by hand"
STATE = ("rule", "value", "only", "signed", "hand")
"""What an address says of an editor, beside its components."""
START = {"rule": "top", "value": "3", "only": "mlp"}
"""What an untouched editor chooses: the three MLPs with the largest |score|."""

WHY = (
    "MLPs only at first: what a model knows of a name is looked up in MLPs, attention carries it "
    "on, and edits through the MLPs reached other wordings in Guo et al. 2024."
)
"""Why the editor begins among the MLPs."""


@dataclass(frozen=True)
class Editor:
    """Everything the editor shows. `run_id` is empty for a mask made by hand alone."""

    model: ModelInfo
    run_id: str
    scores: Mapping[str, float]
    unit: str
    rule: str
    value: float
    only: str
    signed: bool
    chosen: tuple[str, ...]
    source: str
    error: str = ""
    suggested: tuple[str, ...] = ()
    """Components that the method itself chose, where it has a rule."""

    @property
    def rules(self) -> dict[str, str]:
        """The rules that can be chosen here, and their words."""
        return {k: words for k, words in RULES.items() if k != SUGGESTED or self.suggested}

    @property
    def n_parameters(self) -> int:
        return sum(self.model.component_parameters.get(name, 0) for name in self.chosen)

    @property
    def share(self) -> float:
        """The mask's part of all the model's parameters."""
        return self.n_parameters / self.model.n_parameters if self.model.n_parameters else 0.0

    @property
    def slider(self) -> dict[str, float]:
        """The range of the rule's slider."""
        sizes = [abs(v) for name, v in self.scores.items() if self._is_allowed(name)]
        if self.rule == "threshold":
            most = max(sizes, default=1.0) or 1.0
            return {"min": most / 200, "max": most, "step": most / 200}
        if self.rule == "parameters":
            counts = [n for k, n in self.model.component_parameters.items() if self._is_allowed(k)]
            return {
                "min": min(counts, default=1),
                "max": sum(counts) or 1,
                "step": min(counts, default=1),
            }
        return {"min": 1, "max": max(1, len(sizes)), "step": 1}

    @property
    def is_by_hand(self) -> bool:
        """Whether a reader chose the components instead of a rule."""
        return self.source.startswith(BY_HAND)

    @property
    def why(self) -> str:
        """Why the rule looks among these components unless it is told otherwise."""
        return WHY if _default_only(self.scores) == START["only"] else ""

    @property
    def said(self) -> str:
        """What chose the components, in words."""
        if self.is_by_hand:
            return "by hand"
        if self.rule == SUGGESTED:
            return "by the method"
        if self.rule == "threshold":
            return f"|score| ≥ {number(self.value)} {self.unit}"
        if self.rule == "parameters":
            return f"at least {number(int(self.value))} parameters"
        return f"the {number(int(self.value))} largest"

    @property
    def rows(self) -> tuple[tuple[str, ...], list[tuple[int, list[dict[str, Any] | None]]]]:
        """Column titles, and for every layer its cells: component, score, whether it is chosen."""
        titles, names, values = by_layer(self.scores)
        known = self.model.component_parameters
        rows = []
        for layer, (line, scores) in enumerate(zip(names, values, strict=True)):
            cells = [
                {"name": name, "score": float(score), "is_chosen": name in self.chosen}
                if name in known
                else None
                for name, score in zip(line, scores, strict=True)
            ]
            rows.append((layer, cells))
        return titles, rows

    @property
    def offer(self) -> Offer:
        return Offer("components_heatmap", title_of(self.scores), clickable=True)

    def _is_allowed(self, name: str) -> bool:
        component = parse_component(name)
        kind = "head" if component.head is not None else component.kind
        return self.only == "all" or kind == self.only


def editor(
    store: Store, run_id: str, asked: Mapping[str, Any], model: str = "demo"
) -> Editor | None:
    """The editor as an address or a form describes it; None where no worker said what models have.

    `asked["components"]` with `asked["hand"]` takes the components as they are; else the rule does.
    """
    menu = store.announcement()
    if menu is None:
        return None
    scores, unit, info = _scored(store, menu, run_id, model)
    suggested = _suggested(store, run_id)
    rule = str(asked.get("rule") or (SUGGESTED if suggested else START["rule"]))
    if rule not in RULES or (rule == SUGGESTED and not suggested):
        raise unknown("rule", rule, list(RULES), field="rule")
    only = str(asked.get("only") or _default_only(scores))
    if only not in KINDS:
        raise unknown("kind of components", only, list(KINDS), field="only")
    signed = asked.get("signed") in ("on", "1", True)
    blank = Editor(info, run_id, scores, unit, rule, 0.0, only, signed, (), "", "", suggested)
    value = _value(asked.get("value"), blank)
    if asked.get("hand") or not run_id:
        return _by_hand(blank, value, asked.get("components", ()))
    if rule == SUGGESTED:
        return replace(blank, chosen=suggested, source=f"the method's own choice in run {run_id}")
    return _by_rule(blank, value)


def mask_asked(request: Request) -> dict[str, Any]:
    """What an address says of the editor: rule, value, kinds, and what was taken by hand."""
    given = request.query_params
    asked: dict[str, Any] = {name: given[name] for name in STATE if name in given}
    return {**asked, "components": given.getlist("components")}


def _suggested(store: Store, run_id: str) -> tuple[str, ...]:
    result = store.result(run_id) if run_id else None
    mask = result.attribution.suggested if result and result.attribution else None
    return mask.components if mask else ()


def _scored(
    store: Store, menu: Announcement, run_id: str, model: str
) -> tuple[dict[str, float], str, ModelInfo]:
    if not run_id:
        info = model_info(model, menu)
        return {name: float("nan") for name in info.component_parameters}, "", info
    result = store.result(run_id)
    scores = component_scores(result, run_id, store)
    assert result is not None
    unit = result.attribution.unit if result.attribution else result.arrays["components"].unit
    return scores, unit, model_info(result.provenance.model, menu)


def _default_only(scores: Mapping[str, float]) -> str:
    has_mlps = any(parse_component(name).kind == "mlp" for name in scores)
    return START["only"] if has_mlps else "all"


def _value(text: Any, blank: Editor) -> float:
    """The slider's value, held inside the range of the rule."""
    bounds = blank.slider
    starts = {
        SUGGESTED: 1.0,
        "top": 3.0,
        "threshold": bounds["max"] / 2,
        "parameters": bounds["min"] * 3,
    }
    start = starts[blank.rule]
    try:
        value = float(text) if text not in (None, "") else start
        if not math.isfinite(value):
            raise ValueError
    except ValueError:
        raise UserError(f"value is {text!r}; expected a number.", field="value") from None
    return min(max(value, bounds["min"]), bounds["max"])


def _by_rule(blank: Editor, value: float) -> Editor:
    whole = value if blank.rule == "threshold" else int(value)
    rule = MaskRule.model_validate({blank.rule: whole, "only": blank.only, "signed": blank.signed})
    chosen: tuple[str, ...] = ()
    error = ""
    try:
        chosen = choose(blank.scores, blank.model.component_parameters, rule).components
    except (UserError, ValidationError) as problem:
        error = str(problem)
    kinds = {"all": "components", "mlp": "MLPs", "attn": "attentions", "head": "heads"}[blank.only]
    source = f"{RULES[blank.rule].lower()} {number(whole)} of the {kinds} of run {blank.run_id}"
    return replace(blank, value=value, chosen=chosen, source=source, error=error)


def _by_hand(blank: Editor, value: float, components: Sequence[str]) -> Editor:
    source = BY_HAND + (f" on run {blank.run_id}" if blank.run_id else "")
    chosen = without_heads_of_whole(components)
    return replace(blank, value=value, chosen=chosen, source=source)


def without_heads_of_whole(components: Sequence[str]) -> tuple[str, ...]:
    """Leave out heads whose whole attention is chosen too: their weights would count twice."""
    return tuple(
        c
        for c in components
        if c.partition(".head.")[0] == c or c.partition(".head.")[0] not in components
    )


def mask_from(edited: Editor) -> Mask:
    """The editor's mask; UserError for one without components or with unknown ones."""
    return mask_of(list(edited.chosen), edited.model.component_parameters, edited.source)
