"""Units of what a result shows: which are levels, which are changes that may be below 0.

A level is measured on one run and is never below 0; a change is a difference of two, and is written
with Δ. `|Δ probability|` and the like are sizes of changes, and levels again.
"""

METRICS = {
    "probability": "probability",
    "logit_diff": "logit difference",
    "kl": "minus the divergence (nats)",
}
"""What is measured of the next token on one run, by its name in options."""
SHARE_OF_DIFFERENCE = "share of clean minus corrupted"
"""Of an effect over the metric's difference between the clean and the corrupted prompt."""
NEGATED = "nats, negated"
"""Of a loss that a training raises: what is lowered is minus the loss."""
DISTANCE = "squared distance, relative"
"""Of activations, over their mean square."""

LEVELS = frozenset(
    (
        "accuracy",
        "facts",
        "gate",
        "nats",
        "parameters",
        "probability",
        "share",
        "share of draws",
        "share of facts",
        DISTANCE,
    )
)
"""Of what is counted, or measured of one run: 0 or more."""
CHANGES = frozenset(
    (
        "Δ accuracy",
        "Δ logit difference",
        "Δ probability",
        "−Δ divergence (nats)",
        "faithfulness",
        "logit difference",
        "minus the divergence (nats)",
        "part of the logit difference",
        NEGATED,
        SHARE_OF_DIFFERENCE,
    )
)
"""Of what may lie on both sides of 0: differences, and parts or shares of them."""


def metric_words(metric: str) -> str:
    """A metric's name in words."""
    return METRICS.get(metric, metric.replace("_", " "))


def size_of(unit: str) -> str:
    """The unit of a change's absolute value."""
    name, bracket, rest = unit.removeprefix("−").partition(" (")
    return f"|{name}|{bracket}{rest}"


def may_be_negative(unit: str) -> bool:
    """Whether values of this unit may lie below 0; of an unknown one they may."""
    return unit not in LEVELS and not unit.startswith("|")


def unit_problem(unit: str, signed: bool) -> str:
    """Say what is wrong with an array's unit beside how its values are drawn; empty if nothing."""
    if not unit.strip():
        return "has no unit; expected what its numbers are, for example 'Δ probability'"
    if signed and not may_be_negative(unit):
        return f"is signed and has the unit {unit!r} of a level; a difference of two is 'Δ {unit}'"
    if not signed and unit in CHANGES:
        return (
            f"has the unit {unit!r} of a change and is not signed; values that are never below 0 "
            f"are {size_of(unit)!r}"
        )
    return ""
