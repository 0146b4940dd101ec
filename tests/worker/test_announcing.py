"""What a compute process says of its models, and when it says it anew."""

from types import SimpleNamespace
from typing import Any

import pytest

from worker.contract.menu import Announcement, ModelInfo
from worker.contract.settings import settings
from worker.engine.compute import announce, what_models


@pytest.fixture
def folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LETHE_DATA", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_the_models_that_are_held_are_announced_as_loaded(folder: Any) -> None:
    listed = tuple(ModelInfo(id=id, title=id) for id in ("cold", "hot"))
    door = SimpleNamespace(
        announce=lambda chosen: Announcement(methods=(), models=listed, fact_sets=(), device="cpu"),
        bundled_fact_sets=list,
    )
    sent: list[Any] = []
    models = SimpleNamespace(held=("hot",))
    told, known = announce(door, models, SimpleNamespace(send=sent.append))
    assert {m.id: m.loaded for m in sent[0].announcement.models} == {"cold": False, "hot": True}
    assert known == what_models(models, told), "nothing has changed since, so nothing is said again"


def test_a_model_that_is_loaded_dropped_or_added_is_a_reason_to_say_it_anew(folder: Any) -> None:
    models = SimpleNamespace(held=("a", "b"))
    before = what_models(models)
    models.held = ("b", "a")
    assert what_models(models) == before, "the order of use is no news"
    models.held = ("b",)
    assert what_models(models) != before
    before = what_models(models)
    (folder / "models/org/name").mkdir(parents=True)
    assert what_models(models) == before
    (folder / "models/org/name/config.json").write_text("{}")
    assert what_models(models) != before


def test_a_listed_model_whose_folder_is_deleted_is_a_reason_too(folder: Any) -> None:
    own = folder / "elsewhere" / "mine"
    own.mkdir(parents=True)
    listed = (ModelInfo(id="mine", title="", path=str(own)), ModelInfo(id="made", title=""))
    before = what_models({}, listed)
    assert what_models({}, listed) == before
    own.rmdir()
    assert what_models({}, listed) != before


def test_a_door_without_a_cache_holds_no_model(folder: Any) -> None:
    assert what_models({}) == ((), (), ())
