"""Whether a repeated run says the same as the recorded one."""

from collections.abc import Sequence

from worker.contract.base import Contract
from worker.contract.result import Result

TOLERANCE = 1e-4
"""Of a number's size, and of 1 for smaller ones: another order of the same float32 sums."""

Value = float | int | bool | str | None


class Compared(Contract):
    """One named number of the recorded run and of the repeated one."""

    name: str
    recorded: Value
    repeated: Value
    agrees: bool


def compare(
    recorded: Result, repeated: Result, tolerance: float = TOLERANCE
) -> tuple[Compared, ...]:
    """Compare every recorded number, and the base's weights; times are left out."""
    rows = [
        _row(name, value, repeated.summary.get(name), tolerance)
        for name, value in recorded.summary.items()
        if "seconds" not in name
    ]
    before, now = (r.provenance.weights_hash[:16] for r in (recorded, repeated))
    rows.append(_row("the base's weights", before, now, tolerance))
    if recorded.receipt is not None and repeated.receipt is not None:
        changed = (len(recorded.receipt.tensors), len(repeated.receipt.tensors))
        rows.append(_row("tensors changed", *changed, tolerance))
    return tuple(rows)


def differences(recorded: Result, repeated: Result, tolerance: float = TOLERANCE) -> list[str]:
    """Say in words where two results differ by more than `tolerance`."""
    return [
        f"{row.name}: recorded {_shown(row.recorded)}, repeated {_shown(row.repeated)}"
        for row in compare(recorded, repeated, tolerance)
        if not row.agrees
    ]


def n_differing(rows: Sequence[Compared]) -> int:
    """How many numbers do not agree."""
    return sum(not row.agrees for row in rows)


def _row(name: str, recorded: Value, repeated: Value, tolerance: float) -> Compared:
    agrees = recorded == repeated
    numbers = isinstance(recorded, (int, float)) and isinstance(repeated, (int, float))
    if numbers and not agrees:
        assert isinstance(recorded, (int, float)) and isinstance(repeated, (int, float))
        agrees = abs(recorded - repeated) <= tolerance * max(1.0, abs(recorded))
    return Compared(name=name, recorded=recorded, repeated=repeated, agrees=agrees)


def _shown(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
