"""A study in one process: its children are found again, and what was cut off is computed anew."""

from pathlib import Path

import pytest

from worker import local_study
from worker.contract.errors import Diverged
from worker.contract.result import Provenance, Result
from worker.contract.spec import LocalizeSpec

SPEC = LocalizeSpec.model_validate(
    {"facts": {"set": "athletes", "forget": "first:2"}, "method": "fact_lookup"}
)


@pytest.fixture
def computed(monkeypatch) -> list[Path]:
    """Folders in which a child was computed; computing is replaced by writing a result."""
    folders: list[Path] = []

    def run(spec, inputs, report, models):
        made = Provenance(
            model="demo", weights_hash="h", seed=0, device="cpu", dtype="float32", versions={}
        )
        found = Result(kind="localize", spec={}, provenance=made, seconds=1, peak_memory_bytes=1)
        out = Path(inputs.out)
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").write_text(found.model_dump_json())
        folders.append(out)
        return found

    monkeypatch.setattr(local_study, "run", run)
    return folders


def test_a_finished_child_is_read_and_not_computed_again(tmp_path, computed) -> None:
    first = local_study._child(SPEC, tmp_path, None, None)
    again = local_study._child(SPEC, tmp_path, None, None)
    assert len(computed) == 1 and first.handle == again.handle
    assert again.result is not None and again.result.kind == "localize"


def test_a_result_that_was_cut_off_is_computed_again(tmp_path, computed) -> None:
    local_study._child(SPEC, tmp_path, None, None)
    path = computed[0] / "result.json"
    path.write_text(path.read_text()[:40])
    assert local_study._child(SPEC, tmp_path, None, None).result is not None
    assert len(computed) == 2


def test_a_child_that_fails_gives_its_reason(tmp_path, monkeypatch) -> None:
    def run(*args):
        raise Diverged("the loss is NaN")

    monkeypatch.setattr(local_study, "run", run)
    child = local_study._child(SPEC, tmp_path, None, None)
    assert child.result is None and child.reason == "the loss is NaN"
