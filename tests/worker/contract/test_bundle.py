import io
import json
import zipfile
from pathlib import Path

import pytest

from worker.contract.bundle import (
    Edit,
    is_plain,
    open_bundle,
    read_bundle,
    result_files,
    write_bundle,
)
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs, StackedEdit
from worker.contract.mask import Mask
from worker.contract.result import ArrayInfo, Axis, Evaluation, Provenance, Result, Table
from worker.contract.spec import parse_spec

UNLEARN = {
    "kind": "unlearn",
    "facts": {"set": "s", "forget": "first:1"},
    "mask": {"localization": "run", "rule": {"top": 1}},
}
SPEC = parse_spec({**UNLEARN, "model": {"base": "demo", "edits": ["earlier"]}})
FACTS = FactSet(name="s", facts=(Fact(id="a", subject="A", prompt="{} is", target="x"),))
PROVENANCE = Provenance(
    model="demo", weights_hash="h", seed=0, device="cpu", dtype="float32", versions={}
)


def result(**more: object) -> Result:
    return Result(
        kind="unlearn",
        spec={},
        provenance=PROVENANCE,
        seconds=1,
        peak_memory_bytes=1,
        **{"summary": {"loss": 0.5}, **more},
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    delta, recorded, arrays = tmp_path / "d.safetensors", tmp_path / "r", tmp_path / "arrays.npz"
    delta.write_bytes(b"delta")
    arrays.write_bytes(b"arrays")
    info = ArrayInfo(file="arrays.npz", axes=(), unit="")
    recorded.write_text(result(arrays={"loss": info}).model_dump_json())
    mask = Mask(components=("blocks.1.mlp",), n_parameters=3)
    inputs = Inputs(out="", fact_set=FACTS, mask=mask, deltas=(str(delta),))
    edit = Edit(id="earlier", title="Earlier", spec=UNLEARN, result=result())
    files = {"result.json": recorded, "arrays.npz": arrays}
    with (tmp_path / "b.zip").open("wb") as file:
        write_bundle(file, "b.zip", SPEC, inputs, files, [edit])
    return tmp_path / "b.zip"


def change(bundle: Path, name: str, text: str) -> None:
    """Replace one file of a bundle."""
    with zipfile.ZipFile(bundle) as packed:
        kept = {info.filename: packed.read(info) for info in packed.infolist()}
    with zipfile.ZipFile(bundle, "w") as packed:
        for one, data in (kept | {name: text.encode()}).items():
            packed.writestr(one, data)


def test_a_bundle_gives_back_what_was_put_in(bundle: Path, tmp_path: Path) -> None:
    spec, inputs, recorded = read_bundle(bundle, tmp_path / "in", tmp_path / "out")
    assert spec == SPEC
    assert inputs.out == str(tmp_path / "out")
    assert inputs.fact_set == FACTS
    assert inputs.mask is not None and inputs.mask.components == ("blocks.1.mlp",)
    assert Path(inputs.deltas[0]).read_bytes() == b"delta"
    assert recorded.summary == {"loss": 0.5}


def test_a_bundle_gives_the_results_files_and_the_runs_under_the_model(
    bundle: Path, tmp_path: Path
) -> None:
    found = open_bundle(bundle, tmp_path / "in")
    assert Path(found.files["arrays.npz"]).read_bytes() == b"arrays"
    assert [(edit.id, edit.title) for edit in found.edits] == [("earlier", "Earlier")]


def test_a_bundle_names_no_folder_of_the_machine_that_made_it(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as packed:
        text = b"".join(packed.read(name) for name in packed.namelist() if name.endswith(".json"))
    assert str(tmp_path).encode() not in text


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
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["files-0.safetensors"]
    assert not (tmp_path.parent / "escaped").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("inputs.json", '{"deltas": ["/etc/passwd"]}', "no packed file"),
        ("inputs.json", '{"deltas": ["files/../../x"]}', "no packed file"),
        ("inputs.json", '{"deltas": ["files/9"]}', "no item named"),
        ("inputs.json", '{"strange": 1}', "no bundle"),
        ("inputs.json", "[]", "no JSON object"),
        ("inputs.json", "[" * 100_000, "no bundle"),
        ("edits.json", "{}", "no bundle"),
        ("spec.json", '{"kind": "unlearn"}', "missing"),
        ("result/result.json", "null", "no bundle"),
    ],
)
def test_a_bundle_that_was_tampered_with_is_refused_in_words(
    bundle: Path, tmp_path: Path, name: str, text: str, words: str
) -> None:
    change(bundle, name, text)
    with pytest.raises(UserError, match=words):
        open_bundle(bundle, tmp_path / "in")


def test_a_results_file_with_a_path_for_a_name_is_refused(bundle: Path, tmp_path: Path) -> None:
    info = ArrayInfo(file="../arrays.npz", axes=(), unit="")
    change(bundle, "result/result.json", result(arrays={"loss": info}).model_dump_json())
    with pytest.raises(UserError, match="no plain file name"):
        open_bundle(bundle, tmp_path / "in")


def test_a_bundle_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(bundle, "bomb", "0" * 1_000_000)
    with pytest.raises(UserError, match="expected at most"):
        open_bundle(bundle, tmp_path / "in", max_bytes=100_000)
    monkeypatch.setattr("worker.contract.bundle.MAX_JSON", 70_000)
    change(bundle, "spec.json", json.dumps({"kind": "x" * 70_000}))
    with pytest.raises(UserError, match=r"spec\.json has"):
        open_bundle(bundle, tmp_path / "in")
    assert not (tmp_path / "in").exists()


def renamed(bundle: Path, name: str) -> None:
    """Give the bundle's array, and its key in the file's description, another name."""
    info = ArrayInfo(file="arrays.npz", axes=(Axis(name="fact"),), unit="")
    change(bundle, "result/result.json", result(arrays={name: info}).model_dump_json())


@pytest.mark.parametrize(
    "name", ["", 'x"\r\nSet-Cookie: a=b', "a\x00b", "x\u2028y", "x\x85", "long" * 100]
)
def test_a_name_that_no_header_can_hold_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    renamed(bundle, name)
    with pytest.raises(UserError, match=r"an array has the name .* expected 1 to 300 characters"):
        open_bundle(bundle, tmp_path / "in")


@pytest.mark.parametrize("name", ["grid.mlp", "São\u00a0Tomé", "a b 'c'", "知識"])
def test_a_name_in_any_script_is_taken(bundle: Path, tmp_path: Path, name: str) -> None:
    renamed(bundle, name)
    assert list(open_bundle(bundle, tmp_path / "in").result.arrays) == [name]


def test_names_of_facts_edits_tables_and_axes_are_looked_at_too(
    bundle: Path, tmp_path: Path
) -> None:
    bad = "a\nb"
    table = Table(columns=("x",), rows=())
    axis = ArrayInfo(file="arrays.npz", axes=(Axis(name=bad),), unit="")
    found = open_bundle(bundle, tmp_path / "in")
    edit = found.edits[0].model_copy(update={"title": bad})
    wrong = {
        "a table": ("result/result.json", result(tables={bad: table}).model_dump_json()),
        "a number": ("result/result.json", result(summary={bad: 1}).model_dump_json()),
        "a component": (
            "result/result.json",
            result(mask=Mask(components=(bad,), n_parameters=1)).model_dump_json(),
        ),
        "an axis": ("result/result.json", result(arrays={"a": axis}).model_dump_json()),
        "an edit's title": ("edits.json", f"[{edit.model_dump_json()}]"),
    }
    kept = bundle.read_bytes()
    for number, (what, (name, text)) in enumerate(wrong.items()):
        bundle.write_bytes(kept)
        change(bundle, name, text)
        with pytest.raises(UserError, match=f"{what} has the name"):
            open_bundle(bundle, tmp_path / f"in{number}")


def test_a_table_whose_rows_have_another_length_is_refused(bundle: Path, tmp_path: Path) -> None:
    table = Table(title="Numbers", columns=("a", "b"), rows=((1, 2), (3,)))
    change(bundle, "result/result.json", result(tables={"t": table}).model_dump_json())
    with pytest.raises(UserError, match="'Numbers' has rows of another length"):
        open_bundle(bundle, tmp_path / "in")


def test_every_path_among_the_inputs_is_packed_once_and_found_again(tmp_path: Path) -> None:
    one, other, recorded = tmp_path / "One.SAFETENSORS", tmp_path / "t.txt", tmp_path / "r"
    one.write_bytes(b"one")
    other.write_text("words")
    recorded.write_text(result().model_dump_json())
    stacked = {"e": StackedEdit(deltas=(str(one),))}
    inputs = Inputs(out="", deltas=(str(one),), texts={"mine": str(other)}, stacked=stacked)
    with (tmp_path / "b.zip").open("wb") as file:
        write_bundle(file, "my run", SPEC, inputs, {"result.json": recorded})
    with zipfile.ZipFile(tmp_path / "b.zip") as packed:
        assert sorted(packed.namelist()) == [
            "README.txt",
            "edits.json",
            "files/0.safetensors",
            "files/1.txt",
            "inputs.json",
            "result/result.json",
            "spec.json",
        ]
        assert "lethe run my run --out repeated" in packed.read("README.txt").decode()
        said = json.loads(packed.read("inputs.json"))
    assert "out" not in said and "batch_scale" not in said
    found = open_bundle(tmp_path / "b.zip", tmp_path / "in")
    assert Path(found.inputs.texts["mine"]).read_text() == "words"
    assert found.inputs.deltas == found.inputs.stacked["e"].deltas
    assert (found.inputs.out, found.edits, found.files) == ("", (), {})


def test_weights_and_arrays_are_stored_as_they_are(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as packed:
        how = {info.filename: info.compress_type for info in packed.infolist()}
    assert how["files/0.safetensors"] == how["result/arrays.npz"] == zipfile.ZIP_STORED
    assert how["spec.json"] == how["result/result.json"] == zipfile.ZIP_DEFLATED


def test_a_bundle_may_be_as_large_as_is_allowed(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle) as packed:
        total = sum(info.file_size for info in packed.infolist())
    assert open_bundle(bundle, tmp_path / "in", max_bytes=total)
    with pytest.raises(UserError, match=f"{total:,} bytes; expected at most") as caught:
        open_bundle(bundle, tmp_path / "in", max_bytes=total - 1)
    assert caught.value.problems[0][0] == "bundle"


def test_an_exported_model_does_not_travel_with_its_run() -> None:
    info = ArrayInfo(file="arrays.npz", axes=(), unit="")
    files = {"model": "model.zip", "delta": "delta.safetensors"}
    made = result(arrays={"a": info, "b": info}, files=files)
    assert result_files(made) == ["arrays.npz", "delta.safetensors"]
    assert is_plain("a b é") and not is_plain("a\tb")


def test_tables_of_evaluations_are_looked_at_too(bundle: Path, tmp_path: Path) -> None:
    ragged = Table(title="Facts", columns=("a",), rows=((1, 2),))
    for number, fields in enumerate(({"facts": ragged}, {"tables": {"t": ragged}})):
        made = Evaluation(name="e", title="E", caption="", aggregates=(), **fields)
        change(bundle, "result/result.json", result(evaluations={"e": made}).model_dump_json())
        with pytest.raises(UserError, match="'Facts' has rows of another length"):
            open_bundle(bundle, tmp_path / f"in{number}")
