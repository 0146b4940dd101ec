import csv
import io

from fastapi import FastAPI

from app.pages.people.audit import PAGE
from tests.app.conftest import AskedEngine
from tests.app.people import browser


def test_admins_read_the_log_by_pages_and_by_person(shared: FastAPI, engine: AskedEngine) -> None:
    for number in range(PAGE + 1):
        engine.store.note("max", "queued a run", f"run-{number}.", "10.0.0.7")
    engine.store.note("mia", "deleted a run", "run-x.", "10.0.0.8")
    with browser(shared, engine.store, "ada") as client:
        first = client.get("/audit").text
        assert first.index("run-x.") < first.index("run-50.") and "run-1." not in first
        assert "run-1." in client.get(f"/audit?offset={PAGE}").text
        of_mia = client.get("/audit?person=mia").text
        assert "run-x." in of_mia and "run-50." not in of_mia


def test_the_log_is_a_table_that_no_spreadsheet_computes(
    shared: FastAPI, engine: AskedEngine
) -> None:
    engine.store.note("max", "renamed a run", "=1+1", "10.0.0.7")
    with browser(shared, engine.store, "ada") as client:
        answer = client.get("/audit.csv")
        assert "audit.csv" in answer.headers["content-disposition"]
        header, row = csv.reader(io.StringIO(answer.text))
        assert header == ["time", "person", "what", "about", "address"]
        assert row[1:] == ["max", "renamed a run", "'=1+1", "10.0.0.7"]
        assert row[0].endswith("+00:00")
        assert client.get("/audit.csv?person=mia").text.count("\n") == 1
