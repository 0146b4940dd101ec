"""A view asked for as a quick question, as the interactive lane does."""

import json

import numpy as np
import pytest

from tests.worker.core.explore.plain import look_at, prompts_of
from worker.contract.inputs import AskExplore, Inputs
from worker.contract.progress import Quiet
from worker.contract.result import Result
from worker.contract.settings import Settings
from worker.contract.spec import ExploreSpec
from worker.core.findings import Array
from worker.core.record import nested
from worker.run import answer, open_models


def test_a_views_answer_holds_its_arrays_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = open_models(Settings())
    spec = ExploreSpec(view="lens", options={**prompts_of("demo"), "positions": [20, 24]})
    result = answer(AskExplore(spec=spec, inputs=Inputs(out="")), models)
    assert list(tmp_path.iterdir()) == []
    again = Result.model_validate(json.loads(json.dumps(result.model_dump(mode="json"))))
    info = again.arrays["lens.target"]
    direct = look_at("lens", models.get("demo"), **prompts_of("demo"), positions=(20, 24))
    assert info.file == ""
    np.testing.assert_allclose(info.values, direct.arrays["lens.target"].values, rtol=1e-5)
    assert again.view["vocabulary"] == direct.view["vocabulary"]


class Heard(Quiet):
    """Keeps what is being done."""

    def __init__(self):
        self.messages = []

    def progress(self, fraction, message):
        self.messages.append(message)


def test_loading_is_told_only_where_the_model_is_not_there_yet():
    models, told = open_models(Settings()), []
    for number in range(2):
        options = {"prompt": f"{number} and", "n_new": 0}
        spec = ExploreSpec(view="predictions", options=options)
        heard = Heard()
        answer(AskExplore(spec=spec, inputs=Inputs(out="")), models, heard)
        told.append([one for one in heard.messages if one.startswith("loading")])
    assert told[0] and not told[1]


def test_only_a_view_is_such_a_question():
    spec = {"kind": "export", "model": {"base": "demo", "edits": ["a"]}}
    with pytest.raises(ValueError, match="explore"):
        AskExplore.model_validate({"spec": spec, "inputs": {"out": ""}})


def test_numbers_that_are_sent_have_six_digits_and_gaps_are_none():
    values = np.array([[1 / 3, np.nan], [1e-9 / 3, 2.0]])
    assert nested(Array(values, (), "nats")) == [[0.333333, None], [3.33333e-10, 2.0]]
