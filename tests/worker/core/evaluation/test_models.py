"""A base is measured once for many edits, and never when anything that matters differs."""

from worker.core.evaluation._models import BeforeAfter


def test_a_base_is_measured_once_for_equal_questions(edited) -> None:
    asked = []

    def measure(model, state):
        asked.append(state)
        return len(asked)

    first = edited.measure(measure, of=("a question", 1))
    again = BeforeAfter(edited.base, edited.deltas).measure(measure, of=("a question", 1))
    assert asked == ["before", "after", "after"]
    assert again["before"] == first["before"] == 1
    edited.measure(measure, of=("a question", 2))
    edited.measure(measure)
    assert asked[3:] == ["before", "after", "before", "after"]
