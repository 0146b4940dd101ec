"""A text as reinforcing marks it: how much likelier each token became."""

from typing import Any

from worker.contract.result import Result

STRONGEST = 0.6
"""The share of colour under the token that is marked most."""


def marked(result: Result) -> tuple[list[dict[str, Any]], float]:
    """The shown tokens with the share of colour of each, and the rise that has the strongest."""
    tokens = result.view.get("tokens", [])
    rises = sorted(abs(token["mark"]) for token in tokens)
    # A few tokens rise far more than all others; they would leave the rest without colour.
    bound = rises[int(0.97 * (len(rises) - 1))] if rises else 0.0
    bound = bound or 1.0
    shown = [
        {
            **token,
            "place": place,
            "share": round(100 * STRONGEST * min(1.0, abs(token["mark"]) / bound)),
            "sign": "up" if token["mark"] >= 0 else "down",
        }
        for place, token in enumerate(tokens)
    ]
    return shown, bound
