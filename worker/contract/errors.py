"""The exception tree.

LetheError
├── UserError        what was asked cannot be done; its sentences are shown on the page as they are
│   ├── NotFound     what was named does not exist
│   ├── Conflict     it cannot be done as things stand, and could be otherwise
│   ├── Forbidden    whoever asks may not do it; another person may
│   ├── TooMuch      a limit is reached; later, or after making room, it can be done
│   └── NotFinite    a number that decides or is shown is NaN or infinite
├── Unavailable      database or disk cannot be used now; the sentence says why and the cure
├── Cancelled        the user asked the run to stop
└── Diverged         a training lost its way (NaN, or retain collapsed); the base is untouched

Anything else that is raised is a bug.
"""


class LetheError(Exception):
    """The root of every exception that Lethe raises on purpose."""


class UserError(LetheError):
    """What was asked cannot be done: what, which value, what was expected, the cure.

    `problems` is a list of (field, sentence); the field is a dotted path into the spec, or "".
    """

    def __init__(
        self,
        message: str = "",
        *,
        field: str = "",
        problems: list[tuple[str, str]] | None = None,
    ) -> None:
        self.problems = problems or [(field, message)]
        super().__init__(" ".join(sentence for _, sentence in self.problems))

    @property
    def message(self) -> str:
        return str(self)


class NotFound(UserError):
    """What was named does not exist."""


class Conflict(UserError):
    """What was asked cannot be done as things stand."""


class Forbidden(UserError):
    """What was asked may not be done by whoever asked."""


class TooMuch(UserError):
    """Whoever asked has reached a limit; `seconds` until it is worth another try, None: never by
    itself."""

    def __init__(self, message: str, *, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotFinite(UserError):
    """A number that decides or is shown is NaN or infinite; the message says where it came up."""


class Unavailable(LetheError):
    """The database or the disk cannot be used now; nothing was changed."""


class Cancelled(LetheError):
    """The user asked the run to stop."""


class Diverged(LetheError):
    """A training lost its way; the message says how, and the base is untouched."""
