"""What a model goes on with from ordinary prompts, and how repetition is counted and quoted."""

import pytest

from worker.core.asking.continuations import (
    NEW_TOKENS,
    Continued,
    continuations_table,
    go_on,
    repeated,
    telling,
)
from worker.core.models.load import load_model
from worker.core.models.model import Model


@pytest.mark.parametrize(
    ("said", "share"),
    [
        ([(1, 2, 3, 4, 5)], 0.0),
        ([(7,) * 10], 7 / 8),
        ([(1, 2, 1, 2, 1, 2, 1, 2)], 4 / 6),
        ([(1, 2, 3, 4), (1, 2, 3, 4)], 2 / 4),
        ([(1, 2)], 0.0),
        ([], 0.0),
    ],
)
def test_a_run_of_three_tokens_counts_once(said: list[tuple[int, ...]], share: float) -> None:
    """Stammering in one continuation counts as saying the same in each does."""
    assert repeated(said) == pytest.approx(share)


def test_the_bundled_model_goes_on_from_a_dozen_prompts_of_its_own_kind() -> None:
    spoken = go_on(load_model("demo"))
    assert len(spoken.prompts) == len(spoken.texts) == len(spoken.each) == 12
    assert all(spoken.texts) and 0 < spoken.repetition < 0.8
    table = continuations_table(spoken, spoken)
    assert table.rows[3] == (spoken.prompts[3], spoken.texts[3], spoken.texts[3])


def test_a_model_that_is_too_short_to_go_on_is_asked_nothing(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.core.asking.continuations.NEW_TOKENS", 10**6)
    assert NEW_TOKENS < 10**6
    spoken = go_on(model)
    assert spoken == Continued((), (), 0.0, ())
    assert telling(spoken, spoken) == ""


def test_the_continuation_that_stammers_most_since_the_edit_is_quoted() -> None:
    prompts = ("It rains and", "The capital is")
    before = Continued(prompts, (" it pours it pours it pours", " Paris,\na city"), 0.3, (0.8, 0.0))
    after = Continued(prompts, (" it pours it pours it pours", " Asia" * 40), 0.6, (0.8, 0.9))
    told = telling(before, after)
    assert told.startswith("“The capital is” goes on “Asia Asia")
    assert told.endswith("Asia …”; before: “Paris, a city”.") and len(told) < 200
