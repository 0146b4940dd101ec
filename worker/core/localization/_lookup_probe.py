"""The probing half of fact lookup: accuracy per layer at the subject's last token."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.components import Component
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.result import Attribution, Axis
from worker.core.findings import Array, Findings, Job
from worker.core.localization._climb import bootstrap_choice, choose_layers
from worker.core.localization._probe import cross_validate
from worker.core.models.base_run import embed
from worker.core.models.batches import in_batches
from worker.core.models.gradients import activations
from worker.core.models.model import Model
from worker.core.models.operations import forward_operations
from worker.core.models.tokens import Prompt, encode, pad
from worker.core.patching.cases import Case, Prepared, prepare
from worker.core.patching.outcome import Traced
from worker.core.patching.suggest import suggest, traced_facts

MIN_PER_ANSWER = 10
_BATCH = 64


def probe_classes(facts: Sequence[Fact], pool: Sequence[Fact]) -> list[str]:
    """List the answers that enough facts of the pool share; empty where the facts' own is rare."""
    counts = Counter(fact.target.strip() for fact in pool)
    common = sorted(answer for answer, n in counts.items() if n >= MIN_PER_ANSWER)
    own = {fact.target.strip() for fact in facts}
    return common if len(common) >= 2 and own <= set(common) else []


def find_by_probe(
    model: Model,
    facts: Sequence[Fact],
    pool: Sequence[Fact],
    job: Job,
    *,
    n_facts: int,
    folds: int,
    bootstrap: int,
    max_share: float,
    min_probability: float,
) -> Findings:
    """Probe every layer and choose the lookup layers."""
    prepared = prepare(model, facts, min_probability, needs_foil=False)
    classes = probe_classes(facts, pool)
    if not classes:
        raise UserError(
            f"A probe needs two answers or more with at least {MIN_PER_ANSWER} facts each, the "
            f"chosen facts' among them; this set has {len(pool)} facts of "
            f"{len({f.target for f in pool})} answers. Choose path_patching.",
            field="options.by",
        )
    chosen = _sample([f for f in pool if f.target.strip() in classes], n_facts, job.seed)
    cases, labels = _encode(model, chosen, classes, prepared)
    full = _residuals(model, [case.prompt for case in cases], job, 0.0)
    bare = _residuals(model, [_bare(model, case) for case in cases], job, 0.4)
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    job.report.progress(0.8, f"fitting {3 * folds * (model.n_layers + 1)} probes")
    right = {
        "full_prompt": cross_validate(full, labels, folds, job.seed).numpy(),
        "bare_name": cross_validate(bare, labels, folds, job.seed).numpy(),
        "control": cross_validate(full, shuffled, folds, job.seed).numpy(),
    }
    most = max(1, round(max_share * model.n_layers))
    return _findings(model, prepared, right, job.seed, bootstrap, most, len(classes))


def _findings(
    model: Model,
    prepared: Prepared,
    right: dict[str, np.ndarray],
    seed: int,
    bootstrap: int,
    most: int,
    n_classes: int,
) -> Findings:
    curves = {name: values.mean(1) for name, values in right.items()}
    both = [right["full_prompt"], right["bare_name"]]
    control = float(curves["control"].mean())
    layers = choose_layers([r.mean(1) for r in both], control, most)
    share, confidence = bootstrap_choice(both, right["control"], bootstrap, seed, most)
    gains = np.diff(np.stack([curves["full_prompt"], curves["bare_name"]]), axis=1).mean(0)
    names = tuple(str(Component(layer, "mlp")) for layer in range(model.n_layers))
    layer_axis = (Axis(name="layer"),)
    arrays = {
        f"probe.{name}": Array(curve[1:], layer_axis, "accuracy", _TITLES[name])
        for name, curve in curves.items()
    }
    arrays["probe.confidence"] = Array(share, layer_axis, "share", "Chosen in bootstrap draws")
    arrays["components"] = Array(
        gains, (Axis(name="component", labels=names),), "accuracy", "Gain per layer", signed=True
    )
    n_facts = right["control"].shape[1]
    clean = [Traced(case, case.probability, 0.0) for case in prepared.cases]
    longest = max(case.length for case in prepared.cases)
    return Findings(
        arrays=arrays,
        summary={
            "facts.traced": len(prepared.cases),
            "facts.left_out": len(prepared.left_out),
            "probe.facts": n_facts,
            "probe.answers": n_classes,
            "probe.embeddings.full_prompt": float(curves["full_prompt"][0]),
            "probe.embeddings.bare_name": float(curves["bare_name"][0]),
            "probe.best.full_prompt": float(curves["full_prompt"].max()),
            "probe.best.bare_name": float(curves["bare_name"].max()),
            "probe.control": control,
            "lookup.layers": ",".join(map(str, layers)),
            "lookup.confidence": confidence,
            "components.top_mlp": names[int(gains.argmax())],
            "components.top_mlp_score": float(gains.max()),
        },
        caption=_caption(layers, curves, control, confidence, n_facts),
        left_out=prepared.left_out,
        attribution=Attribution(
            method="fact_lookup",
            metric="probe accuracy",
            direction="A component's score is the accuracy that its layer adds, averaged over full "
            "prompt and bare name.",
            unit="accuracy",
            facts=traced_facts(clean),
            suggested=suggest(model, [names[layer] for layer in layers], "fact_lookup: climb"),
            operations=2 * forward_operations(model, n_facts, longest),
        ),
    )


_TITLES = {
    "full_prompt": "Full prompt",
    "bare_name": "Bare name",
    "control": "Control: shuffled answers",
}


def _caption(
    layers: tuple[int, ...],
    curves: dict[str, np.ndarray],
    control: float,
    confidence: float,
    n_facts: int,
) -> str:
    best = max(float(curves["full_prompt"].max()), float(curves["bare_name"].max()))
    if not layers:
        return (
            f"A probe for the answer never rises above its control ({control:.2f}) by more than "
            f"0.05 over {n_facts} facts (best {best:.2f}), so no layer is suggested."
        )
    return (
        f"The answer becomes readable at the subject's last token in layers {layers[0]} to "
        f"{layers[-1]}: from {control:.2f} (control) to {best:.2f}, over {n_facts} facts held out "
        f"in turn. The same layers are chosen in {confidence:.0%} of bootstrap draws."
    )


def _sample(facts: list[Fact], n: int, seed: int) -> list[Fact]:
    return facts if len(facts) <= n else random.Random(seed).sample(facts, n)


def _encode(
    model: Model, facts: Sequence[Fact], classes: list[str], prepared: Prepared
) -> tuple[list[Case], Tensor]:
    """Encode the probed facts; one whose subject has no token of its own is left out, and said."""
    cases, labels = [], []
    known = {out.id for out in prepared.left_out}
    for fact in facts:
        try:
            prompt = encode(model, fact.text, fact.subject, fact.prompt.index("{}"))
        except UserError as error:
            if fact.id not in known:
                prepared.leave_out(fact, f"Not among the probed: {error.message}")
            continue
        cases.append(Case(fact, prompt, answer=0))
        labels.append(classes.index(fact.target.strip()))
    return cases, torch.tensor(labels)


def _bare(model: Model, case: Case) -> Prompt:
    """The name alone, cut as in its prompt, after the tokenizer's own first token if any."""
    start, stop = case.prompt.subject
    alone = encode(model, case.fact.subject, case.fact.subject)
    ids = (*alone.ids[: alone.subject[0]], *case.prompt.ids[start:stop])
    return Prompt(case.fact.subject, ids, (), (alone.subject[0], len(ids)))


def _residuals(
    model: Model, prompts: Sequence[Prompt], job: Job, done: float
) -> Float[Tensor, "depth fact d_model"]:
    """Residual stream at the subject's last token: embeddings first, then after every layer."""
    found: list[Tensor | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].ids))

    def run(chosen: list[int]) -> None:
        # What comes after the subject cannot reach it, so it is cut off.
        cut = [prompts[i].ids[: prompts[i].subject[1]] for i in chosen]
        batch = pad(model, cut)
        with torch.no_grad():
            kept = activations(
                model, batch, embed(model, batch.ids), ["resid_pre", "resid_post"]
            ).sites
        last = [kept["resid_pre"][0], *kept["resid_post"]]
        rows = torch.stack([activation[:, -1].float() for activation in last], dim=1).cpu()
        for i, row in zip(chosen, rows, strict=True):
            found[i] = row
        n = sum(item is not None for item in found)
        job.report.progress(done + 0.4 * n / len(prompts), f"{n} of {len(prompts)} subjects read")

    in_batches(model, "probe", order, _BATCH, run)
    return torch.stack([row for row in found if row is not None], dim=1)
