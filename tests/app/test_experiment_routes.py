from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.testclient import TestClient

from app.experiment import Typed
from app.experiment_routes import LONGEST_ADDRESS, address


def test_an_address_names_every_field_that_is_filled() -> None:
    form = Typed({"model": "demo", "facts.ids": "a,b", "csrf": "x", "seed": ""})
    assert parse_qsl(urlsplit(address("/localize", form)).query) == [
        ("model", "demo"),
        ("facts.ids", "a,b"),
    ]


@pytest.mark.parametrize("long", ["fact-1," * 3000, "é" * 3000])
def test_what_is_too_long_for_an_address_is_left_out(long: str) -> None:
    form = Typed({"model": "demo", "facts.ids": long, "seed": "3"})
    assert address("/localize", form) == "/localize?model=demo&seed=3"
    many = Typed({f"field-{n}": "x" * 90 for n in range(200)})
    assert len(address("/localize", many)) <= LONGEST_ADDRESS


def test_a_form_with_a_long_list_is_drawn_with_a_short_address(client: TestClient) -> None:
    listed = ",".join(f"fact-{n}" for n in range(20_000))
    form = {"facts.set": "sports", "facts.how": "ids", "facts.ids": listed}
    answer = client.post("/localize/form", data=form)
    assert answer.status_code == 200
    assert len(answer.headers["hx-replace-url"]) <= LONGEST_ADDRESS
    assert "facts.set=sports" in answer.headers["hx-replace-url"]
