"""Refuse what a method cannot do with a model's architecture, before anything is computed."""

from worker.contract.errors import UserError
from worker.contract.named import methods_of, unable
from worker.contract.spec import Spec
from worker.core.models.abilities import lacks
from worker.core.models.model import Model
from worker.core.registry import method


def refuse_unable(spec: Spec, model: Model) -> None:
    """Raise UserError, beside the method's field, where the architecture lacks what it needs."""
    needs = {
        (kind, name): method(kind, name, field).info.needs
        for kind, name, field, _, _ in methods_of(spec)
    }
    if problems := unable(spec, needs, lacks(model)):
        raise UserError(problems=problems)
