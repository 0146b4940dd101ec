"""The types of all modules under mypy's strict settings, here and so in continuous integration."""

import subprocess
import sys

from tests.architecture.test_walls import ROOT


def test_mypy_finds_nothing_under_the_projects_own_settings() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
