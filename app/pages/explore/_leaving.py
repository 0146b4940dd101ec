"""What leaves the page: the chosen components as a mask, the fact to other forms, the answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from app.experiment import read_model
from app.pages.explore._heads import read_head
from app.pages.explore._patching import read_cells
from app.pages.explore._subject import Subject
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact
from worker.contract.selection import select
from worker.contract.spec import UnlearnSpec, parse_spec
from worker.store.store import Store

MATCHES = 50
"""Facts of a set that are looked at for the one that the prompt asks."""


@dataclass(frozen=True)
class Leaving:
    """What can be taken along. `set_name` and `fact` are empty where the prompt is no fact's."""

    base: str
    components: tuple[str, ...]
    notes: tuple[str, ...]
    set_name: str
    fact: Fact | None
    localize: str
    unlearn: str


def leaving(store: Store, subject: Subject, asked: Mapping[str, str]) -> Leaving:
    """Read what is chosen in the address, and find the fact that the prompt asks."""
    components, notes = chosen_components(asked)
    model = read_model(subject.model, store)
    set_name, fact = fact_asked(store, subject, asked.get("set", ""))
    facts = {"facts.set": set_name, "facts.how": "ids", "facts.ids": fact.id} if fact else {}
    given = {"model": subject.model, **facts}
    if components:
        mask = {"mask.from": "components", "mask.components": ", ".join(components)}
    else:
        mask = {}
    return Leaving(
        base=model if isinstance(model, str) else model["base"],
        components=components,
        notes=notes,
        set_name=set_name,
        fact=fact,
        localize=f"/localize?{urlencode(given)}",
        unlearn=f"/unlearn?{urlencode(given | mask)}",
    )


def chosen_components(asked: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The components that patched cells, the open head and the selected cell are of.

    With sentences on what is of no component; an attention that is chosen whole holds its heads.
    """
    found, notes = [], []
    for cell in read_cells(asked.get("cells", "")):
        layer = cell["layer"]
        if cell["site"] == "resid":
            note = (
                "A state of the residual stream is the work of all components before it, so it is "
                "none that a mask could hold; patch “MLP”, “attention” or “heads” instead."
            )
            notes.append(note)
        elif cell["site"] == "head":
            found.append(f"blocks.{layer}.attn.head.{cell['head']}")
        else:
            found.append(f"blocks.{layer}.{cell['site']}")
    if (head := read_head(asked.get("head", ""))) is not None:
        found.append(f"blocks.{head[0]}.attn.head.{head[1]}")
    layer = asked.get("at", "").partition(".")[0]
    if layer.isdecimal() and len(layer) <= 4:
        found.append(f"blocks.{int(layer)}.mlp")
    whole = {name for name in found if name.endswith(".attn")}
    kept = [
        name for name in dict.fromkeys(found) if name.partition(".head")[0] not in whole - {name}
    ]
    return tuple(kept), tuple(dict.fromkeys(notes))


def fact_asked(store: Store, subject: Subject, set_name: str) -> tuple[str, Fact | None]:
    """The fact whose prompt this is, of the named set first; its set's name."""
    names = [one.name for one in store.fact_sets()]
    if not subject.subject:
        return "", None
    for name in sorted(names, key=lambda one: one != set_name):
        near, _ = store.facts_page(name, search=subject.subject, limit=MATCHES)
        for fact in near:
            if fact.subject == subject.subject and fact.text.strip() == subject.prompt.strip():
                return name, fact
    return "", None


def of_edit(store: Store, run_id: str) -> tuple[Subject, str, Fact]:
    """A base beside an edit of it, and the first fact that the edit was to forget."""
    record = store.run(run_id)
    spec = parse_spec(record.spec)
    if not isinstance(spec, UnlearnSpec):
        raise UserError(
            f"The run {run_id!r} is {record.kind}; expected an edit, whose base can be explored "
            f"beside it."
        )
    below = f"edit:{spec.edits[-1]}" if spec.edits else spec.base
    forget = select(store.fact_set(spec.facts.set), spec.facts.forget, spec.seed).forget
    if not forget:
        raise NotFound(f"The set {spec.facts.set!r} has no facts that {run_id!r} forgot.")
    return Subject(model=below, beside=f"edit:{run_id}"), spec.facts.set, forget[0]
