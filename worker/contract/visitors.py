"""An open house: what who has no account may ask of a shared server, and how it is done at home."""

from dataclasses import dataclass

from worker.contract.errors import Forbidden
from worker.contract.menu import Announcement
from worker.contract.spec import ExploreSpec, Spec


@dataclass(frozen=True)
class Visit:
    """What the server holds open, as one visitor is to have it."""

    models: tuple[str, ...]
    """The models that may be asked."""
    runs: tuple[str, ...] = ()
    """The runs that ship with Lethe, by id, which are everybody's to read."""
    address: str = ""
    """Where the visitor comes from."""


def at_home(what: str) -> str:
    """How something that is closed to visitors is done on a machine of one's own; `what` follows
    "and there"."""
    return (
        f"At home it costs two commands and no account: get Lethe's source, run `make serve` in "
        f"it, and there {what}."
    )


def refuse_beyond(visit: Visit, spec: Spec) -> None:
    """Raise Forbidden for what no visitor may ask, and for a model that is not held open."""
    if not isinstance(spec, ExploreSpec):
        raise Forbidden(
            f"This server computes no run for visitors ({spec.kind!r}). "
            f"{at_home('start the same one, by its page or `lethe run spec.json --out FOLDER`')}",
            field="kind",
        )
    refuse_model(visit, spec.base)


def refuse_model(visit: Visit, base: str) -> None:
    """Raise Forbidden for a base that is not held open."""
    if base not in visit.models:
        raise Forbidden(
            f"Visitors of this server cannot ask the model {base[:80]!r}; expected "
            f"{' or '.join(repr(one) for one in visit.models)}. "
            f"{at_home('choose any model that you have')}",
            field="model",
        )


def narrowed(visit: Visit, menu: Announcement) -> Announcement:
    """What workers can do, with the models alone that are held open."""
    models = tuple(one for one in menu.models if one.id in visit.models)
    return menu.model_copy(update={"models": models})
