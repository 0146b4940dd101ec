"""What can be taken of a run: the edited model, its delta, its numbers, the whole as a bundle."""

import tempfile
from dataclasses import dataclass

from starlette.responses import Response

from app import tables
from app.downloads import send, stream
from worker.contract.errors import NotFound, UserError
from worker.contract.progress import FINAL_STATES
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.contract.settings import Settings
from worker.contract.spec import ExportSpec, parse_spec
from worker.engine.bundle import bundle_run, size_of_bundle
from worker.engine.client import Engine
from worker.store.store import Store

MAX_BUNDLE = 8 * 10**9
"""Bytes of a bundle that the web server packs; `lethe bundle` packs larger ones."""


@dataclass(frozen=True)
class Offer:
    """Something to take: what it is, and where it is in which formats."""

    title: str
    links: tuple[tuple[str, str], ...]
    """(words, address)"""
    size: int | None = None


@dataclass(frozen=True)
class Model:
    """The edited model as a folder: made, being made, or to be asked for."""

    edits: tuple[str, ...]
    run: RunRecord | None = None
    size: int | None = None


def offers(store: Store, record: RunRecord, result: Result) -> list[Offer]:
    """Everything that a finished run gives, but the edited model itself."""
    base = f"/api/runs/{record.id}"
    found = []
    if "delta" in result.files:
        size = _size(store, f"runs/{record.id}/{result.files['delta']}")
        links = (("safetensors", f"{base}/files/delta"),)
        found.append(Offer("The delta: the changed tensors alone", links, size))
    if result.mask is not None:
        others = [(words, f"{base}/tables/mask?format={words.lower()}") for words in ("CSV", "npz")]
        found.append(Offer("The mask", (("JSON", f"{base}/mask.json"), *others)))
    for name, info in result.arrays.items():
        found.append(_in_formats(info.title or name, f"{base}/arrays/{name}"))
    for name, table in tables.tables_of(result).items():
        if name == "mask":  # offered above, as JSON in the form in which it can be brought back
            continue
        found.append(_in_formats(table.title or name, f"{base}/tables/{name}"))
    found.append(Offer("result.json, all that is no array", (("JSON", f"{base}/result"),)))
    return found


def _in_formats(title: str, address: str) -> Offer:
    links = [(words, f"{address}?format={words.lower()}") for words in ("JSON", "CSV", "npz")]
    return Offer(title, tuple(links))


def send_file(store: Store, run_id: str, what: str) -> Response:
    """Stream one of a run's files: `delta`, `model`, whatever its result names."""
    result = _result(store, run_id)
    if what not in result.files:
        known = ", ".join(result.files) or "none"
        raise NotFound(f"The run {run_id!r} has no file {what[:40]!r}. There are: {known}.")
    name = result.files[what]
    return send(store, f"runs/{run_id}/{name}", f"{run_id}-{name}", "application/octet-stream")


def send_bundle(store: Store, run_id: str, settings: Settings) -> Response:
    """Pack a run's bundle into a temporary file and stream it."""
    size = size_of_bundle(run_id, store)
    if size > MAX_BUNDLE:
        raise UserError(
            f"The bundle would have {size / 1e9:.3g} GB; the web server packs at most "
            f"{MAX_BUNDLE / 1e9:.0f} GB. Use `lethe bundle {run_id} --out {run_id}.zip`."
        )
    packed = tempfile.TemporaryFile(dir=settings.data)  # noqa: SIM115  (closed by the stream)
    try:
        bundle_run(run_id, store, packed)
        size = packed.tell()
        packed.seek(0)
    except BaseException:
        packed.close()
        raise
    return stream(packed, size, f"{run_id}.zip", "application/zip")


def mask_file(store: Store, run_id: str) -> dict[str, object]:
    """A run's mask in the form in which the page Masks takes it in."""
    result = _result(store, run_id)
    if result.mask is None:
        raise NotFound(f"The run {run_id!r} has no mask; expected an edit.")
    return {
        "name": f"mask of {run_id}",
        "model": result.provenance.model,
        "components": list(result.mask.components),
        "n_parameters": result.mask.n_parameters,
        "source": result.mask.source,
    }


def model_of(store: Store, record: RunRecord) -> Model | None:
    """The edited model that a run made or measured; None for a run on a base."""
    edits = _edits(record)
    if not edits:
        return None
    found = _export_runs(store, edits)
    done = [run for run in found if run.state == "done"]
    if done:
        size = _size(store, f"runs/{done[-1].id}/model.zip")
        return Model(edits, done[-1], size)
    waiting = [run for run in found if run.state not in FINAL_STATES]
    return Model(edits, waiting[-1] if waiting else None)


def ask_for_model(engine: Engine, run_id: str, owner: str = "", key: str = "") -> str:
    """Queue the making of a run's edited model as a folder; the id of the run that makes it.

    One that was made with the same measurements, or is being made, is not made again. Raises
    UserError for a run without an edit.
    """
    record = engine.store.run(run_id)
    edits = _edits(record)
    if not edits or not record.has_result:
        raise UserError(
            f"The run {run_id!r} is {record.kind}, {record.state}; expected a finished edit, or an "
            f"evaluation of edits. A base model is a Hugging Face folder already."
        )
    measured = [
        run.id
        for run in engine.store.children(edits[-1])
        if run.kind == "evaluate" and run.state == "done" and _edits(run) == edits
    ]
    base = parse_spec(record.spec).base
    model = {"base": base, "edits": list(edits)}
    spec = parse_spec({"kind": "export", "model": model, "results": measured})
    assert isinstance(spec, ExportSpec)
    for run in _export_runs(engine.store, edits):
        if parse_spec(run.spec) == spec and run.state not in ("failed", "cancelled"):
            return run.id
    return engine.submit(spec, owner=owner, key=key)


def send_model(store: Store, run_id: str) -> Response:
    """Stream the edited model of a run as it was last made; NotFound with the cure before."""
    model = model_of(store, store.run(run_id))
    if model is None:
        raise NotFound(f"The run {run_id!r} has no edited model; expected an edit.")
    if model.run is None or model.run.state != "done":
        state = "has not been made yet" if model.run is None else f"is {model.run.state}"
        raise NotFound(
            f"The folder of this edited model {state}. Ask for it with "
            f"POST /api/runs/{run_id}/model, and for its run until that is done."
        )
    return send_file(store, model.run.id, "model")


def _size(store: Store, artifact: str) -> int | None:
    """Bytes of a file; None where it is gone, which its own address then says in words."""
    return store.artifacts.size(artifact) if store.artifacts.exists(artifact) else None


def _edits(record: RunRecord) -> tuple[str, ...]:
    spec = parse_spec(record.spec)
    if record.kind == "unlearn":
        return (*spec.edits, record.id)
    return spec.edits


def _export_runs(store: Store, edits: tuple[str, ...]) -> list[RunRecord]:
    """The runs that made, or are making, a folder of exactly these edits, oldest first."""
    return [
        run
        for run in store.children(edits[-1])
        if run.kind == "export" and parse_spec(run.spec).edits == edits
    ]


def _result(store: Store, run_id: str) -> Result:
    result = store.result(run_id)
    if result is None:
        raise NotFound(f"The run {run_id!r} has no result; it is {store.run(run_id).state}.")
    return result
