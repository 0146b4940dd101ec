"""Names that people give to what they bring, and by which it stands in an address."""

from worker.contract.errors import UserError

LONGEST = 100
"""Characters."""


def given_name(name: str, what: str, field: str = "name", *, is_path: bool = False) -> str:
    """Return a name without spaces around it; UserError for one that no address can hold.

    `.` and `..`, and what stands before a slash, are taken out of addresses by browsers and
    servers, so that what is named so could be neither read nor deleted. `is_path` is for what an
    address may name by a path, with slashes.
    """
    plain = name.strip()
    if not plain or len(plain) > LONGEST:
        reason = f"expected 1 to {LONGEST} characters"
    elif not plain.isprintable():
        reason = "expected no line breaks and no other control characters"
    elif "\\" in plain or ("/" in plain and not is_path):
        reason = "expected no slash"
    elif {"", ".", ".."} & set(plain.split("/")):
        reason = "expected more than dots, also between slashes"
    else:
        return plain
    raise UserError(
        f"{plain[:60]!r} is no name for a {what}: {reason}. An example is my-{what.split()[-1]}.",
        field=field,
    )
