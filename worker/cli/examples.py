"""`python -m worker.cli.examples FOLDER WORK`: compute and pack the runs that ship with Lethe.

Runs that are finished in the folder WORK are not computed again.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

from worker.cli.local import prepare
from worker.contract.bundle import result_files
from worker.contract.progress import Quiet
from worker.contract.result import Result
from worker.contract.settings import settings
from worker.contract.spec import parse_spec
from worker.engine.examples import EXAMPLES, Recorded, named
from worker.run import open_models, run

_WHEN = (1980, 1, 1, 0, 0, 0)
"""Of every file in a zip: the same runs give the same bytes."""


def make(out: Path, work: Path) -> None:
    """Compute every example in this process, in order, and write `NAME.zip` for each."""
    models = open_models(settings())
    ids: dict[str, str] = {}
    out.mkdir(parents=True, exist_ok=True)
    folders = {name: str(work.resolve() / name) for name in EXAMPLES}
    for name, example in EXAMPLES.items():
        folder = Path(folders[name])
        if not (folder / "result.json").exists():
            spec, inputs = prepare(named(example.spec, folders), folder, [])
            run(spec, inputs, Quiet(lambda event: None), models)
        text = (folder / "result.json").read_text(encoding="utf-8")
        for other, id in ids.items():
            text = text.replace(folders[other], id)
        ids[name] = hashlib.sha256(text.encode()).hexdigest()[:12]
        data = parse_spec(named(example.spec, ids)).model_dump(mode="json")
        size = _pack(out / f"{name}.zip", folder, text, ids[name], data)
        print(f"{name}: {size / 1e3:.0f} kB", file=sys.stderr)


def _pack(path: Path, folder: Path, text: str, id: str, spec: dict[str, object]) -> int:
    """Write one run as a zip file; its size in bytes."""
    result = Result.model_validate_json(text)
    record = Recorded(
        id=id,
        spec=spec,
        weights_hash=result.provenance.weights_hash,
        caption=result.caption,
        seconds=result.seconds,
    )
    files = {"record.json": json.dumps(record.model_dump(), indent=1).encode()}
    files["result.json"] = json.dumps(json.loads(text)).encode()
    files |= {name: (folder / name).read_bytes() for name in result_files(result)}
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(zipfile.ZipInfo(name, _WHEN), content, zipfile.ZIP_DEFLATED, 9)
    return path.stat().st_size


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
