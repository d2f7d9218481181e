"""A condition on runs, as `where=` states it: comparisons of columns and values, and, or, not, parentheses. It runs no code.

    test/accuracy > 0.9 and model == 'cnn'
    0.1 <= optimizer.lr < 0.5 or state in ['failed', 'interrupted']
    `test/recall/T-shirt or top` > 0.5 and not resume == null

A name is that of a column; between backquotes it may hold any character. What a run does not have is null: it equals null
alone, and is neither less nor more than anything.
"""

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from src.config import checks
from src.errors import InputError

Values = Mapping[str, Any]
Term = Callable[[Values], Any]
TOKEN = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w./]))|(?P<text>'[^']*'|\"[^\"]*\")|`(?P<quoted>[^`]+)`"
    r"|(?P<sign>[=!<>]=|[<>()\[\],])|(?P<word>[^\W\d][\w.]*(?:/[\w.@-]+)*))"
)
CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
DEEPEST = 50  # parentheses inside each other


class Condition:
    """A condition, read once and held against any number of runs.

    Args:
        columns: the names that it may use.

    Raises:
        InputError: it is no condition, or names another column.
    """

    def __init__(self, text: str, columns: Collection[str]):
        self._text, self._columns = text, columns
        self._tokens = self._split()
        self._depth = 0
        self._term = self._either()
        if self._tokens:
            raise self._error(f"a column, a comparison, and, or; received {self._tokens[0][1]}")

    def holds(self, values: Values) -> bool:
        """Whether it holds for a run.

        Args:
            values: by the name of the column.

        Raises:
            InputError: a text is compared with a number.
        """
        return bool(self._term(values))

    def _split(self) -> list[tuple[str, str]]:
        tokens, place, text = [], 0, self._text.rstrip()
        while place < len(text):
            match = TOKEN.match(text, place)
            if match is None:
                raise self._error(f"columns, numbers, 'texts' and comparisons; received {text[place:].strip()[:20]}")
            assert match.lastgroup is not None
            tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()
        return tokens

    def _error(self, expected: str) -> InputError:
        example = "where=\"test/accuracy > 0.9 and state == 'finished'\""
        return InputError(f"where={self._text}: expected {expected}. For example: {example}.")

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise self._error("a column or a value at its end; received nothing")
        return self._tokens.pop(0)

    def _accepts(self, *words: str) -> str | None:
        if self._tokens and self._tokens[0][0] in ("sign", "word") and self._tokens[0][1] in words:
            return self._tokens.pop(0)[1]
        return None

    def _either(self) -> Term:
        return self._joined("or", any, self._both)

    def _both(self) -> Term:
        return self._joined("and", all, self._denied)

    def _joined(self, word: str, join: Callable[..., bool], part: Callable[[], Term]) -> Term:
        terms = [part()]
        while self._accepts(word):
            terms.append(part())
        return terms[0] if len(terms) == 1 else lambda values: join(term(values) for term in terms)

    def _denied(self) -> Term:
        odd = False
        while self._accepts("not"):
            odd = not odd
        term = self._compared()
        return (lambda values: not term(values)) if odd else term

    def _compared(self) -> Term:
        if self._accepts("("):
            self._depth += 1
            if self._depth > DEEPEST:
                raise self._error(f"at most {DEEPEST} parentheses inside each other; received more")
            term = self._either()
            self._depth -= 1
            if not self._accepts(")"):
                raise self._error("a closing parenthesis; received none")
            return term
        left = self._value()
        pairs: list[Term] = []
        while sign := self._accepts("==", "!=", *ORDERS, "in", "not"):
            if sign == "not" and not self._accepts("in"):
                raise self._error("`not in`; received not")
            right = self._listed() if sign in ("in", "not") else self._value()
            pairs.append(self._comparison(left, sign, right))
            left = right
        return (lambda values: all(pair(values) for pair in pairs)) if pairs else left

    def _comparison(self, left: Term, sign: str, right: Term) -> Term:
        if sign in ("==", "!="):
            return lambda values: (left(values) == right(values)) is (sign == "==")
        if sign in ("in", "not"):
            return lambda values: (left(values) in right(values)) is (sign == "in")

        def ordered(values: Values) -> bool:
            one, other = left(values), right(values)
            if one is None or other is None:
                return False
            try:
                return bool(ORDERS[sign](one, other))
            except TypeError as error:
                raise self._error(
                    f"two numbers or two texts on both sides of {sign}; received {one!r} and {other!r} of {values.get('run')}"
                ) from error

        return ordered

    def _listed(self) -> Term:
        if not self._accepts("["):
            raise self._error("a list after `in`, such as ['finished', 'failed']; received none")
        terms: list[Term] = []
        while not self._accepts("]"):
            terms.append(self._value())
            if not self._accepts(",") and (not self._tokens or self._tokens[0][1] != "]"):
                raise self._error("a list that ends with ]; received none")
        return lambda values: [term(values) for term in terms]

    def _value(self) -> Term:
        kind, text = self._next()
        if kind == "number":
            number: Any = float(text) if set(".eE") & {*text} else int(text)
            return lambda values: number
        if kind == "text":
            return lambda values: text[1:-1]
        if kind == "word" and text.lower() in CONSTANTS:
            constant = CONSTANTS[text.lower()]
            return lambda values: constant
        if kind == "sign" or (kind == "word" and text in ("and", "or", "not", "in")):
            raise self._error(f"a column or a value; received {text}")
        check("where", text, self._columns)
        return lambda values: values.get(text)


def check(key: str, name: str, columns: Collection[str]) -> None:
    """Refuses the name of a column that no run has.

    Args:
        key: of the command line, which names it.

    Raises:
        InputError: no run has it.
    """
    if name not in columns:
        quoted = f" A text stands in quotes: '{name}'." if key == "where" else ""
        names: Sequence[str] = sorted(columns)
        holding = [one for one in names if name in one][:3]
        near = f"nearest: {', '.join(holding)}" if holding else checks.nearest(name, names)
        near = near.replace("see --help for all of them", "output=runs.csv has all of them")
        raise InputError(f"{key}: expected columns that some run has; received {name} ({near}).{quoted}")
