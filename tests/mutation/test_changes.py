"""The changes that mutation testing makes are small, sound Python, and leave words alone."""

import ast

from tests.architecture.test_walls import ROOT
from tests.mutation.changes import changes

SOURCE = '''
"""A docstring."""
KINDS: tuple[str, ...] = ("one", "for people to read")

def grade(n: int = 3, *, strict: bool = True) -> str | None:
    """Another."""
    if not strict and n < 2:
        raise ValueError(f"{n} is small")
    if strict:
        n = 5000
    return "good" if n * 2 > 5 else None
'''


def made() -> list[str]:
    lines = SOURCE.splitlines()
    texts = [one.apply(SOURCE).splitlines() for one in changes(SOURCE)]
    return [next(b for a, b in zip(lines, text, strict=False) if a != b).strip() for text in texts]


def test_every_kind_of_change_is_made_once_in_its_place() -> None:
    assert sorted(made()) == sorted(
        [
            "KINDS: tuple[str, ...] = (('one_'), \"for people to read\")",
            "def grade(n: int = (4), *, strict: bool = True) -> str | None:",
            "def grade(n: int = 3, *, strict: bool = (False)) -> str | None:",
            "if (not strict or n < 2):",
            "if (strict) and n < 2:",
            "if (not strict):",
            "if not strict and (n <= 2):",
            "if not strict and (n >= 2):",
            "if not strict and n < (3):",
            "pass",
            "return None",
            "return ('good_') if n * 2 > 5 else None",
            'return "good" if (n * 2 >= 5) else None',
            'return "good" if (n * 2 <= 5) else None',
            'return "good" if (n / 2) > 5 else None',
            'return "good" if n * (3) > 5 else None',
            'return "good" if n * 2 > (6) else None',
        ]
    )


def test_each_change_of_a_module_of_ours_is_python_and_changes_it() -> None:
    source = (ROOT / "worker/contract/components.py").read_text(encoding="utf-8")
    texts = [one.apply(source) for one in changes(source)]
    assert len(texts) == len(set(texts)) > 10
    for text in texts:
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(source))
