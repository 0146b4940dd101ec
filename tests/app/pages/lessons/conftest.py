"""The engine that answers explore views by hand, as Explore's tests have it."""

from tests.app.pages.explore.conftest import ExploredEngine, empty_engine, explored

__all__ = ["ExploredEngine", "empty_engine", "explored"]
