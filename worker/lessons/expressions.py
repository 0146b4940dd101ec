"""Small expressions of a lesson, as `cell("patch.resid.logit.share", layer=2) > 0.5`.

They are written as in Python and mean the same, but hold only numbers, texts, comparisons, `and`,
`or`, `not`, + − × ÷, the names that are given, and calls of the functions that are given.
"""

import ast
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

from worker.contract.base import unknown
from worker.contract.errors import UserError

Functions = Mapping[str, Callable[..., Any]]
LONGEST = 400
"""Characters of an expression."""
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COMPUTE: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Expression:
    """One expression, read and checked; raises UserError for what it may not hold."""

    def __init__(self, text: str, functions: Functions, names: frozenset[str]) -> None:
        self.text = text
        self._functions = functions
        self._names = names
        if len(text) > LONGEST:
            raise UserError(
                f"The expression has {len(text)} characters; expected at most {LONGEST}."
            )
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise UserError(
                f"{text!r} is no expression; expected one like largest('lens.target') > 0.5."
            ) from None
        self._check(self._tree)

    def value(self, functions: Functions, names: Mapping[str, Any]) -> Any:
        """What it is with these functions and names; UserError where it cannot be computed."""
        try:
            return _value(self._tree, functions, names)
        except ZeroDivisionError:
            raise UserError(f"{self.text!r} divides by zero.") from None
        except TypeError:
            raise UserError(
                f"{self.text!r} mixes values that do not go together, or names an argument that "
                f"is none."
            ) from None

    def _check(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.func.id not in self._functions:
                raise unknown("function", ast.unparse(node.func), sorted(self._functions))
            if any(keyword.arg is None for keyword in node.keywords) or any(
                isinstance(one, ast.Starred) for one in node.args
            ):
                raise UserError(f"{self.text!r} spreads arguments with *; write them out.")
            self._check_arguments(node, node.func.id)
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                self._check(argument)
            return
        if isinstance(node, ast.Name):
            if node.id not in self._names:
                raise unknown("name", node.id, sorted(self._names))
            return
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, str | int | float | bool):
                raise UserError(f"{self.text!r} holds {node.value!r}; expected numbers and texts.")
            return
        if not _is_allowed(node):
            raise UserError(
                f"{ast.unparse(node)!r} may not stand in an expression; expected numbers, texts, "
                f"comparisons, and, or, not, + - * / and calls."
            )
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._check(child)

    def _check_arguments(self, node: ast.Call, name: str) -> None:
        signature = inspect.signature(self._functions[name])
        given = {str(keyword.arg): None for keyword in node.keywords}
        try:
            signature.bind(*node.args, **given)
        except TypeError as error:
            raise UserError(f"{ast.unparse(node)!r}: {error}; {name} takes {signature}.") from None


def _is_allowed(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        return all(type(one) in _COMPARE for one in node.ops)
    if isinstance(node, ast.BinOp):
        return type(node.op) in _COMPUTE
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not | ast.USub)
    return isinstance(node, ast.BoolOp)


def _value(node: ast.AST, functions: Functions, names: Mapping[str, Any]) -> Any:
    def of(one: ast.AST) -> Any:
        return _value(one, functions, names)

    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        named = {str(keyword.arg): of(keyword.value) for keyword in node.keywords}
        return functions[node.func.id](*map(of, node.args), **named)
    if isinstance(node, ast.UnaryOp):
        return not of(node.operand) if isinstance(node.op, ast.Not) else -of(node.operand)
    if isinstance(node, ast.BinOp):
        return _COMPUTE[type(node.op)](of(node.left), of(node.right))
    if isinstance(node, ast.BoolOp):
        whole = all if isinstance(node.op, ast.And) else any
        return whole(of(one) for one in node.values)
    assert isinstance(node, ast.Compare)
    sides = [of(node.left), *map(of, node.comparators)]
    return all(
        _COMPARE[type(sign)](a, b)
        for sign, a, b in zip(node.ops, sides[:-1], sides[1:], strict=True)
    )
