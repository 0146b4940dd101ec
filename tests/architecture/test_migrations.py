"""The migrations are one line: branches that were made side by side are put in order."""

import re
from pathlib import Path

VERSIONS = Path(__file__).parents[2] / "worker/store/migrations/versions"


def test_every_migration_follows_the_one_before_it() -> None:
    files = sorted(VERSIONS.glob("[0-9]*.py"))
    found = [
        re.findall(r'^(?:down_)?revision(?:: [^=]+)? = "?(\w+)"?$', file.read_text(), re.MULTILINE)
        for file in files
    ]
    numbers = [f"{number:04}" for number in range(1, len(files) + 1)]
    before = ["None", *numbers[:-1]]
    assert found == [list(pair) for pair in zip(numbers, before, strict=True)]
    assert [file.name[:4] for file in files] == numbers
