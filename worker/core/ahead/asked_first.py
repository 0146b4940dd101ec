"""What it takes to ask a model which facts it knows, before a run that is about known facts begins.

The facts that are asked are counted as the evaluation `knowledge` counts them, each group of them
by the lengths of its own prompts. What is kept of the base is left out: it is not asked again.
"""

from __future__ import annotations

from worker.contract.inputs import Inputs
from worker.contract.pace import ASKING
from worker.contract.spec import Spec
from worker.core.ahead.estimate import Part
from worker.core.ahead.measured_before import is_nameless
from worker.core.ahead.of_evaluation import recalled
from worker.core.ahead.rate import rate_of
from worker.core.ahead.scene import look
from worker.core.ahead.work import NOTHING, Size
from worker.core.asking.about import askings
from worker.core.asking.kept import is_kept
from worker.core.asking.known import recall_key
from worker.core.models.model import Model


def asked_first(spec: Spec, inputs: Inputs, model: Model) -> Part | None:
    """Estimate what is asked before a spec's own parts; None where nothing ever is."""
    asked = askings(spec, inputs, model)
    if not asked:
        return None
    size, whole, anew = Size.of(model), NOTHING, NOTHING
    for one in asked:
        scene = look(model, one.facts)
        work = recalled(scene, scene.facts)
        whole += work
        if is_nameless(model) or not is_kept(recall_key(model, one.fact_set, one.facts)):
            anew += work
    rate = rate_of(size, model.device, model.dtype)
    unspared = None if anew == whole else rate.seconds(whole)
    return Part(ASKING, rate.seconds(anew), operations=anew.operations, unspared=unspared)
