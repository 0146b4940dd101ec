"""Free answers are compared word for word, and with every wording that a fact accepts."""

import numpy as np
import pytest

from worker.core.asking import free
from worker.core.asking.setting import Ask


@pytest.mark.parametrize(
    ("answer", "wanted", "is_said"),
    [
        (" Rome, the capital", " Rome", True),
        (" Romeo", "Rome", False),
        ("\nRome", " Rome", True),
        (" in Rome", "Rome", False),
    ],
)
def test_an_answer_is_said_as_whole_words_from_its_beginning(
    answer: str, wanted: str, is_said: bool
) -> None:
    assert free.says(answer, wanted) == is_said


def test_a_free_answer_may_be_in_another_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [" soccer with", " rugby", " cricket"]
    monkeypatch.setattr(free, "generate", lambda model, prompts, n: answers)
    asks = {
        (0, 0): Ask("a", " football", " rugby", also=("soccer",)),
        (1, 0): Ask("b", " football", " union", edit_also=("rugby",)),
        (2, 0): Ask("c", " football", ""),
    }
    found = free.answer_freely(None, asks, (3, 1))  # type: ignore[arg-type]
    assert found.target[:, 0].tolist() == [1, 0, 0]
    assert found.edit[:2, 0].tolist() == [0, 1] and np.isnan(found.edit[2, 0])
