"""How numbers, times and names are written on a page."""

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

_BYTES = ("B", "kB", "MB", "GB", "TB")


def number(value: Any, digits: int = 3) -> str:
    """Write a number with three significant figures, integers whole, thousands parted by commas."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return _significant(value, digits).replace("-", "−")


@lru_cache(maxsize=10_000)
def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -4 <= exponent < 6:
        return f"{value:,.{max(digits - 1 - exponent, 0)}f}"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(power)}"


def percent(fraction: float) -> str:
    """Write a fraction as a whole percentage."""
    return f"{fraction * 100:.0f} %"


def duration(seconds: float | None) -> str:
    """Write a length of time with the unit that suits it."""
    if seconds is None:
        return "–"
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{_significant(seconds, 2 if seconds >= 10 else 3)} s"
    if seconds < 5940:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def about(seconds: float) -> str:
    """Write an estimated time no finer than it is known."""
    if seconds < 10:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 5) * 5} s" if seconds < 97 else duration(seconds)


def size(n_bytes: float | None) -> str:
    """Write a number of bytes with the unit that suits it."""
    if not n_bytes:
        return "–" if n_bytes is None else "0 B"
    power = min(int(math.log10(float(f"{n_bytes:.2e}")) // 3), len(_BYTES) - 1)
    return f"{_significant(n_bytes / 1000**power, 3) if power else int(n_bytes)} {_BYTES[power]}"


def iso(time: datetime) -> str:
    """The machine-readable form for `<time datetime>`, in UTC."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def utc(time: datetime) -> str:
    """What is read before the script writes the time in the reader's zone."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


CHOICES = {
    "adamw": "AdamW",
    "attn": "attention outputs",
    "head": "heads",
    "kl": "divergence (KL)",
    "lora": "low-rank adapter (LoRA)",
    "logit_diff": "logit difference",
    "mlp": "MLP outputs",
    "resid": "residual stream",
    "sgd": "plain gradient descent (SGD)",
}
"""Options' values that are names of code, as a form says them."""


def choice(value: str) -> str:
    """An option's value in words."""
    return CHOICES.get(value, value.replace("_", " "))
