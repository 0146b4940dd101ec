"""What a spec's facts and texts stand for in the store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.settings import Settings
from worker.contract.spec import Spec, parse_spec
from worker.engine.resolve import resolve
from worker.store.store import Store

MENU = Announcement(
    methods=(),
    models=(ModelInfo(id="demo", title="Demo", component_parameters={"blocks.0.mlp": 10}),),
    fact_sets=(),
    device="cpu",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(Settings(data=tmp_path))
    facts = tuple(
        Fact(id=f"f{i}", subject="S", prompt="{} plays", target=sport, group=sport)
        for i, sport in enumerate(("golf", "tennis", "tennis"))
    )
    opened.save_fact_set(FactSet(name="sports", facts=facts))
    yield opened
    opened.close()


def spec(forget: str = "first:3", edit_to: str = "", **options: object) -> Spec:
    return parse_spec(
        {
            "kind": "unlearn",
            "facts": {"set": "sports", "forget": forget, "edit_to": edit_to},
            "mask": {"components": ["blocks.0.mlp"]},
            "method": "whos_harry_potter",
            "options": options,
        }
    )


def test_a_stored_text_is_given_by_its_local_path(store: Store) -> None:
    store.save_text("my saga", "Zoë went home.")
    found = resolve(spec(text="my saga"), store, MENU, "")
    assert list(found.texts) == ["my saga"]
    assert Path(found.texts["my saga"]).read_text(encoding="utf-8") == "Zoë went home."
    assert resolve(spec(text="saga"), store, MENU, "").texts == {}
    assert resolve(spec(), store, MENU, "").texts == {}
    with pytest.raises(NotFound, match=r"No text 'my sage'\. Did you mean 'my saga'"):
        resolve(spec(text="my sage"), store, MENU, "")


def test_a_whole_group_is_given_another_answer(store: Store) -> None:
    found = resolve(spec("group:tennis", "golf"), store, MENU, "").fact_set
    assert found is not None
    assert [fact.edit_target for fact in found.facts] == ["", "golf", "golf"]
    with pytest.raises(UserError, match="'golf' already"):
        resolve(spec("first:3", "golf"), store, MENU, "")
