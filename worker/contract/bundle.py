"""A whole run in one zip file: its spec, what its names stood for, and what was measured.

`spec.json`, `fact_set.json` and `mask.json` (where the run has them), `delta-0.safetensors` … (the
edits under the model, in order), `result/result.json` and the files beside it, `README.txt`.
"""

import json
import zipfile
from pathlib import Path
from typing import IO

from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.result import Result
from worker.contract.spec import Spec, parse_spec

MAX_BYTES = 64 * 2**30
MAX_FILES = 1_000
README = """A Lethe run. Repeat it and compare it with the recorded numbers:

    lethe run {name} --out repeated
"""


def write_bundle(
    file: IO[bytes], name: str, spec: Spec, inputs: Inputs, files: dict[str, Path]
) -> None:
    """Write a bundle; `files` are the result's files (result.json among them) by name."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("README.txt", README.format(name=name))
        bundle.writestr("spec.json", spec.model_dump_json(indent=1))
        if inputs.fact_set is not None:
            bundle.writestr("fact_set.json", inputs.fact_set.model_dump_json())
        if inputs.mask is not None:
            bundle.writestr("mask.json", inputs.mask.model_dump_json(indent=1))
        for number, delta in enumerate(inputs.deltas):
            bundle.write(delta, f"delta-{number}.safetensors")
        for filename, path in files.items():
            bundle.write(path, f"result/{filename}")


def read_bundle(path: Path, folder: Path, out: Path) -> tuple[Spec, Inputs, Result]:
    """Read a bundle, its deltas unpacked into `folder`; raise UserError for what is none."""
    try:
        with zipfile.ZipFile(path) as bundle:
            _check(bundle, path)
            spec = parse_spec(json.loads(bundle.read("spec.json")))
            names = set(bundle.namelist())
            facts = bundle.read("fact_set.json") if "fact_set.json" in names else None
            mask = bundle.read("mask.json") if "mask.json" in names else None
            inputs = Inputs(
                out=str(out),
                fact_set=FactSet.model_validate_json(facts) if facts else None,
                mask=Mask.model_validate_json(mask) if mask else None,
                deltas=tuple(_unpack(bundle, folder, len(spec.edits))),
            )
            return spec, inputs, Result.model_validate_json(bundle.read("result/result.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"{path.name!r} is no bundle of a run: {str(error).splitlines()[0][:200]}.",
            field="bundle",
        ) from None


def differences(recorded: Result, repeated: Result, tolerance: float = 1e-4) -> list[str]:
    """Say in words where two results' summaries differ by more than `tolerance`."""
    found = []
    for name, value in recorded.summary.items():
        now = repeated.summary.get(name)
        if isinstance(value, float) and isinstance(now, (int, float)):
            if abs(value - now) > tolerance * max(1.0, abs(value)):
                found.append(f"{name}: recorded {value:.6g}, repeated {now:.6g}")
        elif value != now and "seconds" not in name:
            found.append(f"{name}: recorded {value!r}, repeated {now!r}")
    if recorded.provenance.weights_hash != repeated.provenance.weights_hash:
        found.append("the base model's weights are other ones")
    return found


def _check(bundle: zipfile.ZipFile, path: Path) -> None:
    """Refuse a bundle that unpacks to too much; names are never used as paths."""
    infos = bundle.infolist()
    if len(infos) > MAX_FILES or sum(info.file_size for info in infos) > MAX_BYTES:
        raise ValueError(f"it holds {len(infos)} files of {sum(i.file_size for i in infos)} bytes")
    for small in ("spec.json", "fact_set.json", "mask.json", "result/result.json"):
        sizes = [info.file_size for info in infos if info.filename == small]
        if sizes and sizes[0] > 500_000_000:
            raise ValueError(f"{small} has {sizes[0]:,} bytes")


def _unpack(bundle: zipfile.ZipFile, folder: Path, n_deltas: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(n_deltas):
        target = folder / f"delta-{number}.safetensors"
        with bundle.open(target.name) as packed, target.open("wb") as file:
            while block := packed.read(2**20):
                file.write(block)
        paths.append(str(target))
    return paths
