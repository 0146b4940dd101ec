"""What methods share that compare a clean with a corrupted prompt: options, facts, what they keep.

A method makes a Comparison, says what is measured of a batch of facts, keeps each fact's scores and
asks for the findings. Facts of about equal length are measured together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float
from numpy import ndarray
from pydantic import Field

from worker.contract import base
from worker.contract.facts import Fact
from worker.core.findings import Findings, Job
from worker.core.models.batches import in_batches
from worker.core.models.model import Model
from worker.core.patching import metric as _metric
from worker.core.patching.cases import prepare, require_cases
from worker.core.patching.change import Change
from worker.core.patching.corruption import DESCRIPTIONS, Corrupted, Corruption, corrupt
from worker.core.patching.metric import CHANGES, Metric
from worker.core.patching.outcome import Traced, build_findings, ordered
from worker.core.patching.pairing import raised_metric, zero_metric

KEEP_RAISED = (
    "Keep facts whose metric the corruption raises; restoring lowers it there, so they count "
    "against what the others show."
)


class ComparisonOptions(base.Options):
    """Defaults compare the answer with the edit target, and the subject with another."""

    metric: Metric = Field("logit_diff", description=_metric.DESCRIPTION)
    corruption: Corruption = Field(
        "other_subject",
        description=DESCRIPTIONS + " A fact without another subject that fits gets random tokens.",
    )
    samples: int = Field(1, ge=1, le=100, description="Corrupted copies of each prompt.")
    noise_level: float = Field(
        3.0, gt=0, le=100, description="Noise in standard deviations of the subjects' embeddings."
    )
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )

    keep_raised: bool = Field(False, description=KEEP_RAISED)

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Describe a method's own options before those that it shares: forms keep this order."""
        schema = super().model_json_schema(*args, **kwargs)
        given = schema["properties"]
        own = [name for name in cls.__annotations__ if name in given]
        schema["properties"] = {name: given[name] for name in [*own, *given]}
        return schema


class Comparison:
    """The facts made ready and corrupted, and what was measured of each so far."""

    def __init__(
        self,
        model: Model,
        facts: Sequence[Fact],
        options: ComparisonOptions,
        job: Job,
        or_random: bool = True,
    ) -> None:
        """Make the facts ready; raise UserError where none can be compared.

        `or_random` gives random tokens to a fact that no other subject fits.
        """
        job.report.progress(0.0, "asking the model for the facts")
        self.model, self.options, self.job = model, options, job
        needs_foil = options.metric == "logit_diff"
        self.prepared = prepare(model, facts, options.min_probability, needs_foil)
        items = corrupt(
            model,
            self.prepared,
            options.corruption,
            samples=options.samples,
            noise_level=options.noise_level,
            seed=job.seed,
            pool=job.pool,
            or_random=or_random,
        )
        self.items = sorted(items, key=lambda item: item.case.length)
        self.traced: dict[str, Traced] = {}
        self.operations = 0
        self._gone: set[str] = set()

    def run(self, kind: str, size: int, measure: Callable[[list[Corrupted]], None]) -> None:
        """Measure all facts, `size` at a time; `kind` names the work whose batch size fits."""
        in_batches(self.model, kind, self.items, size, measure)

    def keep(self, item: Corrupted, change: Change) -> Traced | None:
        """Return where the fact's scores go; None, and the fact left out, if nothing was lost."""
        fact, metric = item.case.fact, self.options.metric
        if fact.id in self._gone:
            return None
        if change.is_none or (change.is_raised and not self.options.keep_raised):
            self._gone.add(fact.id)
            same = change.is_none
            self.prepared.leave_out(
                fact, zero_metric(item, metric) if same else raised_metric(item, metric, change)
            )
            return None
        return self.traced.setdefault(fact.id, Traced(item.case, change.clean, change.corrupted))

    def tell(self, measured: float = 0.0) -> None:
        """Report progress; `measured` facts of the batch under way count as well."""
        kept, n_facts = len(self.traced), len(self.items)
        done = (kept + len(self._gone) + measured) / n_facts
        self.job.report.progress(min(1.0, done), f"{kept} of {n_facts} facts measured")

    def settle(self) -> list[Traced]:
        """Leave only measured facts; return them in the order in which they were asked for.

        Raises UserError where none is left.
        """
        prepared = self.prepared
        prepared.cases = [case for case in prepared.cases if case.fact.id in self.traced]
        require_cases(prepared)
        return ordered(self.traced, prepared)

    def findings(
        self,
        method: str,
        direction: str,
        unit: str = "",
        weights: Float[ndarray, " fact"] | None = None,
    ) -> Findings:
        """Put all facts together; the unit is a change of the metric unless another is given."""
        return build_findings(
            self.model,
            self.settle(),
            self.prepared,
            method=method,
            metric=self.options.metric,
            unit=unit or CHANGES[self.options.metric],
            direction=direction,
            operations=self.operations,
            weights=weights,
        )
