"""Whether all that a spec names may be seen by whom the store acts for.

Workers see everything, so a question that is put to one is looked at here before.
"""

from worker.contract.spec import ExportSpec, Spec, SpecWithoutFacts
from worker.contract.texts import BUNDLED
from worker.store.describe import parents_of
from worker.store.sight import WHOLE
from worker.store.store import Store
from worker.store.tables import TextRow


def check_named(spec: Spec, store: Store) -> None:
    """Raise NotFound for a run, mask, set or text that is not there for who asks.

    Raises Forbidden for what a guest of a class, or a visitor, may not ask.
    """
    if store.database.look is None:
        return
    store.refuse_outside_class(spec)
    for run_id in parents_of(spec):
        store.run(run_id)
    mask = getattr(spec, "mask", None)
    if mask is not None and mask.id is not None:
        store.mask(mask.id)
    if not isinstance(spec, SpecWithoutFacts | ExportSpec):
        store.fact_set_hash(spec.facts.set)
    options = getattr(spec, "options", {})
    text = options.get("text") if isinstance(options, dict) else None
    if isinstance(text, str) and text not in ("", BUNDLED) and _is_stored(text, store):
        store.text_info(text)


def _is_stored(name: str, store: Store) -> bool:
    """Whether there is such a text at all: a view's `text` may also be words to look at."""
    with store.database.read() as session:
        return session.get(TextRow, name, execution_options=WHOLE) is not None
