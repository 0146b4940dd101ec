"""A whole run in one zip file: its spec, what its names stood for, and what was measured.

`spec.json`; `inputs.json`, what a run is given besides its spec, in which every local path is the
name of a file under `files/`; `edits.json`, the runs that made the edits under the model, in order;
`result/result.json` and the files beside it; `README.txt`.
"""

import json
import re
import shutil
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter

from worker.contract.base import Contract
from worker.contract.errors import UserError
from worker.contract.inputs import Inputs
from worker.contract.result import Result, Table
from worker.contract.spec import Spec, parse_spec

MAX_BYTES = 64 * 2**30
"""Of everything in a bundle, unpacked."""
MAX_JSON = 64 * 2**20
"""Of one JSON file in a bundle, unpacked."""
MAX_FILES = 1_000
MAX_NAME = 300
"""Characters of a name in a bundle."""
README = """A Lethe run. Repeat it and compare it with the recorded numbers:

    lethe run {name} --out repeated

or bring it to a server's page Bundles.
"""
_PACKED = re.compile(r"files/\d+(\.[a-z]+)?")
_PLAIN = re.compile(r"\w[\w.-]*")


class Edit(Contract):
    """One edit under a bundle's model: the run that made it."""

    id: str
    title: str = ""
    spec: dict[str, Any]
    result: Result


class Bundle(Contract):
    """What a bundle holds, its files unpacked."""

    spec: Spec
    inputs: Inputs
    """Its paths are those of the unpacked files."""
    edits: tuple[Edit, ...]
    result: Result
    files: dict[str, str]
    """The result's files: name -> local path."""


_EDITS: TypeAdapter[tuple[Edit, ...]] = TypeAdapter(tuple[Edit, ...])


def write_bundle(
    file: IO[bytes],
    name: str,
    spec: Spec,
    inputs: Inputs,
    files: Mapping[str, Path],
    edits: Sequence[Edit] = (),
) -> None:
    """Write a bundle; `files` are the result's files (result.json among them) by name."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("README.txt", README.format(name=name))
        bundle.writestr("spec.json", spec.model_dump_json(indent=1))
        bundle.writestr("edits.json", _EDITS.dump_json(tuple(edits)))
        numbers: dict[str, str] = {}

        def pack(path: str) -> str:
            if path not in numbers:
                numbers[path] = f"files/{len(numbers)}{Path(path).suffix.lower()}"
                _add(bundle, Path(path), numbers[path])
            return numbers[path]

        data = inputs.model_dump(mode="json", exclude={"out", "batch_scale"})
        bundle.writestr("inputs.json", json.dumps(_renamed(data, pack)))
        for filename, path in files.items():
            _add(bundle, path, f"result/{filename}")


def read_bundle(
    path: Path, folder: Path, out: Path, max_bytes: int = MAX_BYTES
) -> tuple[Spec, Inputs, Result]:
    """Read what repeats a run, its inputs' files unpacked into `folder`.

    Raises UserError for what is no bundle, and for one of more than `max_bytes`.
    """
    found = open_bundle(path, folder, max_bytes, with_result=False)
    return found.spec, found.inputs.model_copy(update={"out": str(out)}), found.result


def open_bundle(
    path: Path, folder: Path, max_bytes: int = MAX_BYTES, with_result: bool = True
) -> Bundle:
    """Read a bundle, its files unpacked into `folder`; raise UserError for what is none."""
    try:
        with zipfile.ZipFile(path) as bundle:
            _check(bundle, max_bytes)
            folder.mkdir(parents=True, exist_ok=True)
            result = Result.model_validate_json(bundle.read("result/result.json"))
            found = Bundle(
                spec=parse_spec(json.loads(bundle.read("spec.json"))),
                inputs=_inputs(bundle, folder),
                edits=_EDITS.validate_json(bundle.read("edits.json")),
                result=result,
                files=_result_files(bundle, folder, result) if with_result else {},
            )
            _check_names(found)
            return found
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RecursionError,
        RuntimeError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
        EOFError,
    ) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path.name!r} is no bundle of a run: {first[:200]}. Expected the zip file that "
            f"`lethe bundle` or a run's page gives.",
            field="bundle",
        ) from None


def result_files(result: Result) -> list[str]:
    """The names of the files beside a result's result.json that a bundle carries: its arrays and
    delta. An exported model is what repeating the run makes, and far larger than the rest."""
    names = {info.file for info in result.arrays.values()}
    names |= {name for what, name in result.files.items() if what != "model"}
    return sorted(names)


def _check(bundle: zipfile.ZipFile, max_bytes: int) -> None:
    """Refuse a bundle that unpacks to too much; names are never used as paths."""
    infos = bundle.infolist()
    total = sum(info.file_size for info in infos)
    if len(infos) > MAX_FILES or total > max_bytes:
        raise ValueError(
            f"it holds {len(infos)} files of {total:,} bytes; expected at most {MAX_FILES} of "
            f"{max_bytes:,}"
        )
    for info in infos:
        if info.filename.endswith(".json") and info.file_size > MAX_JSON:
            raise ValueError(f"{info.filename[:80]} has {info.file_size:,} bytes")


def _check_names(found: Bundle) -> None:
    """Refuse names that no header, log or address can hold, and tables that are no tables."""
    names = [("the base model", found.spec.base)]
    if found.inputs.fact_set is not None:
        facts = found.inputs.fact_set
        names += [("the fact set", facts.name), *(("a split", name) for name in facts.splits)]
    for edit in found.edits:
        names += [("an edit", edit.id), ("an edit's title", edit.title or "-")]
    for result in (found.result, *(edit.result for edit in found.edits)):
        names += _names_of(result)
        for table in _tables_of(result):
            if any(len(row) != len(table.columns) for row in table.rows):
                raise ValueError(f"the table {table.title[:40]!r} has rows of another length")
    for what, name in names:
        if not name or len(name) > MAX_NAME or not is_plain(name):
            raise ValueError(
                f"{what} has the name {name[:40]!r}; expected 1 to {MAX_NAME} characters, none of "
                f"them a control character"
            )


def is_plain(name: str) -> bool:
    """Whether a name holds no control character, no end of a line and no half of a character."""
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)


def _names_of(result: Result) -> Iterator[tuple[str, str]]:
    for name, info in result.arrays.items():
        yield "an array", name
        yield from (("an axis", axis.name) for axis in info.axes)
    for what, named in (
        ("a table", result.tables),
        ("an evaluation", result.evaluations),
        ("a number", result.summary),
        ("a file", result.files),
    ):
        yield from ((what, name) for name in named)
    for evaluation in result.evaluations.values():
        yield from (("a table", name) for name in evaluation.tables)
    if result.mask is not None:
        yield from (("a component", name) for name in result.mask.components)


def _tables_of(result: Result) -> Iterator[Table]:
    yield from result.tables.values()
    for evaluation in result.evaluations.values():
        yield from evaluation.tables.values()
        if evaluation.facts is not None:
            yield evaluation.facts


def _inputs(bundle: zipfile.ZipFile, folder: Path) -> Inputs:
    data = json.loads(bundle.read("inputs.json"))
    if not isinstance(data, dict):
        raise ValueError("inputs.json holds no JSON object")

    def unpack(name: str) -> str:
        if not _PACKED.fullmatch(name):
            raise ValueError(f"inputs.json names {name[:80]!r}, which is no packed file")
        return str(_unpack(bundle, name, folder / name.replace("/", "-")))

    return Inputs.model_validate({**_renamed(data, unpack), "out": ""})


def _result_files(bundle: zipfile.ZipFile, folder: Path, result: Result) -> dict[str, str]:
    names = result_files(result)
    if odd := [name for name in names if not _PLAIN.fullmatch(name)]:
        raise ValueError(f"the result names {odd[0][:80]!r}, which is no plain file name")
    return {
        name: str(_unpack(bundle, f"result/{name}", folder / f"result-{name}")) for name in names
    }


def _unpack(bundle: zipfile.ZipFile, name: str, target: Path) -> Path:
    with bundle.open(name) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file, 2**20)
    return target


def _add(bundle: zipfile.ZipFile, path: Path, name: str) -> None:
    """Pack a file; weights and packed arrays are stored, since they do not shrink."""
    stored = path.suffix in (".safetensors", ".npz")
    bundle.write(path, name, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)


def _renamed(data: dict[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """Inputs as JSON with every local path renamed: its deltas and texts, and the deltas of the
    edits that its options name."""
    found = dict(data)
    if "deltas" in data:
        found["deltas"] = [rename(str(path)) for path in data["deltas"]]
    if "texts" in data:
        found["texts"] = {name: rename(str(path)) for name, path in data["texts"].items()}
    if "stacked" in data:
        found["stacked"] = {name: _renamed(one, rename) for name, one in data["stacked"].items()}
    return found
