"""Words for a spec: a title when its owner gave none, what a search finds, what it builds on."""

from typing import Any

from worker.contract.spec import (
    AddSpec,
    EvaluateSpec,
    ExploreSpec,
    ExportSpec,
    LocalizeSpec,
    Spec,
    UnlearnSpec,
)


def title_of(spec: Spec) -> str:
    """A run's title made from its spec, for example `causal_tracing: athletes first:16 on demo`."""
    model = spec.base + (f" + {len(spec.edits)} edits" if len(spec.edits) > 1 else "")
    model += " + 1 edit" if len(spec.edits) == 1 else ""
    if isinstance(spec, ExploreSpec):
        return f"{spec.view} on {model}"
    if isinstance(spec, AddSpec):
        return f"Add the model {spec.base}"
    if isinstance(spec, ExportSpec):
        return f"Hugging Face folder of {model}"
    n = len(spec.interventions) if isinstance(spec, EvaluateSpec) else 0
    model += f" under {n} intervention{'s' if n > 1 else ''}" if n else ""
    to = f" to {spec.facts.edit_to.strip()[:60]}" if spec.facts.edit_to.strip() else ""
    return f"{method_of(spec)}: {spec.facts.set} {spec.facts.forget[:60]}{to} on {model}"


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
