"""Bundles of stored runs: written here, and brought back as runs of this server."""

import hashlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from worker.contract.bundle import Bundle, Edit, open_bundle, result_files, write_bundle
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import FactSet
from worker.contract.inputs import Inputs
from worker.contract.result import Result
from worker.contract.spec import (
    ExportSpec,
    Spec,
    SpecWithoutFacts,
    StudySpec,
    UnlearnSpec,
    parse_spec,
)
from worker.contract.texts import BUNDLED, read_text
from worker.engine.announced import announced
from worker.engine.arrays import check_arrays
from worker.engine.resolve import resolve
from worker.store.attempts import end_run
from worker.store.runs import insert_run
from worker.store.store import Store
from worker.store.tables import Run, RunResult, database_time

IMPORTED = "imported"
"""The tag of runs that came in a bundle."""


def bundle_run(run_id: str, store: Store, file: IO[bytes]) -> None:
    """Write a finished run with everything that its spec names, so that it can be repeated.

    Raises UserError for a run without a result, and where its facts have changed since.
    """
    record, result = store.run(run_id), store.result(run_id)
    if result is None:
        raise UserError(f"The run {run_id!r} is {record.state} and has no result to bundle.")
    spec = parse_spec(record.spec)
    inputs = _inputs(spec, result, store)
    with tempfile.TemporaryDirectory(prefix="lethe-") as folder:
        path = Path(folder) / "result.json"
        path.write_text(result.model_dump_json(indent=1), encoding="utf-8")
        files = {"result.json": path}
        files |= {
            name: store.artifacts.local(f"runs/{run_id}/{name}") for name in result_files(result)
        }
        edits = [_edit(id, store) for id in spec.edits]
        write_bundle(file, f"{run_id}.zip", spec, inputs, files, edits)


def size_of_bundle(run_id: str, store: Store) -> int:
    """Bytes of the files that a run's bundle would hold."""
    result = store.result(run_id)
    if result is None:
        raise UserError(f"The run {run_id!r} has no result to bundle.")
    own = sum(store.artifacts.size(f"runs/{run_id}/{name}") for name in result_files(result))
    edits = 0
    for id in parse_spec(store.run(run_id).spec).edits:
        edits += store.artifacts.size(f"runs/{id}/delta.safetensors")
    return own + edits


def import_bundle(path: Path, store: Store, max_bytes: int, owner: str = "") -> str:
    """Bring a bundle's run, its facts, its text and the edits under its model into the store.

    Returns the id of the recorded run, which is there as a finished one with its own numbers. The
    names in its spec are those that its facts, text and edits have here. Raises UserError for what
    is no bundle; then nothing is kept.
    """
    with tempfile.TemporaryDirectory(prefix="lethe-") as folder:
        found = open_bundle(path, Path(folder), max_bytes)
        _check(found)
        data = found.spec.model_dump(mode="json")
        texts = _read_texts(found)
        if found.inputs.fact_set is not None:
            data["facts"]["set"] = _bring_facts(found.inputs.fact_set, store, owner)
        for name, text in texts.items():
            data["options"]["text"] = _bring_text(name, text, store, owner)
        if data.get("mask") is not None and found.inputs.mask is not None:
            data["mask"] = {"components": list(found.inputs.mask.components)}
        deltas = found.inputs.deltas
        ids: dict[str, str] = {}
        for edit, delta in zip(found.edits, deltas, strict=True):
            ids[edit.id] = _bring_edit(edit, Path(delta), list(ids.values()), store, owner)
        if ids:
            data["model"] = {"base": found.spec.base, "edits": list(ids.values())}
        if isinstance(found.spec, ExportSpec):
            data["results"] = []
        files = {name: Path(local) for name, local in found.files.items()}
        spec = parse_spec(data)
        return _insert(spec, found.result, files, list(ids.values()), "", store, owner)


def _inputs(spec: Spec, result: Result, store: Store) -> Inputs:
    if isinstance(spec, StudySpec):
        inputs = Inputs(out="", fact_set=store.fact_set(spec.facts.set))
    else:
        announcement = announced(store)
        try:
            inputs = resolve(spec, store, announcement, "")
        except NotFound:
            # The mask's source may have been deleted since; the result still holds what was used.
            if not isinstance(spec, UnlearnSpec) or result.mask is None:
                raise
            named = {"components": list(result.mask.components)}
            again = parse_spec({**spec.model_dump(mode="json"), "mask": named})
            inputs = resolve(again, store, announcement, "")
    recorded = result.provenance.fact_set_hash
    if inputs.fact_set is not None and recorded not in (None, inputs.fact_set.hash):
        raise UserError(
            f"The fact set {inputs.fact_set.name!r} has changed since the run: its hash is "
            f"{inputs.fact_set.hash[:12]}, the run's was {str(recorded)[:12]}. Run it again, and "
            f"bundle that run."
        )
    return inputs


def _edit(run_id: str, store: Store) -> Edit:
    record, result = store.run(run_id), store.result(run_id)
    if result is None:
        raise UserError(f"The edit {run_id!r} has no result; expected a finished run.")
    return Edit(id=run_id, title=record.title, spec=record.spec, result=result)


def _check(found: Bundle) -> None:
    """Refuse what could not be repeated here, or be read by the pages."""
    if len(found.edits) != len(found.inputs.deltas) or len(found.edits) != len(found.spec.edits):
        raise UserError(
            f"The bundle names {len(found.spec.edits)} edits and holds {len(found.inputs.deltas)} "
            f"deltas of {len(found.edits)} runs; expected as many of each. Bundle the run again.",
            field="bundle",
        )
    for edit in found.edits:
        if not isinstance(parse_spec(edit.spec), UnlearnSpec) or edit.result.receipt is None:
            raise UserError(
                f"The run {edit.id[:40]!r} in the bundle made no edit; expected finished unlearn "
                f"runs under the model. Bundle the run again.",
                field="bundle",
            )
    if found.inputs.stacked:
        raise UserError(
            "The run reads other edits that its options name, which a server does not "
            "take in yet. Repeat it with `lethe run bundle.zip --out repeated`.",
            field="bundle",
        )
    if found.result.kind != found.spec.kind:
        raise UserError(
            f"The bundle's spec is of kind {found.spec.kind!r}, its result of kind "
            f"{found.result.kind[:40]!r}; expected the same.",
            field="bundle",
        )
    needs_facts = not isinstance(found.spec, SpecWithoutFacts)
    if needs_facts and found.inputs.fact_set is None:
        raise UserError("The bundle holds no facts; expected those of the run.", field="bundle")
    arrays = found.result.arrays
    for name in {info.file for info in arrays.values()}:
        wanted = {key: info for key, info in arrays.items() if info.file == name}
        check_arrays(Path(found.files[name]), wanted)


def _bring_facts(facts: FactSet, store: Store, owner: str) -> str:
    """The name that these facts have here: the one of the same content, else a free one."""
    known = {info.name: info for info in store.fact_sets()}
    same = [info.name for info in known.values() if info.hash == facts.hash]
    if same:
        name = facts.name if facts.name in same else same[0]
        for split in set(facts.splits) - set(known[name].splits):
            store.save_split(name, split, facts.splits[split])
        return name
    plain = _last_part(facts.name)
    name = plain if plain not in known else f"{plain} {facts.hash[:8]}"
    store.save_fact_set(facts.model_copy(update={"name": name}), owner=owner)
    return name


def _last_part(name: str) -> str:
    """A name that an address can hold: of a file, which `lethe run` names, its path's last part."""
    plain = re.split(r"[/\\]", name)[-1][:80].strip()
    return plain if plain.strip(".") else "brought"


def _read_texts(found: Bundle) -> dict[str, str]:
    """The text that the run's options name, if they name one; UserError for what is no text."""
    if not found.inputs.texts:
        return {}
    named = str(getattr(found.spec, "options", {}).get("text", ""))
    if set(found.inputs.texts) != {named}:
        raise UserError(
            f"The bundle holds {len(found.inputs.texts)} texts, its options name "
            f"{named[:60]!r}; expected that text alone. Bundle the run again.",
            field="bundle",
        )
    return {named: read_text(Path(found.inputs.texts[named]).read_bytes(), "text.txt").text}


def _bring_text(name: str, text: str, store: Store, owner: str) -> str:
    """The name that this text has here: the one of the same content, else a free one."""
    known = {info.name: info.hash for info in store.texts()}
    digest = hashlib.sha256(text.encode()).hexdigest()
    same = [one for one, content in known.items() if content == digest]
    if same:
        return name if name in same else same[0]
    plain = _last_part(name)
    free = plain if plain not in (*known, BUNDLED) else f"{plain} {digest[:8]}"
    return store.save_text(free, text, owner=owner).name


def _bring_edit(edit: Edit, delta: Path, below: list[str], store: Store, owner: str) -> str:
    """The id that an edit has here: its own where it is the same one, else a new run's."""
    with suppress(NotFound):
        here = store.result(edit.id)
        if here is not None and here.receipt == edit.result.receipt and here.receipt is not None:
            return edit.id
    data: dict[str, Any] = {**edit.spec}
    base = edit.result.provenance.model
    data["model"] = {"base": base, "edits": below} if below else base
    if edit.result.mask is not None:
        data["mask"] = {"components": list(edit.result.mask.components)}
    spec = parse_spec(data)
    result = edit.result.model_copy(
        update={"files": {"delta": "delta.safetensors"}, "arrays": {}, "kind": "unlearn"}
    )
    files = {"delta.safetensors": delta}
    return _insert(spec, result, files, below, edit.title, store, owner)


def _insert(
    spec: Spec,
    result: Result,
    files: dict[str, Path],
    parents: list[str],
    title: str,
    store: Store,
    owner: str,
) -> str:
    with store.database.write() as session:
        return insert_finished(
            session,
            store,
            spec,
            result,
            files,
            title=title,
            tag=IMPORTED,
            parents=parents,
            message="Brought in a bundle.",
            owner=owner,
        )


def insert_finished(
    session: Session,
    store: Store,
    spec: Spec,
    result: Result,
    files: Mapping[str, Path],
    *,
    title: str,
    tag: str,
    parents: Sequence[str],
    message: str,
    owner: str = "",
    id: str = "",
) -> str:
    """Write a finished run; its files first, so that a row never stands without them.

    It counts as finished at this moment, and as begun as long before as it took elsewhere.
    """
    run_id = insert_run(
        session,
        spec,
        owner=owner or store.acting.person,
        title=title[:200],
        tags=(tag,),
        parents=parents,
        priority=0,
        id=id,
    )
    session.flush()
    for name, path in files.items():
        store.artifacts.put(f"runs/{run_id}/{name}", path)
    size = sum(path.stat().st_size for path in files.values())
    session.add(RunResult(run_id=run_id, body=result.model_dump(mode="json")))
    session.execute(
        update(Run)
        .where(Run.id == run_id)
        .values(has_result=True, started=database_time() - result.seconds, bytes=size)
    )
    end_run(session, run_id, "done", message)
    store.acting.tell(f"run {run_id}")
    return run_id
