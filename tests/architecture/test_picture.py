"""The picture of the architecture in the README is the one that the imports draw."""

from tests.architecture.picture import arrows, draw, shown


def test_the_readmes_picture_is_as_the_imports_draw_it() -> None:
    assert shown() == draw(), "run `python -m tests.architecture.picture`"


def test_the_picture_shows_the_one_door_from_engine_to_core() -> None:
    into_core = {one for one, other in arrows() if other.startswith("worker.core")}
    outside = {room for room in into_core if not room.startswith("worker.core")}
    assert outside == {"worker.run", "worker.lethe", "worker.cli"}
    assert ("worker.engine", "worker.core") not in arrows()
