"""Where a reader's answers are kept: in the store, or in the browser of a visitor alone.

A visitor of an open house leaves nothing on the server. Their browser keeps the answers in a
signed cookie, which ends with the browser, or after a day.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from app.access.guard import cookie_path, is_secure
from app.access.session import Sessions
from app.pages.lessons._about import About
from worker.contract.errors import UserError
from worker.store.lessons import Answered
from worker.store.store import Store

COOKIE = "lethe-lessons"
LASTS = 24 * 3600
"""Seconds for which the cookie is read."""
LARGEST = 3000
"""Bytes of the cookie, of which browsers keep some 4,000; the oldest answers make room."""
LONGEST = 60
"""Characters of an answer that a browser keeps."""
SALT = "lessons"


class Keeping(Protocol):
    """Keeps one reader's answers."""

    def answers(self, lesson: str | None = None, about: About | None = None) -> list[Answered]:
        """The answers, of a lesson or of all; those about the fact at hand can be told by it."""

    def keep(
        self, lesson: str, step: int, about: About, given: str | None, right: bool, shown: bool
    ) -> None:
        """Keep an answer, or with `given` None that the step was read, or its answer shown."""

    def put(self, response: Response) -> Response:
        """Give the browser what it is to keep, with an answer of the server."""


@dataclass(frozen=True)
class InStore:
    """Keeps the answers of who has an account, or of this browser's session."""

    store: Store
    reader: str

    def answers(self, lesson: str | None = None, about: About | None = None) -> list[Answered]:
        """As the store has them."""
        return self.store.lesson_answers(self.reader, lesson)

    def keep(
        self, lesson: str, step: int, about: About, given: str | None, right: bool, shown: bool
    ) -> None:
        """Write it into the store."""
        self.store.answer_lesson(
            self.reader, lesson, step, about.key, about=about.words, given=given, right=right,
            shown=shown,
        )  # fmt: skip

    def put(self, response: Response) -> Response:
        """The browser keeps nothing."""
        return response


class InBrowser:
    """Keeps a visitor's answers in their own browser, about each fact by a part of its hash."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._sessions: Sessions = request.app.state.sessions
        found = self._sessions.unseal(request.cookies.get(COOKIE, ""), LASTS, SALT)
        self._kept = _read(found)
        self._is_new = False

    def answers(self, lesson: str | None = None, about: About | None = None) -> list[Answered]:
        """What the browser sent."""
        here = {_short(about): about.words} if about is not None else {}
        return [
            replace(one, about=here.get(one.about, one.about))
            for one in self._kept
            if lesson in (None, one.lesson)
        ]

    def keep(
        self, lesson: str, step: int, about: About, given: str | None, right: bool, shown: bool
    ) -> None:
        """Remember it until the answer is sent; UserError for one that no browser keeps."""
        if given is not None and len(given) > LONGEST:
            raise UserError(
                f"The answer has {len(given):,} characters; expected at most {LONGEST}.",
                field="answer",
            )
        place = lesson, step, _short(about)
        before = next((o for o in self._kept if (o.lesson, o.step, o.about) == place), None)
        rest = [one for one in self._kept if one is not before]
        found = before or Answered("", *place)
        if given is not None:
            first = found.first if found.attempts else given
            found = replace(found, first=first, given=given, attempts=found.attempts + 1)
        found = replace(found, right=found.right or right, shown=found.shown or shown)
        self._is_new = self._is_new or found != before
        self._kept = [*rest, found]

    def put(self, response: Response) -> Response:
        """Give the browser what it is to keep."""
        if not self._is_new:
            return response
        while len(sealed := self._sessions.seal(_told(self._kept), SALT)) > LARGEST:
            self._kept = self._kept[1:]
        response.set_cookie(
            COOKIE,
            sealed,
            httponly=True,
            samesite="lax",
            secure=is_secure(self._request),
            path=cookie_path(self._request),
        )
        return response


def _short(about: About) -> str:
    return about.key[:12]


def _told(kept: list[Answered]) -> list[Any]:
    return [
        [one.lesson, one.step, one.about, one.first, one.given, one.attempts, one.right, one.shown]
        for one in kept
    ]


def _read(found: Any) -> list[Answered]:
    """The answers of a cookie; none of one that another version of Lethe made."""
    if not isinstance(found, list) or any(len(one) != 8 for one in found):
        return []
    return [Answered("", *one) for one in found]
