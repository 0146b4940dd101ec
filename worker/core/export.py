"""An edited model as a Hugging Face folder that loads anywhere, with a card of what was edited."""

from collections.abc import Sequence
from pathlib import Path

from worker.contract.errors import UserError
from worker.contract.result import Result
from worker.core.models.deltas import checksum, edited
from worker.core.models.model import Model


def export_folder(
    model: Model, deltas: Sequence[Path], out: Path, results: Sequence[Result] = ()
) -> str:
    """Save base + edits with tokenizer and card into `out`; return the edited weights' hash.

    `results` are what is known of the edit: its own run and evaluations made of it. Raises
    UserError when `out` already holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{str(out)!r} is not empty; expected a new folder.", field="out")
    out.mkdir(parents=True, exist_ok=True)
    with edited(model, deltas):
        digest = checksum(model)
        model.hf.save_pretrained(out, safe_serialization=True)
    model.tokenizer.save_pretrained(out)
    (out / "README.md").write_text(card(model, digest, results), encoding="utf-8")
    return digest


def card(model: Model, digest: str, results: Sequence[Result]) -> str:
    """Write the model card: base, mask, method, what the receipt proves, what was measured."""
    lines = [
        "---",
        f"base_model: {model.id}",
        "library_name: transformers",
        "tags: [unlearning, model-editing]",
        "---",
        "",
        f"# {model.id}, edited with Lethe",
        "",
        f"- base: `{model.id}`, weights `{model.weights_hash[:16]}`",
        f"- edited weights: `{digest[:16]}`",
    ]
    for result in results:
        lines += ["", f"## {result.kind}", "", result.caption or "", ""]
        if result.kind == "unlearn":
            lines += _edit_lines(result)
        lines += ["| measured | value |", "|---|---|"]
        lines += [f"| {name} | {_shown(value)} |" for name, value in result.summary.items()]
    return "\n".join(lines) + "\n"


def _edit_lines(result: Result) -> list[str]:
    spec, lines = result.spec, []
    facts = spec.get("facts", {})
    lines.append(f"- facts: {facts.get('forget')} of `{facts.get('set')}`")
    lines.append(
        f"- method: `{spec.get('method')}`, options `{spec.get('options')}`, "
        f"seed {spec.get('seed')}"
    )
    if result.mask:
        lines.append(f"- mask: {', '.join(f'`{c}`' for c in result.mask.components)}")
    if result.receipt:
        unchanged = "unchanged" if result.receipt.outside_unchanged else "CHANGED"
        lines.append(
            f"- changed: {result.receipt.n_changed:,} of {result.receipt.n_parameters:,} allowed "
            f"parameters; outside the mask: {unchanged}"
        )
    return [*lines, ""]


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
