"""What the training's blocks are made of: the shares of their sources, lesson by lesson.

A lesson is a number of blocks and the share of each of its sources; after a stage's last lesson
come blocks of the mixture of all.
"""

from collections.abc import Mapping, Sequence

# Multiple choice is two skills. The heads that find the letter of a named option form within some
# 300 steps of nothing else, and not within 2,000 when most sentences ask for other things. That
# the recalled answer is what they look for comes within 300 steps once the facts are known, if
# most sentences ask for it of the four sports; the other relations' many options need 1,000 more.
MIXTURE = {"athletes": 0.44, "relations": 0.32, "letters": 0.14, "saga": 0.05, "general": 0.05}


def beside(lesson: Mapping[str, float]) -> dict[str, float]:
    """Fill what a lesson leaves of a block with the mixture, so that nothing is forgotten."""
    left = 1 - sum(lesson.values())
    return {source: lesson.get(source, 0.0) + left * MIXTURE.get(source, 0.0) for source in SOURCES}


SOURCES = (
    *MIXTURE,
    "choices_of_athletes",
    "choices_of_relations",
    "endings",
    "later",
    "seldom",
    "later_still",
    "last",
)
Lessons = Sequence[tuple[int, Mapping[str, float]]]
FACT_LESSONS: Lessons = ((12, {"letters": 1.0}), (40, MIXTURE))
CHOICE_LESSONS: Lessons = (
    (4, beside({"letters": 0.5})),
    (9, beside({"choices_of_athletes": 0.8})),
    (25, beside({"choices_of_athletes": 0.15, "choices_of_relations": 0.4, "letters": 0.05})),
)
ENDING_LESSONS: Lessons = ((6, beside({"endings": 0.12, "choices_of_relations": 0.1})),)
LATER_LESSONS: Lessons = (
    (
        38,
        beside(
            {
                "choices_of_relations": 0.6,
                "choices_of_athletes": 0.05,
                "letters": 0.05,
                "endings": 0.04,
                "later": 0.06,
            }
        ),
    ),
)
EARLY_LESSONS: Lessons = (
    (
        24,
        beside(
            {
                "seldom": 0.26,
                "choices_of_relations": 0.44,
                "choices_of_athletes": 0.03,
                "endings": 0.03,
                "later": 0.08,
                "later_still": 0.06,
            }
        ),
    ),
)
LAST_LESSONS: Lessons = (
    (
        15,
        beside(
            {
                "seldom": 0.24,
                "choices_of_relations": 0.46,
                "choices_of_athletes": 0.03,
                "endings": 0.03,
                "later": 0.03,
                "later_still": 0.03,
                "last": 0.08,
            }
        ),
    ),
)
