"""What the server of LETHE_DATA keeps, for `lethe run`: its own fact sets, masks and finished runs.

The server need not run. Where its data folder holds no database, nothing is made there, and the
sentence about a name that is not found says where was looked and how to give it otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.settings import settings
from worker.store.store import Store


def find_fact_set(name: str, bundled: dict[str, FactSet]) -> FactSet:
    """A bundled set with the splits that the server keeps of it, or a set of the server's own.

    Raises UserError that lists both kinds.
    """
    with _store() as store:
        listed = {info.name for info in store.fact_sets()} if store is not None else set()
        kept = store.fact_set(name) if store is not None and name in listed else None
    own = bundled.get(name)
    if own is None and kept is None:
        refusal = unknown("fact set", name, sorted(listed | bundled.keys()), "facts.set")
        raise UserError(f"{refusal} {_looked()} Or give its file with --facts.", field="facts.set")
    if own is None or kept is None or own.hash != kept.hash:
        found = own or kept
        assert found is not None
        return found
    return own.model_copy(update={"splits": own.splits | kept.splits})


def find_mask(id: str, model: str) -> tuple[list[str], str]:
    """A stored mask's components and its name; raise UserError where the server has no such one."""
    with _store() as store:
        if store is None:
            raise UserError(
                f"The mask {id!r} is stored by a server. {_looked()} Or name mask.components.",
                field="mask.id",
            )
        record = store.mask(id)
    if record.model != model:
        raise UserError(
            f"The mask {record.name!r} belongs to model {record.model!r}, not {model!r}.",
            field="mask.id",
        )
    return list(record.components), f"{record.name} v{record.version}"


def find_run(folder: Path) -> Path:
    """The folder of an earlier run: `folder` itself, or the files of the server's run of this id.

    Raises UserError where there is neither.
    """
    if (folder / "result.json").is_file():
        return folder
    with _store() as store:
        names = store.artifacts.names(f"runs/{folder}") if store and len(folder.parts) == 1 else []
        kept = [store.artifacts.local(name) for name in names] if store is not None else []
    for path in kept:
        if path.name == "result.json":
            return path.parent
    raise UserError(
        f"{str(folder)!r} holds no result.json; expected a folder of `lethe run`, or the id of a "
        f"finished run. {_looked()}"
    )


@contextmanager
def _store() -> Iterator[Store | None]:
    """Open the server's store where there is one already."""
    if not _has_database():
        yield None
        return
    store = Store.open(settings())
    try:
        yield store
    finally:
        store.close()


def _has_database() -> bool:
    return bool(settings().database_url) or (settings().data / "lethe.sqlite").is_file()


def _looked() -> str:
    data = settings().data.resolve()
    if _has_database():
        return f"The server of {str(data)!r} was asked too."
    return (
        f"{str(data)!r} holds no server's database; set LETHE_DATA to the server's data folder "
        f"(or LETHE_DATABASE_URL to its database)."
    )
