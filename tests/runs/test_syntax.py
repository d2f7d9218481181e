"""Which text of a module counts: all code, but no comments, docstrings or messages."""

import pytest

from src.runs.syntax import tree

HEAD = "import logging\nimport warnings\nlog = logging.getLogger(__name__)\nseen, name, value = [], '', 0\n"


def same(before: str, after: str) -> bool:
    return tree(HEAD + before) == tree(HEAD + after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1  # a comment", "x = (\n    1\n)"),
        ('def f():\n    """One text."""\n    return 1', 'def f():\n    """Another."""\n    return 1'),
        ('raise ValueError("one text")', 'raise ValueError("another")'),
        ('raise ValueError(f"{name}: expected {value:.2f}")', 'raise ValueError(f"expected {name}; received {model.size!r}")'),
        ('raise ValueError("one " + name)', 'raise ValueError("another " + name)'),
        ('raise ValueError("one" if name else f"{value}")', 'raise ValueError("two" if name else "three")'),
        ("raise ValueError(f'{len(seen)} of {max(seen)}')", "raise ValueError(f'one of {\", \".join(sorted(seen))}')"),
        ('raise ValueError("one: {}".format(name)) from error', 'raise ValueError("{} is one".format(name)) from error'),
        ("raise KeyError(name, 'one')", "raise KeyError(name, 'another')"),
        ('assert seen, "one text"', "assert seen"),
        ('print("one text", name, end="")', 'print(f"another {value}", flush=True)'),
        ('if seen:\n    print("one text")\nx = 1', 'if seen:\n    print("another")\nx = 1'),
        ('x = 1\nprint("a line")', "x = 1"),
        ('warnings.warn("one text", stacklevel=2)', 'warnings.warn(f"another for {name}")'),
        ('log.warning("%s is one", name)', 'log.info("%s is another", value)'),
        ('logging.error("one")', ""),
    ],
)
def test_the_wording_of_a_message_does_not_count(before, after):
    assert same(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 'one'", "x = 'another'"),  # a text that is no message
        ('raise ValueError("one")', 'raise TypeError("one")'),
        ('raise SystemExit("one", 1)', 'raise SystemExit("one", 2)'),
        ('raise ValueError(f"{seen.pop()}")', 'raise ValueError("one")'),  # what a message does besides
        ("raise ValueError(f\"{seen.pop('one')}\")", "raise ValueError(f\"{seen.pop('another')}\")"),
        ('print("one", seen.pop())', 'print("one")'),
        ("print(x := 1)", 'print("one")'),
        ("raise error", "raise"),
        ("model.log('one', value)", "model.log('another', value)"),  # the name of a metric, as Lightning's log takes it
        ("model.error('one')", "model.error('another')"),  # no logger
        ('assert seen, "one text"', 'assert model, "one text"'),
    ],
)
def test_what_a_module_does_counts(before, after):
    assert not same(before, after)
