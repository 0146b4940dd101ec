"""What is taken along in files: no cell is a formula, no name ends a header."""

import csv
import io
from collections.abc import Callable
from types import ModuleType
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from app.csv_text import inert
from app.drawing.drawing import Source
from worker.contract.mask import Mask
from worker.contract.result import Axis, LeftOut, Table
from worker.engine.client import Engine

EVIL = '=HYPERLINK("http://evil.example";"x")'


def no_formula(text: str) -> None:
    rows = list(csv.reader(io.StringIO(text, newline="")))
    cells = [cell for row in rows for cell in row]
    assert any("=HYPERLINK" in cell for cell in cells), "the name is not in this export"
    assert [cell for cell in cells if cell and inert(cell) != cell] == []


@pytest.fixture
def hostile(put: Callable[[str, Source], str], made: ModuleType) -> str:
    """A finished localization in which everything that a user can name is a formula."""
    source = made.localization_source()
    result = source.result
    arrays = {
        name: info.model_copy(
            update={
                "axes": tuple(
                    Axis(name=axis.name, labels=axis.labels and tuple(EVIL for _ in axis.labels))
                    for axis in info.axes
                )
            }
        )
        for name, info in result.arrays.items()
    }
    table = Table(title=EVIL, columns=(EVIL, "number"), rows=((EVIL, -1.5), ("x", None)))
    changed = result.model_copy(
        update={
            "arrays": arrays,
            "tables": {"own": table},
            "left_out": (LeftOut(id=EVIL, reason=f"it is {EVIL}"),),
            "mask": Mask(components=(EVIL,), n_parameters=1),
            "summary": {EVIL: EVIL},
        }
    )
    return put("localize", Source(changed, source.open))


def test_no_cell_of_any_table_of_a_run_is_a_formula(client: TestClient, hostile: str) -> None:
    for name in ("own", "left_out", "mask", "numbers"):
        no_formula(client.get(f"/api/runs/{hostile}/tables/{name}?format=csv").text)


def test_no_label_of_any_array_is_a_formula(
    client: TestClient, hostile: str, engine: Engine
) -> None:
    result = engine.store.result(hostile)
    assert result is not None
    labelled = [n for n, a in result.arrays.items() if any(axis.labels for axis in a.axes)]
    assert labelled
    for name in labelled:
        no_formula(client.get(f"/api/runs/{hostile}/arrays/{name}?format=csv").text)


def test_no_name_of_a_mask_is_a_formula_in_the_overlap(client: TestClient, engine: Engine) -> None:
    for name in (EVIL, f"@{EVIL}"):
        mask = Mask(components=("blocks.1.mlp",), n_parameters=100)
        engine.store.save_mask(name, "demo", mask)
    no_formula(client.get("/masks/overlap.csv").text)


def test_no_title_of_a_run_is_a_formula_in_a_comparison(
    client: TestClient, put: Callable[[str, Source], str], made: ModuleType, engine: Engine
) -> None:
    run_id = put("localize", made.localization_source())
    engine.store.update_run(run_id, title=EVIL)
    no_formula(client.get(f"/compare/figures/components.csv?run={run_id}").text)


def test_no_refused_row_is_a_formula(client: TestClient) -> None:
    data = f'subject,prompt,target\nAnn,{{}} is,x\n"{EVIL.replace(chr(34), chr(34) * 2)}",,\n'
    upload = client.post("/facts/upload", files={"file": ("a.csv", data.encode())}).url.path
    no_formula(client.get(f"{upload}/refused.csv").text)


def test_a_name_of_an_array_ends_no_header(
    client: TestClient, put: Callable[[str, Source], str], made: ModuleType
) -> None:
    """A name as no run writes it: it came in a bundle, before bundles were looked at so closely."""
    source = made.localization_source()
    name = 'a"; x=\r\nX-Evil: 1'
    info = source.result.arrays["components"]
    changed = source.result.model_copy(update={"arrays": {name: info}})
    run_id = put("localize", Source(changed, source.open))
    answer = client.get(f"/api/runs/{run_id}/tables/numbers?format=csv")
    assert answer.headers["content-disposition"].count('"') == 2
    for format in ("csv", "json", "npz"):
        answer = client.get(f"/api/runs/{run_id}/arrays/{quote(name)}?format={format}")
        assert "x-evil" not in answer.headers
        assert "\r" not in answer.headers.get("content-disposition", "")
