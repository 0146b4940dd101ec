"""`lethe bundle`: a whole run in one file that `lethe run`, or another server, repeats."""

import hashlib
import tempfile
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from worker.contract.bundle import Edit, result_files, write_bundle
from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.result import Result
from worker.contract.settings import settings
from worker.contract.spec import parse_spec


def bundle(
    run: Annotated[str, typer.Argument(help="A run's id on this server, or a run's folder.")],
    out: Annotated[Path, typer.Option(help="The zip file to write.")],
    facts: Annotated[
        Path | None, typer.Option(help="The file with the facts that a folder's run was given.")
    ] = None,
) -> None:
    """Write a finished run with its spec, facts, mask, edits and result as one zip file."""
    if out.exists():
        raise UserError(f"{str(out)!r} exists; expected the name of a new file.", field="out")
    part = out.with_name(f".{out.name}.part")
    try:
        with part.open("wb") as file:
            if Path(run).is_dir():
                _from_folder(Path(run), facts, file, out.name)
            else:
                _from_store(run, file)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.3g} MB; repeat it with `lethe run {out}`")


def _from_store(run_id: str, file: IO[bytes]) -> None:
    from worker.engine.bundle import bundle_run
    from worker.store.store import Store

    store = Store.open(settings())
    try:
        bundle_run(run_id, store, file)
    finally:
        store.close()


def _from_folder(folder: Path, facts: Path | None, file: IO[bytes], name: str) -> None:
    """Bundle the folder of a `lethe run`: the folders that its spec names become plain ids."""
    from worker.cli.local import delta_paths, prepare, read_result

    recorded = read_result(folder)
    spec, inputs = prepare(recorded.spec, folder, [], facts)
    below = [(Path(path), read_result(Path(path))) for path in spec.edits]
    ids = {str(path): _id(delta_paths(path)[-1]) for path, _ in below}
    known = [_edit(ids[str(path)], result, ids) for path, result in below]
    data = _plain(recorded.spec, ids, inputs.mask)
    result = recorded.model_copy(
        update={
            "spec": data,
            "provenance": recorded.provenance.model_copy(update={"edits": tuple(ids.values())}),
        }
    )
    with tempfile.TemporaryDirectory(prefix="lethe-") as temporary:
        path = Path(temporary) / "result.json"
        path.write_text(result.model_dump_json(indent=1), encoding="utf-8")
        files = {"result.json": path} | {one: folder / one for one in result_files(recorded)}
        write_bundle(file, name, parse_spec(data), inputs, files, known)


def _edit(id: str, result: Result, ids: dict[str, str]) -> Edit:
    return Edit(id=id, spec=_plain(result.spec, ids, result.mask), result=result)


def _plain(spec: dict[str, Any], ids: dict[str, str], mask: Mask | None) -> dict[str, Any]:
    """A spec without this machine's folders."""
    plain = dict(spec)
    if isinstance(spec.get("model"), dict):
        edits = [ids.get(edit, Path(edit).name) for edit in spec["model"]["edits"]]
        plain["model"] = {"base": spec["model"]["base"], "edits": edits}
    if "mask" in spec and mask is not None:
        plain["mask"] = {"components": list(mask.components)}
    if spec.get("kind") == "export":
        plain["results"] = []
    return plain


def _id(delta: Path) -> str:
    """A name for an edit that is the same on every machine."""
    return hashlib.sha256(delta.read_bytes()).hexdigest()[:12]
