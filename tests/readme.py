"""What README shows: its blocks, by language and beginning."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
EXAMPLES = {
    "localization/weight_norm.py": '"""Scores every MLP',
    "evaluation/said_first.py": '"""Counts the facts',
    "facts/bar_table.py": '"""Facts from lines',
    "figures/ranked_components.py": '"""Components in the order',
    "pages/newest.py": '"""The newest localization',
}
"""Place in the plugins' folder -> how the example that is put there begins."""


def block(language: str, begins: str = "") -> str:
    """The one block of a language that begins so."""
    (found,) = [text for name, text in BLOCKS if name == language and text.startswith(begins)]
    return found


def examples() -> dict[str, str]:
    """Every example of something that is added, by its place in the plugins' folder."""
    found = {place: block("python", begins) for place, begins in EXAMPLES.items()}
    return found | {"templates/newest.html": block("html")}
