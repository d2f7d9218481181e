"""What a module's text does: its syntax tree without what only speaks to a reader or to the user."""

import ast
from typing import Any

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}  # methods of a logger
Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef  # what may begin with a docstring
# Calls that change nothing: where a message names a value by one of them, the call goes with the message.
PURE = {"bool", "dict", "float", "format", "int", "len", "list", "max", "min", "repr", "round", "set", "sorted", "str", "sum",
        "tuple", "type"}  # fmt: skip


def tree(text: str | bytes, file: str = "<unknown>") -> str:
    """The syntax tree of a module as text, which neither comments, docstrings nor the wording of messages change.

    Messages are the texts inside `raise`, `assert`, `print`, `warnings.warn` and the calls of the module's own loggers. What
    else happens there, such as a call that a message shows the result of, stays. A module that compares the text of an
    exception of its own would escape this rule: compare types.

    Args:
        file: its name, for the message about a text that is no Python.
    """
    module = ast.parse(text, file)
    return ast.dump(_Silenced(_loggers(module)).visit(module))


def _loggers(module: ast.Module) -> set[str]:
    """The names of the module's loggers: whatever it assigns logging.getLogger(...) to."""
    names = {"logging"}
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _name(node.value.func)[1] == "getLogger":
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


class _Silenced(ast.NodeTransformer):
    """Takes docstrings and the wording of messages out of a tree."""

    def __init__(self, loggers: set[str]):
        self._loggers = loggers

    def visit(self, node: ast.AST) -> Any:
        return node if isinstance(node, ast.expr) else super().visit(node)  # no expression holds a statement

    def visit_Module(self, node: Scope) -> Scope:
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:]
        self.generic_visit(node)
        return node

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = visit_Module

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        if isinstance(node.value, ast.Call) and self._speaks(node.value):
            effects = _effects(node.value)
            return ast.Expr(ast.Tuple(effects, ast.Load())) if effects else None
        self.generic_visit(node)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        if isinstance(node.exc, ast.Call):
            node.exc.args = [_reworded(argument) for argument in node.exc.args]
            for keyword in node.exc.keywords:
                keyword.value = _reworded(keyword.value)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        node.msg = None
        return node

    def _speaks(self, call: ast.Call) -> bool:
        owner, name = _name(call.func)
        return (owner, name) in (("", "print"), ("warnings", "warn")) or (owner in self._loggers and name in LEVELS)


def _name(function: ast.expr) -> tuple[str, str]:
    """The owner and the name of what is called, ('warnings', 'warn'); empty texts where it is more than a name."""
    if isinstance(function, ast.Name):
        return "", function.id
    if isinstance(function, ast.Attribute):
        return (function.value.id if isinstance(function.value, ast.Name) else "?"), function.attr
    return "", ""


def _reworded(argument: ast.expr) -> ast.expr:
    """An argument of an exception: a text gives way to the effects inside it, anything else stays."""
    if not _is_text(argument):
        return argument
    return ast.Tuple(_effects(argument), ast.Load())


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.BinOp):
        return _is_text(node.left) or _is_text(node.right)
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    if isinstance(node, ast.Call):  # ", ".join(...) and "...".format(...)
        return isinstance(node.func, ast.Attribute) and _is_text(node.func.value)
    return isinstance(node, ast.JoinedStr)


def _effects(message: ast.expr) -> list[ast.expr]:
    """The outermost expressions inside a message that may change something, as they are evaluated."""
    effects: list[ast.expr] = []

    def look(node: ast.AST) -> None:
        call = isinstance(node, ast.Call) and node is not message and not _is_pure(node)
        if call or isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            assert isinstance(node, ast.expr)
            effects.append(node)
            return
        for child in ast.iter_child_nodes(node):
            look(child)

    look(message)
    return effects


def _is_pure(call: ast.Call) -> bool:
    return _is_text(call) or (isinstance(call.func, ast.Name) and call.func.id in PURE)
