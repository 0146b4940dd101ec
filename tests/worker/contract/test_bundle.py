import io
import zipfile
from pathlib import Path

import pytest

from worker.contract.bundle import differences, read_bundle, write_bundle
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.result import Provenance, Result
from worker.contract.spec import parse_spec

SPEC = parse_spec(
    {
        "kind": "unlearn",
        "model": {"base": "demo", "edits": ["earlier"]},
        "facts": {"set": "s", "forget": "first:1"},
        "mask": {"localization": "run", "rule": {"top": 1}},
    }
)
FACTS = FactSet(name="s", facts=(Fact(id="a", subject="A", prompt="{} is", target="x"),))
PROVENANCE = Provenance(
    model="demo", weights_hash="h", seed=0, device="cpu", dtype="float32", versions={}
)


def result(**summary: float) -> Result:
    return Result(
        kind="unlearn",
        spec={},
        provenance=PROVENANCE,
        seconds=1,
        peak_memory_bytes=1,
        summary=summary,
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    delta, recorded = tmp_path / "d", tmp_path / "r"
    delta.write_bytes(b"delta")
    recorded.write_text(result(loss=0.5).model_dump_json())
    mask = Mask(components=("blocks.1.mlp",), n_parameters=3)
    inputs = Inputs(out="", fact_set=FACTS, mask=mask, deltas=(str(delta),))
    with (tmp_path / "b.zip").open("wb") as file:
        write_bundle(file, "b.zip", SPEC, inputs, {"result.json": recorded})
    return tmp_path / "b.zip"


def test_a_bundle_gives_back_what_was_put_in(bundle: Path, tmp_path: Path) -> None:
    spec, inputs, recorded = read_bundle(bundle, tmp_path / "in", tmp_path / "out")
    assert spec == SPEC
    assert inputs.fact_set == FACTS
    assert inputs.mask is not None and inputs.mask.components == ("blocks.1.mlp",)
    assert Path(inputs.deltas[0]).read_bytes() == b"delta"
    assert recorded.summary == {"loss": 0.5}


@pytest.mark.parametrize("size", [0, 10, 200, 600])
def test_a_truncated_bundle_is_refused_in_words(bundle: Path, tmp_path: Path, size: int) -> None:
    bundle.write_bytes(bundle.read_bytes()[:size])
    with pytest.raises(UserError, match="no bundle of a run"):
        read_bundle(bundle, tmp_path / "in", tmp_path / "out")


def test_names_in_a_bundle_are_never_used_as_paths(bundle: Path, tmp_path: Path) -> None:
    packed = io.BytesIO(bundle.read_bytes())
    with zipfile.ZipFile(packed, "a") as file:
        file.writestr("../../escaped", "x")
    bundle.write_bytes(packed.getvalue())
    read_bundle(bundle, tmp_path / "in", tmp_path / "out")
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["delta-0.safetensors"]
    assert not (tmp_path.parent / "escaped").exists()


def test_differences_are_named_with_both_numbers() -> None:
    assert differences(result(loss=0.5), result(loss=0.500001)) == []
    assert differences(result(loss=0.5), result(loss=0.6)) == ["loss: recorded 0.5, repeated 0.6"]
    assert differences(result(loss=0.5), result()) == ["loss: recorded 0.5, repeated None"]
