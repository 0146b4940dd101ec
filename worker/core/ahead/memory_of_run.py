"""The memory of a run on a model, whatever its kind."""

from collections.abc import Sequence

from worker.contract.facts import Fact
from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.spec import EvaluateSpec, LocalizeSpec, Spec, StudySpec, UnlearnSpec
from worker.core.ahead.estimate import scene_of, size_of
from worker.core.ahead.memory_of_edit import COUNTED, edit_bytes
from worker.core.ahead.memory_of_localization import FORMULAS, localization_bytes
from worker.core.ahead.scene import with_own_text
from worker.core.models.components import component_parameters
from worker.core.models.memory import estimate_memory
from worker.core.models.model import Model
from worker.core.registry import method


def run_bytes(spec: Spec, inputs: Inputs, model: Model, usable: Sequence[Fact]) -> int:
    """Bytes that a run takes, its model's weights among them.

    Counted from the method's own formula where it has one, else as every run of its kind.
    """
    n_changed, below = None, sum(map(size_of, inputs.deltas))
    if isinstance(spec, UnlearnSpec) and inputs.mask is not None:
        n_changed = inputs.mask.n_parameters
    if isinstance(spec, EvaluateSpec):
        n_changed, below = below // model.dtype.itemsize, 0
    needs = estimate_memory(
        model, component_parameters(model), model.dtype, model.device, n_changed
    )
    if isinstance(spec, UnlearnSpec) and spec.method in COUNTED:
        scene = scene_of(spec, inputs, model, usable)
        assert scene is not None
        options = method("unlearning", spec.method).options.model_validate(spec.options)
        scene = with_own_text(scene, model, options)
        return below + needs["load"] + int(edit_bytes(scene, model, spec.method, options))
    if isinstance(spec, LocalizeSpec) and spec.method in FORMULAS:
        scene = scene_of(spec, inputs, model, usable)
        assert scene is not None
        options = method("localization", spec.method).options.model_validate(spec.options)
        found = localization_bytes(scene, model, spec.method, options)
        return below + needs["load"] + int(found)
    # Edits that lie on the base: a copy of what they replaced is there as long as they are.
    kind = "unlearn" if isinstance(spec, StudySpec) else spec.kind
    if isinstance(spec, EvaluateSpec | StudySpec):
        return below + needs[kind] + _evaluations_beside(spec, model, len(usable))
    return below + needs[kind] + _beside(spec, inputs.mask, model)


def _evaluations_beside(spec: EvaluateSpec | StudySpec, model: Model, n_facts: int) -> int:
    """What the largest of its evaluations, made one after another, takes beside others."""
    found = {name: method("evaluation", name) for name in spec.evaluations}
    return max(
        (
            one.memory_beside(
                model, one.options.model_validate(spec.options.get(name, {})), n_facts
            )
            for name, one in found.items()
            if one.memory_beside is not None
        ),
        default=0,
    )


def _beside(spec: Spec, mask: Mask | None, model: Model) -> int:
    """What a method of editing takes beside what every edit takes."""
    if not isinstance(spec, UnlearnSpec):
        return 0
    found = method("unlearning", spec.method)
    if found.memory_beside is None:
        return 0
    return found.memory_beside(model, mask, found.options.model_validate(spec.options))
