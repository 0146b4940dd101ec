"""A question to a worker names only what whoever asks may see."""

from pathlib import Path

import pytest

from tests.worker.store.test_acting import FACTS
from worker.contract.errors import NotFound
from worker.contract.facts import FactSet
from worker.contract.mask import Mask
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.engine.named import check_named
from worker.store.acting import Acting
from worker.store.runs import insert_run
from worker.store.store import Store


def test_what_is_hidden_from_who_asks_is_not_there_for_a_question(tmp_path: Path) -> None:
    store = Store.open(Settings(data=tmp_path))
    max_, mia = (store.acting_for(Acting(name, may_all=False)) for name in ("max", "mia"))
    max_.save_fact_set(FactSet(name="s", facts=FACTS))
    mask = max_.save_mask("m", "demo", Mask(components=("blocks.1.mlp",)))
    max_.save_text("t", "A text.")
    facts = {"set": "s", "forget": "first:1"}
    located = parse_spec({"kind": "localize", "model": "demo", "facts": facts, "method": "x"})
    with max_.database.write() as session:
        named = {"title": "", "tags": (), "parents": None, "priority": 0}
        run = insert_run(session, located, owner="max", **named)
    view = {"kind": "explore", "view": "lens"}
    edit = {"kind": "unlearn", "model": "demo", "method": "x", "facts": facts}
    asked = (
        {**view, "model": {"base": "demo", "edits": [run]}},
        {**view, "model": "demo", "options": {"text": "t"}},
        {"kind": "localize", "model": "demo", "facts": facts, "method": "x"},
        {**edit, "mask": {"id": mask.id}},
        {**edit, "mask": {"localization": run, "rule": {"top": 1}}},
    )
    for data in asked:
        spec = parse_spec(data)
        check_named(spec, max_)
        check_named(spec, store)
        with pytest.raises(NotFound):
            check_named(spec, mia)
    words = parse_spec({**view, "model": "demo", "options": {"text": "Words to look at."}})
    check_named(words, mia)
    store.close()
