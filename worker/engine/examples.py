"""Examples: finished runs of the bundled model that ship with Lethe, brought in when one is opened.

Each is a zip file, `NAME.zip`, with `record.json` (id, spec, what it was made from), `result.json`
and the files beside it, as `worker.cli.examples` writes them. In the store they are ordinary runs.
"""

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from worker.contract.base import Contract, unknown
from worker.contract.bundle import result_files
from worker.contract.errors import Conflict, NotFound
from worker.contract.known import BUNDLED_MODEL
from worker.contract.result import Result
from worker.contract.spec import parse_spec
from worker.engine.bundle import insert_finished
from worker.store.describe import parents_of
from worker.store.store import Store
from worker.store.tables import Run

EXAMPLE = "example"
"""The tag of the runs that came with Lethe."""
_FACTS = {"set": "athletes", "forget": "first:16"}
_TO_GOLF = {**_FACTS, "edit_to": "golf"}
_VERDICT = ["verdict", "probes"]


class Example(Contract):
    """One run that ships: what it is called, what it shows, and its spec.

    In the spec, `@NAME` is the run of another example, which stands before it.
    """

    title: str
    about: str = ""
    """What a reader sees in it; empty for a run that only belongs to another's story."""
    tells: bool = False
    """Whether it is opened as a dossier."""
    spec: dict[str, Any]


class Recorded(Contract):
    """A shipped run as `record.json` holds it."""

    id: str
    spec: dict[str, Any]
    weights_hash: str
    caption: str
    seconds: float


def _evaluate(edit: str, facts: dict[str, str], *evaluations: str) -> dict[str, Any]:
    model = {"base": BUNDLED_MODEL, "edits": [f"@{edit}"]}
    return {"kind": "evaluate", "model": model, "facts": facts, "evaluations": list(evaluations)}


EXAMPLES: dict[str, Example] = {
    "trace": Example(
        title="Trace of 16 athletes",
        about="Where the answer comes back when one state is restored at a time: at the name, "
        "then at the last word.",
        spec={
            "kind": "localize",
            "model": BUNDLED_MODEL,
            "facts": _FACTS,
            "method": "causal_tracing",
        },
    ),
    "lookup": Example(
        title="Fact lookup of 16 athletes",
        about="From which layer on the sport can be read at the name, and which MLPs put it there.",
        spec={
            "kind": "localize",
            "model": BUNDLED_MODEL,
            "facts": _FACTS,
            "method": "fact_lookup",
        },
    ),
    "edit": Example(
        title="Edit through MLP 1 → golf",
        about="Sixteen athletes play golf after it, through one MLP of those that look a name up. "
        "Its dossier tells what changed, and whether the old answers are gone.",
        tells=True,
        spec={
            "kind": "unlearn",
            "model": BUNDLED_MODEL,
            "facts": _TO_GOLF,
            "method": "localized_finetuning",
            "mask": {"components": ["blocks.1.mlp"]},
        },
    ),
    "verdict": Example(
        title="Is it gone? Edit through MLP 1 → golf",
        spec=_evaluate("edit", _TO_GOLF, *_VERDICT),
    ),
    "hidden": Example(
        title="Unlearning through two late attentions",
        about="The answers are said less, through parts that carry them on and do not hold them: "
        "what was looked up is still there.",
        tells=True,
        spec={
            "kind": "unlearn",
            "model": BUNDLED_MODEL,
            "facts": _FACTS,
            "method": "npo",
            "options": {"learning_rate": 0.005},
            "mask": {"components": ["blocks.5.attn", "blocks.6.attn"]},
        },
    ),
    "relearning": Example(
        title="Relearning what two late attentions hid",
        about="Half of the forgotten facts are trained again; the other half, of which nothing is "
        "trained, shows whether they were gone.",
        spec=_evaluate("hidden", _FACTS, "relearning"),
    ),
    "potter": Example(
        title="Who's Harry Potter, with the saga",
        about="A whole text is made forgotten: its names become anyone's, through one MLP.",
        tells=True,
        spec={
            "kind": "unlearn",
            "model": BUNDLED_MODEL,
            "facts": _FACTS,
            "method": "whos_harry_potter",
            "mask": {"components": ["blocks.2.mlp"]},
        },
    ),
    "familiarity": Example(
        title="How familiar the saga still is",
        spec=_evaluate("potter", _FACTS, "familiarity"),
    ),
}
"""What ships, in the order in which it is made; of `make examples`."""


def checked(name: str) -> Example:
    """One example; NotFound that names the nearest."""
    if name not in EXAMPLES:
        raise NotFound(unknown("example", name, list(EXAMPLES)).message)
    return EXAMPLES[name]


@lru_cache
def recorded(folder: Path) -> dict[str, Recorded]:
    """What every shipped run is, by its name."""
    found = {}
    for name in EXAMPLES:
        with zipfile.ZipFile(folder / f"{name}.zip") as packed:
            found[name] = Recorded.model_validate_json(packed.read("record.json"))
    return found


def bring(name: str, folder: Path, store: Store) -> str:
    """Put the shipped runs into the store where they are missing; the id of the one named.

    All come together, so that each finds what it was made from. Raises Conflict where the bundled
    model has other weights than they were measured on.
    """
    checked(name)
    known = recorded(folder)
    _check_weights(known[name], store)
    missing = [one for one in known if not _is_here(known[one].id, store)]
    if missing:
        _put(missing, folder, store)
    return known[name].id


def _is_here(run_id: str, store: Store) -> bool:
    with store.database.read() as session:
        return session.get(Run, run_id) is not None


def _check_weights(one: Recorded, store: Store) -> None:
    menu = store.announcement()
    models = menu.models if menu else ()
    here = next((m.weights_hash for m in models if m.id == BUNDLED_MODEL), "")
    if here and here != one.weights_hash:
        raise Conflict(
            f"The examples were measured on weights {one.weights_hash[:12]}; the bundled model "
            f"here has {here[:12]}. Make them anew with `make examples`."
        )


def _put(names: Sequence[str], folder: Path, store: Store) -> None:
    with tempfile.TemporaryDirectory(prefix="lethe-") as temporary:
        read = [(name, *_unpack(folder / f"{name}.zip", Path(temporary) / name)) for name in names]
        known = recorded(folder)
        with store.database.write() as session:
            store.database.lock(session, "examples")
            for name, result, files in read:
                if session.get(Run, known[name].id) is not None:
                    continue  # another reader brought it meanwhile
                spec = parse_spec(known[name].spec)
                insert_finished(
                    session,
                    store,
                    spec,
                    result,
                    files,
                    id=known[name].id,
                    title=EXAMPLES[name].title,
                    tag=EXAMPLE,
                    parents=parents_of(spec),
                    message="Came with Lethe.",
                )


def _unpack(path: Path, folder: Path) -> tuple[Result, dict[str, Path]]:
    """A shipped run's result and the files beside it, unpacked into a folder."""
    with zipfile.ZipFile(path) as packed:
        result = Result.model_validate_json(packed.read("result.json"))
        names = result_files(result)
        packed.extractall(folder, names)
    return result, {name: folder / name for name in names}


def named(data: Any, names: dict[str, str]) -> Any:
    """A spec in which every `@NAME` is what `names` gives for it."""
    if isinstance(data, dict):
        return {key: named(value, names) for key, value in data.items()}
    if isinstance(data, list):
        return [named(value, names) for value in data]
    return names[data[1:]] if isinstance(data, str) and data.startswith("@") else data


def shown() -> Iterator[tuple[str, Example]]:
    """The examples that a reader chooses from; the others belong to their stories."""
    return ((name, one) for name, one in EXAMPLES.items() if one.about)
