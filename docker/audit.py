"""`python docker/audit.py`: ask the package index which pinned versions have a known weakness.

pip-audit asks for every pin of `docker/requirements/`, and nothing is installed for it. One with
an advisory is named with the version that mends it, and fails; where the index cannot be asked, or
knows no advisories, that is said and held against nothing.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "requirements"
SECONDS = 300
"""For which the index is waited for."""
COMMAND = ("--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json")


def weaknesses(report: dict[str, Any]) -> list[str]:
    """Each advisory of a report, with what mends it."""
    return [
        f"{one['name']} {one['version']}: {found['id']}, mended in "
        f"{', '.join(found['fix_versions']) or 'no version yet'}"
        for one in report["dependencies"]
        for found in one.get("vulns", ())
    ]


def judged(text: str, said: str) -> tuple[int, str]:
    """The exit status and the sentence for what pip-audit printed, and `said` beside it."""
    try:
        report = json.loads(text)
    except ValueError:
        reason = said.strip().splitlines()[-1:] or ["it said nothing"]
        return 0, f"The pins were not held against known weaknesses: {reason[0][:300]}"
    asked = [one for one in report["dependencies"] if "skip_reason" not in one]
    if found := weaknesses(report):
        return 1, "\n".join(("Pins with a known weakness:", *found))
    if not asked:
        return 0, "The pins were not held against known weaknesses: the index knows no advisories."
    skipped = len(report["dependencies"]) - len(asked)
    return 0, f"No known weakness in {len(asked)} pins; {skipped} are unknown to the index."


def main() -> int:
    """Audit all locks together."""
    locks = [part for file in sorted(FOLDER.glob("*.txt")) for part in ("-r", str(file))]
    command = [sys.executable, "-m", "pip_audit", *COMMAND, *locks]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        status, words = judged(done.stdout, done.stderr)
    except subprocess.TimeoutExpired:
        status, words = judged("", f"no answer within {SECONDS} s")
    print(words)
    return status


if __name__ == "__main__":
    sys.exit(main())
