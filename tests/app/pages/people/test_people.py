import re

from fastapi import FastAPI

from tests.app.conftest import AskedEngine
from tests.app.people import browser


def test_an_admin_invites_and_withdraws(shared: FastAPI, engine: AskedEngine) -> None:
    with browser(shared, engine.store, "ada") as client:
        page = client.post("/people/invitations", data={"role": "viewer"})
        (secret,) = re.findall(r"http://127\.0\.0\.1/invitation/([\w-]+)", page.text)
        found = engine.store.invitation(secret)
        assert (found.role, found.made_by) == ("viewer", "ada")
        assert secret not in client.get("/people").text
        assert client.post("/people/invitations", data={"role": "owner"}).status_code == 422
        client.post(f"/people/invitations/{found.id}/withdraw")
        assert engine.store.invitations() == []


def test_an_admin_gives_roles_and_shuts_people_out(shared: FastAPI, engine: AskedEngine) -> None:
    with browser(shared, engine.store, "ada") as client:
        client.post("/people/max/role", data={"role": "viewer"})
        client.post("/people/mia/disable")
        page = client.get("/people").text
        assert engine.store.person("max").role == "viewer" and "shut out" in page
        assert engine.store.person("mia").disabled
        client.post("/people/mia/enable")
        assert not engine.store.person("mia").disabled
        assert client.post("/people/nobody/disable").status_code == 404
    told = [(entry.what, entry.about) for entry in engine.store.audit()]
    assert told == [
        ("let a person in again", "mia, member"),
        ("shut a person out", "mia, member"),
        ("changed a person's role", "max, viewer"),
    ]


def test_the_last_admin_cannot_leave_the_server_without_one(
    shared: FastAPI, engine: AskedEngine
) -> None:
    with browser(shared, engine.store, "ada") as client:
        for path, form in (("role", {"role": "member"}), ("disable", {})):
            refused = client.post(f"/people/ada/{path}", data=form)
            assert refused.status_code == 409 and "the only admin" in refused.text
    assert engine.store.person("ada").role == "admin"
