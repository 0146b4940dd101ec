"""Finds the places of a module where one small change should make a test fail, and makes them.

Comparisons flip, bounds shift, conditions are negated, `and` and `or` swap, arithmetic swaps,
numbers and names change, a value that is returned becomes None, a statement without a value goes.
Left alone are annotations, decorators, docstrings and words for people: no test need spell them.
"""

import ast
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass

FLIPPED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
SWAPPED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
LARGE = 1000
TYPES = {"Literal", "Annotated", "Union", "Optional", "TypeVar", "TypeAlias", "Callable"}


@dataclass(frozen=True)
class Change:
    """One changed place: `text` replaces the characters from `start` to `end`."""

    line: int
    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        """Give the module's text with this change."""
        raw = source.encode()
        return (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()


def changes(source: str) -> list[Change]:
    """List every change of a module, in the order of its lines."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = {}
    for node, others in _places(ast.parse(source)):
        for other in others:
            text = ast.unparse(other)
            one = Change(
                node.lineno,
                starts[node.lineno - 1] + node.col_offset,
                starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0),
                f"({text})" if isinstance(other, ast.expr) else text,
            )
            found[one] = None
    return sorted(found, key=lambda one: (one.start, one.end, one.text))


def _places(node: ast.AST) -> Iterator[tuple[ast.stmt | ast.expr, list[ast.AST]]]:
    """Walk what runs, and give each place with what may stand there instead."""
    if isinstance(node, ast.stmt | ast.expr) and (others := list(_others(node))):
        yield node, others
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not list(_others(node.test)):
        yield node.test, [ast.UnaryOp(ast.Not(), node.test)]
    for child in _running(node):
        yield from _places(child)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Give a node's children but for those that only say a type, or words for people."""
    match node:
        case ast.JoinedStr():  # its parts have no places of their own in the text
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from [*node.args.defaults, *(d for d in node.args.kw_defaults if d), *node.body]
        case ast.ClassDef():
            yield from node.body
        case ast.AnnAssign():
            yield from [node.value] if node.value else []
        case ast.Subscript() if _name(node.value) in TYPES:
            return
        case ast.If() if _name(node.test) == "TYPE_CHECKING" or "__main__" in ast.dump(node.test):
            return
        case ast.Call() if _name(node.func) in ("TypeVar", "cast", "logging"):
            return
        case _:
            yield from ast.iter_child_nodes(node)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _others(node: ast.stmt | ast.expr) -> Iterator[ast.AST]:
    """Give what may stand in a node's place."""
    match node:
        case ast.Compare(ops=[op]):
            yield from (_with(node, ops=[other()]) for other in FLIPPED[type(op)])
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield node.operand
        case ast.BinOp() if type(node.op) in SWAPPED:
            yield _with(node, op=SWAPPED[type(node.op)]())
        case ast.Constant():
            yield from _constants(node.value)
        case ast.Return(value=ast.expr()) if not _is_nothing(node.value):
            yield ast.Return(ast.Constant(None))
        case (
            ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise() | ast.Delete()
        ):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Pass()
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            yield from _unfiltered(node)


def _constants(value: object) -> Iterator[ast.AST]:
    """Change truth values, numbers, and words that are names rather than sentences.

    Whole numbers from a thousand on are left: limits of size, on whose last digit nothing hangs.
    """
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, float) or (isinstance(value, int) and value < LARGE):
        yield ast.Constant(value + 1)
    elif isinstance(value, str) and value.isidentifier():
        yield ast.Constant(f"{value}_")


def _unfiltered(
    node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
) -> Iterator[ast.AST]:
    """Leave one condition of a comprehension out."""
    for i, generator in enumerate(node.generators):
        for j in range(len(generator.ifs)):
            other = deepcopy(node)
            del other.generators[i].ifs[j]
            yield other


def _is_nothing(node: ast.expr | None) -> bool:
    """Whether None in its place says the same, or its own change says more."""
    return isinstance(node, ast.Constant) and (not node.value or node.value is True)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    make: Callable[..., ast.AST] = type(node)
    return make(**{**{name: getattr(node, name) for name in node._fields}, **fields})
