"""Whose question the lane computes next: that of the reader who was served longest ago.

A reader who asks for ten views at once waits for nine of them behind everybody else's first; within
one reader's questions the order is that in which they came. Who waits is told how many questions
come before theirs. Made and used on one event loop.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

REMEMBERED = 1000
"""Readers of whom it is known when they were served; who is forgotten comes first."""


def person_of(reader: str) -> str:
    """Who asks, of a reader's name (`session:tab:view`): all tabs and views of one session."""
    return reader.partition(":")[0]


@dataclass(eq=False)
class Turn:
    """A question that waits, or whose turn it is."""

    person: str
    hear: Callable[[int], None]
    """Is told how many questions come before, when that changes."""
    came: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    """Is done when the turn has come."""
    before: int = -1


class Turns:
    """One question at a time has its turn, the others wait."""

    def __init__(self) -> None:
        self._now: Turn | None = None
        self._waiting: list[Turn] = []
        self._served: dict[str, int] = {}
        self._n_served = 0

    def join(self, person: str, hear: Callable[[int], None] = lambda before: None) -> Turn:
        """Wait for a turn; call `end` whatever becomes of it."""
        turn = Turn(person, hear)
        self._waiting.append(turn)
        self._go_on()
        return turn

    def end(self, turn: Turn) -> None:
        """Give a turn up, whether it has come or not."""
        if self._now is turn:
            self._now = None
        elif turn in self._waiting:
            self._waiting.remove(turn)
        self._go_on()

    def _go_on(self) -> None:
        if self._now is None and self._waiting:
            turn = self._now = next(self._order())
            self._waiting.remove(turn)
            self._note(turn.person)
            turn.came.set_result(None)
        for before, turn in enumerate(self._order(), 1):
            if before != turn.before:
                turn.before = before
                turn.hear(before)

    def _note(self, person: str) -> None:
        self._n_served += 1
        self._served.pop(person, None)
        self._served[person] = self._n_served
        if len(self._served) > REMEMBERED:
            del self._served[next(iter(self._served))]

    def _order(self) -> Iterator[Turn]:
        """Those who wait, as they will have their turns if nobody else comes."""
        waiting, served, n = list(self._waiting), dict(self._served), self._n_served
        while waiting:
            turn = min(waiting, key=lambda one: served.get(one.person, 0))  # of equals the first
            waiting.remove(turn)
            n += 1
            served[turn.person] = n
            yield turn
