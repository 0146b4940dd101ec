"""The types of all modules under mypy's strict settings, here and so in continuous integration."""

from tests.architecture.measures import strict_errors


def test_mypy_finds_nothing_under_the_projects_own_settings() -> None:
    assert strict_errors() == []
