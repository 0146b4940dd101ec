"""Words for a spec: a title when its owner gave none, what a search finds, what it builds on."""

from collections.abc import Mapping
from typing import Any

from worker.contract.components import parse_component
from worker.contract.mask import ControlKind, MaskSpec
from worker.contract.selection import FactsSpec
from worker.contract.spec import (
    AddSpec,
    EvaluateSpec,
    ExploreSpec,
    ExportSpec,
    LocalizeSpec,
    Spec,
    UnlearnSpec,
)

CONTROLS: dict[ControlKind, str] = {
    "random": "random components",
    "random_mlps": "random MLPs",
    "all_mlps": "all MLPs",
    "all": "everything",
}


def title_of(spec: Spec, titles: Mapping[str, str] = {}) -> str:
    """A run's title as a person would give it: `Causal tracing of 16 athletes on demo`.

    `titles` are the methods' own by name; without one, the name is written in words.
    """
    model = spec.base + (f" + {len(spec.edits)} edits" if len(spec.edits) > 1 else "")
    model += " + 1 edit" if len(spec.edits) == 1 else ""
    if isinstance(spec, ExploreSpec):
        return f"{_in_words(spec.view, titles)} on {model}"
    if isinstance(spec, AddSpec):
        return f"Add the model {spec.base}"
    if isinstance(spec, ExportSpec):
        return f"Hugging Face folder of {model}"
    n = len(spec.interventions) if isinstance(spec, EvaluateSpec) else 0
    model += f" under {n} intervention{'s' if n > 1 else ''}" if n else ""
    facts = _facts_in_words(spec.facts)
    if isinstance(spec, EvaluateSpec):
        words = [_in_words(name, titles) for name in spec.evaluations[:2]]
        more = len(spec.evaluations) - len(words)
        what = ", ".join(words) + (f" and {more} more" if more > 0 else "")
        return f"{what}: {facts} on {model}"
    through = _mask_in_words(spec.mask) if isinstance(spec, UnlearnSpec) else ""
    return f"{_in_words(method_of(spec), titles)} of {facts}{through} on {model}"


def _in_words(name: str, titles: Mapping[str, str]) -> str:
    return titles.get(name) or name[:1].upper() + name[1:].replace("_", " ")


def _facts_in_words(facts: FactsSpec) -> str:
    """`16 athletes`, `3 of counterfact`, `athletes, group golf`, and what they are edited to."""
    rule, _, rest = facts.forget.partition(":")
    count = rest if rule in ("first", "random") else ""
    if rule == "ids" and rest and not rest.lstrip().startswith("["):
        count = str(len(rest.split(",")))
    if count.isdecimal():
        of = "" if facts.set.endswith("s") and count != "1" else "of "
        words = f"{count} {of}{facts.set}"
    else:
        words = f"{facts.set}, {rule} {rest}".rstrip()[:120]
    to = facts.edit_to.strip()[:60]
    return f"{words} → {to}" if to else words


def _mask_in_words(mask: MaskSpec) -> str:
    """` through MLPs 1–3`: layers where only MLPs are named, else how many components."""
    if not mask.components:
        return f" through {CONTROLS[mask.control.kind]}" if mask.control else ""
    found = sorted(map(parse_component, mask.components))
    if any(one.kind != "mlp" for one in found):
        return f" through {len(found)} component{'s' if len(found) > 1 else ''}"
    layers = [one.layer for one in found]
    if len(layers) > 1 and layers == list(range(layers[0], layers[-1] + 1)):
        return f" through MLPs {layers[0]}–{layers[-1]}"
    if len(layers) > 6:
        return f" through {len(layers)} MLPs"
    return f" through MLP{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"


def method_of(spec: Spec) -> str:
    """What computes a spec: its method, evaluations, view or study."""
    if isinstance(spec, LocalizeSpec | UnlearnSpec):
        return spec.method
    if isinstance(spec, EvaluateSpec):
        return ", ".join(spec.evaluations)
    return spec.view if isinstance(spec, ExploreSpec) else spec.kind


def parents_of(spec: Spec) -> list[str]:
    """Ids of the runs whose results a spec builds on: its edits, and its mask's localization."""
    parents = list(spec.edits)
    if isinstance(spec, UnlearnSpec | EvaluateSpec) and spec.mask and spec.mask.localization:
        parents.append(spec.mask.localization)
    if isinstance(spec, ExportSpec):
        parents += spec.results
    if isinstance(spec, UnlearnSpec) and spec.method == "stack_edits":
        parents += [str(edit) for edit in spec.options.get("edits", ())]
    return parents


def search_text(id: str, title: str, spec: dict[str, Any]) -> str:
    """What a search of the runs looks through, case-folded."""
    facts = spec.get("facts") or {}
    parts = [id, title, spec.get("kind"), spec.get("method"), spec.get("view")]
    parts += [*(spec.get("evaluations") or ()), facts.get("set"), facts.get("forget")]
    model = spec.get("model")
    parts += [model] if isinstance(model, str) else [(model or {}).get("base")]
    return plain(" ".join(str(part) for part in parts if part))


def plain(text: str) -> str:
    """Case-folded text that every database stores: no NUL, no lone surrogates."""
    return text.casefold().replace("\0", " ").encode("utf-8", "replace").decode()
