"""Who sees what has no page of its own: a page for each mask, fact set and text."""

from typing import Any

from fastapi import FastAPI

from tests.app.conftest import AskedEngine
from tests.app.people import browser
from worker.store.acting import Acting


def test_each_thing_has_a_page_on_which_its_owner_shares_it(
    shared: FastAPI, engine: AskedEngine
) -> None:
    mask: dict[str, Any] = {"name": "m", "model": "demo", "components": ["blocks.1.mlp"]}
    acting = engine.store.acting_for(Acting("max", may_all=False))
    project = acting.make_project("Sports")
    text = {"file": ("t.txt", b"A text to forget, of many words. " * 40)}
    with browser(shared, engine.store, "max") as max_, browser(shared, engine.store, "mia") as mia:
        mask_id = max_.post("/api/masks", json=mask).json()["id"]
        stored = max_.post(f"/api/texts?project={project.id}", data={"name": "t"}, files=text)
        assert (stored.json()["project"], stored.json()["visibility"]) == (project.id, "project")
        assert f"/sharing?what=mask&amp;id={mask_id}" in max_.get("/masks").text
        assert mask_id not in mia.get("/masks").text
        address = f"/sharing?what=mask&id={mask_id}"
        page = max_.get(address)
        assert "Mask m v1" in page.text and "Only its owner and admins." in page.text
        assert f'<option value="project:{project.id}">Sports</option>' in page.text
        assert mia.get(address).status_code == mia.get("/sharing?what=text&id=t").status_code == 404
        form = {"what": "mask", "id": mask_id, "seen": "server", "back": "/masks"}
        assert max_.post("/sharing", data=form).status_code == 200
        assert "Everybody who has an account here." in mia.get(address).text
        assert "Share it with" not in mia.get(address).text
        assert max_.get("/sharing?what=fact+set&id=sports").status_code == 404
        assert max_.get("/sharing?what=thing&id=x").status_code == 422
