"""What a run must know of how its model is loaded: blocks that are elsewhere, a base in 8 bits.

A localization and most evaluations only read weights, and a gradient may pass through any block, so
they are computed whatever the placement. What trains or rounds weights needs them on the device
that computes; what works on every block's weights is refused as soon as one is elsewhere.
"""

from worker.contract.components import parse_component
from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.menu import Placement
from worker.contract.spec import EvaluateSpec, Spec, StudySpec, UnlearnSpec
from worker.core.models.model import Model
from worker.core.models.placement import placement_of

EVERY_BLOCK = {
    "quantization": "rounds every block's matrices",
    "relearning": "trains on every block",
    "stack_edits": "compares every parameter",
    "whos_harry_potter": "trains a reinforced model through every block",
}
"""Methods that write or compare the weights of every block, and what they do with them."""


def describe_loading(spec: Spec, model: Model) -> list[str]:
    """Say in sentences how a model is loaded, where it is not whole and as stored."""
    sentences = []
    if placement := placement_of(model.hf):
        sentences.append(f"{model.id} is too large for {placement.main} alone: {placement.words}")
    if spec.load_in is not None:
        sentences.append(
            f"{model.id} is loaded in 8 bits: every block's matrices are rounded to 255 values an "
            f"output, so scores are close to those of the stored weights, not the same."
        )
    return sentences


def refuse_away(spec: Spec, mask: Mask | None, model: Model) -> None:
    """Raise UserError where a run would change weights that another device keeps."""
    placement = placement_of(model.hf)
    if placement is None:
        return
    if isinstance(spec, UnlearnSpec):
        _refuse_methods([spec.method], "method", model, placement)
        _refuse_mask(mask, model, placement)
    if isinstance(spec, EvaluateSpec | StudySpec):
        _refuse_methods(spec.evaluations, "evaluations", model, placement)
    if isinstance(spec, StudySpec):
        names = [chosen.method for chosen in spec.methods.values()]
        _refuse_methods(names, "methods", model, placement)


def _refuse_methods(names: object, field: str, model: Model, placement: Placement) -> None:
    assert isinstance(names, list | tuple)
    for name in names:
        if name in EVERY_BLOCK:
            raise UserError(
                f"{name!r} {EVERY_BLOCK[name]}, and {model.id!r} is too large for "
                f"{placement.main}: {placement.words} Leave it out, choose a smaller model, or use "
                f"a worker with a larger device.",
                field=field,
            )


def _refuse_mask(mask: Mask | None, model: Model, placement: Placement) -> None:
    """Refuse a mask with components of blocks that are elsewhere; no mask means all components."""
    layers = {parse_component(name).layer for name in mask.components} if mask else None
    away = [
        layer
        for layer, device in enumerate(placement.blocks)
        if device != placement.main and (layers is None or layer in layers)
    ]
    if away:
        listed = ", ".join(map(str, away[:8])) + (", …" if len(away) > 8 else "")
        own = [str(i) for i, device in enumerate(placement.blocks) if device == placement.main]
        raise UserError(
            f"The mask has components of layers that are not on {placement.main} ({listed}), and "
            f"only weights on it can be trained: {placement.words} Choose components of layers "
            f"{own[0]} to {own[-1]}, a smaller model, or a worker with a larger device."
            if own
            else f"No block of {model.id!r} is on {placement.main}, and only weights on it can be "
            f"trained: {placement.words} Choose a smaller model, or a worker with a larger device.",
            field="mask",
        )
