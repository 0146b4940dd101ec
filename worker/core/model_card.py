"""The card of an edited model: from which base, by which mask, with which results."""

import json
from collections.abc import Sequence

from worker.contract.result import Evaluation, Result
from worker.core.models.card import read_licence, read_note
from worker.core.models.model import Model


def write_card(model: Model, digest: str, results: Sequence[Result]) -> str:
    """Write the card of `model` edited into weights of hash `digest`; `results` tell of the edits.

    The text is Markdown under the YAML head that the Hugging Face hub reads.
    """
    licence = read_licence(model.path) if model.path else ""
    note = read_note(model.path) if model.path else ""
    lines = [
        "---",
        # A JSON string is a YAML string, whatever characters a name has.
        f"base_model: {json.dumps(model.id)}",
        *([f"license: {json.dumps(licence)}"] if licence else []),
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags: [unlearning, model-editing]",
        "---",
        "",
        f"# {model.id}, edited with Lethe",
        "",
        f"- base: `{model.id}`{_revision(model)}, weights `{model.weights_hash[:16]}`",
        *([f"- of the base: {note}"] if note else []),
        f"- edited weights: `{digest[:16]}`, {str(model.dtype).removeprefix('torch.')}",
        f"- licence: {licence or 'that of the base, whose card does not name it'}",
        "",
        "An edit changes what the model answers. Whether the fact is gone or only hidden, the "
        "measurements below say as far as they were made; what was not measured is not claimed.",
    ]
    for result in results:
        lines += _section(result)
    return "\n".join(lines) + "\n"


def _revision(model: Model) -> str:
    return f" at revision `{model.revision}`" if model.revision else ""


def _section(result: Result) -> list[str]:
    heads = {"unlearn": "The edit", "evaluate": "Measured"}
    lines = ["", f"## {heads.get(result.kind, result.kind)}", ""]
    lines += [result.caption, ""] if result.caption else []
    if result.kind == "unlearn":
        lines += _edit_lines(result)
    for evaluation in result.evaluations.values():
        lines += _measured(evaluation)
    if not result.evaluations and result.summary:
        lines += ["| measured | value |", "|---|---|"]
        lines += [f"| {name} | {_shown(value)} |" for name, value in result.summary.items()]
    return lines


def _edit_lines(result: Result) -> list[str]:
    spec, lines = result.spec, []
    facts = spec.get("facts", {})
    digest = result.provenance.fact_set_hash
    content = f", content `{digest[:16]}`" if digest else ""
    to = f", to the answer `{facts['edit_to']}`" if facts.get("edit_to") else ""
    lines.append(f"- facts: {facts.get('forget')} of `{facts.get('set')}`{content}{to}")
    lines.append(
        f"- method: `{spec.get('method')}`, options `{json.dumps(spec.get('options'))}`, "
        f"seed {spec.get('seed')}"
    )
    if result.mask:
        lines.append(f"- mask: {', '.join(f'`{c}`' for c in result.mask.components)}")
    if result.mask and result.mask.source:
        lines.append(f"- the mask's source: {result.mask.source}")
    if result.receipt:
        unchanged = "unchanged" if result.receipt.outside_unchanged else "CHANGED"
        lines.append(
            f"- changed: {result.receipt.n_changed:,} of {result.receipt.n_parameters:,} allowed "
            f"parameters; outside the mask: {unchanged}"
        )
    return [*lines, ""]


def _measured(evaluation: Evaluation) -> list[str]:
    lines = [f"### {evaluation.title}", "", "| measured | before | after |", "|---|---|---|"]
    for one in evaluation.aggregates:
        before = _shown(one.before.mean) if one.before else "–"
        after = _shown(one.after.mean) if one.after else "–"
        lines.append(f"| {one.title} | {before} | {after} |")
    return [*lines, ""]


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
