"""Which of a study's many numbers are its columns: those that the paper's table has, then more.

Names are those of the evaluations' summaries. A study that measured none of them shows the first
numbers after the edit instead.
"""

from collections.abc import Sequence

from worker.contract.result import Direction
from worker.contract.study import ReportMetric

HEADLINES: tuple[tuple[str, str, str, Direction], ...] = (
    ("forget", "Forget", "probes.statement.forget.target_probability.after", "lower"),
    ("edit", "Edit", "probes.statement.forget.edit_probability.after", "higher"),
    ("retain", "Retain", "probes.statement.retain.target_probability.after", "higher"),
    ("perplexity", "Ordinary text: perplexity", "side_effects.general.perplexity.after", "none"),
    ("divergence", "Ordinary text: divergence", "side_effects.general.divergence.after", "lower"),
    ("choice_forget", "MCQ forget", "probes.choice.forget.target_probability.after", "lower"),
    ("choice_edit", "MCQ edit", "probes.choice.forget.edit_probability.after", "higher"),
    ("choice_retain", "MCQ retain", "probes.choice.retain.target_probability.after", "higher"),
    ("relearn_forget", "Relearn forget", "relearning.lora.held_out.target_probability.after",
     "lower"),
    ("relearn_retain", "Relearn retain", "relearning.lora.retain.target_probability.after",
     "higher"),
    ("paraphrase_edit", "Held-out paraphrase edit",
     "probes.paraphrase_held_out.forget.edit_probability.after", "higher"),
    ("paraphrase_retain", "Held-out paraphrase retain",
     "probes.paraphrase_held_out.retain.target_probability.after", "higher"),
    ("question_edit", "Held-out question edit",
     "probes.question_held_out.forget.edit_probability.after", "higher"),
    ("choice_held_out_edit", "Held-out MCQ edit",
     "probes.choice_held_out.forget.edit_probability.after", "higher"),
    ("latent_true", "Latent: true", "latent_probes.mean.forget.target_read.after", "lower"),
    ("latent_edit", "Latent: edit", "latent_probes.mean.forget.edit_read.after", "higher"),
)  # fmt: skip
FIRST = 12
"""Columns of a study that has none of the headlines."""
NOT_OF_THE_BASE = ("interference.",)
"""Evaluations whose number before is not that of the model without the edit."""


def columns(metrics: Sequence[str], meanings: dict[str, tuple[str, str]]) -> list[ReportMetric]:
    """The metrics that a report has, in the headlines' order; `meanings`: name -> title, better."""
    found = [
        ReportMetric(name=name, short=short, title=title, better=better)
        for short, title, name, better in HEADLINES
        if name in metrics
    ]
    if found:
        return found
    after = [m for m in metrics if m.endswith(".after")] or list(metrics)
    return [
        ReportMetric.model_validate(
            {"name": name, "short": name, "title": meaning[0], "better": meaning[1]}
        )
        for name in after[:FIRST]
        for meaning in [meanings.get(name, (name, "none"))]
    ]
