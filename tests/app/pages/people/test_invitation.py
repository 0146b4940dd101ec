from fastapi import FastAPI

from tests.app.conftest import AskedEngine
from tests.app.people import GOOD, browser


def test_who_has_the_link_makes_an_account_and_is_signed_in(
    shared: FastAPI, engine: AskedEngine
) -> None:
    secret = engine.store.invite("member", 60, "ada")
    address = f"/invitation/{secret}"
    with browser(shared, engine.store) as client:
        page = client.get(address)
        assert page.status_code == 200 and "as member" in page.text
        done = client.post(address, data={"name": "Eva", "password": GOOD, "again": GOOD})
        assert done.url.path == "/" and ">eva</a>, member" in done.text
        assert client.get(address).status_code == 404
    (signed,) = engine.store.sign_ins("eva")
    assert signed.address == "testclient"


def test_what_is_wrong_stands_beside_its_field_and_the_link_still_holds(
    shared: FastAPI, engine: AskedEngine
) -> None:
    secret = engine.store.invite("member", 60, "ada")
    address = f"/invitation/{secret}"
    with browser(shared, engine.store) as client:
        for form, field, words in (
            ({"name": "max", "password": GOOD, "again": GOOD}, "name", "already"),
            ({"name": "E V", "password": GOOD, "again": GOOD}, "name", "no name for a person"),
            ({"name": "eva", "password": "short", "again": "short"}, "password", "5 characters"),
            ({"name": "eva", "password": GOOD, "again": "x"}, "again", "differ"),
        ):
            refused = client.post(address, data=form)
            assert refused.status_code == 422
            assert f'id="f-{field}-error"' in refused.text and words in refused.text
        guessed = client.post("/invitation/guessed", data={"again": GOOD, "password": GOOD})
        assert guessed.status_code == 404
        assert client.get("/invitation/guessed").status_code == 404
    assert len(engine.store.people()) == 4 and len(engine.store.invitations()) == 1
