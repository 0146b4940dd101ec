"""Write what a run found: its arrays, and `result.json` with the spec and the provenance."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.base import Contract
from worker.contract.inputs import Inputs
from worker.contract.result import ArrayInfo, Provenance, Result
from worker.contract.spec import EvaluateSpec, Spec
from worker.core.border import check_findings
from worker.core.findings import Array, Findings
from worker.core.machine import Spending, read_versions
from worker.core.models.card import read_note
from worker.core.models.model import Model
from worker.core.models.placement import placement_of

SHOWN_DIGITS = 6
"""Of a number that is sent to be looked at, not kept."""


def write_result(
    spec: Spec,
    inputs: Inputs,
    model: Model,
    found: Findings,
    spent: Spending,
    options: dict[str, Contract],
) -> Result:
    """Write what was found into `inputs.out`: arrays.npz and result.json; return the result.

    Without `inputs.out`, as for a quick question, nothing is written and the result holds its
    arrays. Raises NotFinite, and writes nothing, where a number is none.
    """
    check_findings(found)
    if not inputs.out:
        return _result(spec, inputs, model, found, spent, options, inline=True)
    out = Path(inputs.out)
    out.mkdir(parents=True, exist_ok=True)
    if found.arrays:
        arrays = {name: np.asarray(array.values) for name, array in found.arrays.items()}
        np.savez_compressed(out / "arrays.npz", allow_pickle=False, **arrays)
    result = _result(spec, inputs, model, found, spent, options, inline=False)
    (out / "result.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    return result


def _result(
    spec: Spec,
    inputs: Inputs,
    model: Model,
    found: Findings,
    spent: Spending,
    options: dict[str, Contract],
    inline: bool,
) -> Result:
    return Result(
        kind=spec.kind,
        spec=_filled(spec, options),
        provenance=_provenance(spec, inputs, model, found),
        seconds=spent.seconds,
        paces=found.paces,
        peak_memory_bytes=spent.peak_bytes,
        arrays={
            name: ArrayInfo(
                file="" if inline else "arrays.npz",
                axes=array.axes,
                unit=array.unit,
                title=array.title,
                signed=array.signed,
                gaps=array.gaps,
                values=nested(array) if inline else None,
            )
            for name, array in found.arrays.items()
        },
        summary={name: _plain(value) for name, value in found.summary.items()},
        caption=found.caption,
        left_out=tuple(found.left_out),
        attribution=found.attribution,
        mask=found.mask or inputs.mask,
        receipt=found.receipt,
        evaluations=found.evaluations,
        tables=found.tables,
        files=found.files | ({"delta": "delta.safetensors"} if found.delta is not None else {}),
        view=found.view,
    )


def nested(array: Array) -> Any:
    """Give an array's numbers as nested lists of SHOWN_DIGITS digits, None for a gap."""
    return _plain_numbers(np.asarray(array.values).tolist())


def _plain_numbers(values: Any) -> Any:
    if isinstance(values, list):
        return [_plain_numbers(value) for value in values]
    if isinstance(values, float):
        return None if math.isnan(values) else float(f"{values:.{SHOWN_DIGITS}g}")
    return values


def _filled(spec: Spec, options: dict[str, Contract]) -> dict[str, object]:
    data = spec.model_dump(mode="json")
    if not options:
        return data
    filled = {name: chosen.model_dump(mode="json") for name, chosen in options.items()}
    data["options"] = filled if isinstance(spec, EvaluateSpec) else next(iter(filled.values()))
    return data


def _plain(value: object) -> float | int | bool | str | None:
    """Give a numpy scalar as Python's own; what could not be measured is None."""
    if isinstance(value, np.generic):
        value = value.item()
    assert value is None or isinstance(value, (float, int, bool, str))
    return value


def _interventions(spec: Spec, found: Findings) -> tuple[str, ...]:
    if isinstance(spec, EvaluateSpec):
        return tuple(one.words for one in spec.interventions)
    return tuple(found.view.get("interventions", ()))


def _provenance(spec: Spec, inputs: Inputs, model: Model, found: Findings) -> Provenance:
    placement = placement_of(model.hf)
    return Provenance(
        model=spec.base,
        edits=spec.edits,
        weights_hash=model.weights_hash,
        model_note=read_note(model.path) if model.path else "",
        fact_set=inputs.fact_set.name if inputs.fact_set else None,
        fact_set_hash=inputs.fact_set.hash if inputs.fact_set else None,
        forget=found.forget,
        shot=found.shot,
        interventions=_interventions(spec, found),
        seed=spec.seed,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        load_in=spec.load_in,
        placement={} if placement is None else placement.counts,
        versions=read_versions(),
    )
