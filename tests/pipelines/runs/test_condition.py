"""Conditions on runs: what they select, and what is refused."""

import pytest

from pipelines.runs.condition import Condition
from src.errors import InputError

VALUES = {
    "run": "cnn-1",
    "test/accuracy": 0.95,
    "test/recall/T-shirt": 0.3,
    "test/recall/a, b": 0.4,
    "optimizer.lr": 1e-3,
    "model": "cnn",
    "seed": 0,
    "resume": None,
    "tuned": True,
    "started": "2026-11-30 08:00:00",
}


@pytest.mark.parametrize(
    "text",
    [
        "test/accuracy > 0.9 and model == 'cnn'",
        'test/accuracy>.9 and model=="cnn"',
        "0.9 < test/accuracy <= .95 and -1 < seed",
        "model == 'lenet' or seed == 0 and test/accuracy != 1",
        "model == 'cnn' or model == 'cnn' and seed == 1",
        "not (model == 'lenet' or seed == 1)",
        "not not model in ['lenet', 'cnn',]",
        "seed not in [1, 2] and model not in []",
        "`test/recall/a, b` > test/recall/T-shirt",
        "optimizer.lr <= 1e-3 and optimizer.lr == 0.001",
        "resume == null and not resume != none",
        "not (resume > 1 or resume < 1)",
        "tuned and tuned == true",
        "started > '2026-11' and started < '2026-12'",
    ],
)
def test_a_condition_holds(text):
    assert Condition(text, VALUES).holds(VALUES)
    assert not Condition(f"not ({text})", VALUES).holds(VALUES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("test/acuracy > 0.9", r"received test/acuracy \(nearest: test/accuracy\)"),
        ("accuracy > 0.9", r"received accuracy \(nearest: test/accuracy\)"),
        ("model == cnn", r"received cnn .* A text stands in quotes: 'cnn'"),
        ("model > 3", r"expected two numbers or two texts on both sides of >; received 'cnn' and 3 of cnn-1"),
        ("test/accuracy = 0.9", r"received = 0\.9"),
        ("test/accuracy >", r"a value at its end; received nothing"),
        ("(seed == 0", r"a closing parenthesis; received none"),
        ("seed == 0 seed == 1", r"received seed"),
        ("seed not 0", r"`not in`; received not"),
        ("seed in 0", r"a list after `in`"),
        ("seed in [0", r"a list that ends with \]"),
        ("seed == and", r"received and"),
        ("seed == 1e", r"received 1e"),
        ("(" * 1000, r"at most 50 parentheses"),
        ("@seed == 0", r"received @seed"),
        ("__import__('os').system('true')", r"received \.system"),
        ("seed.__class__ == 0", r"received seed\.__class__"),
        ("seed + 1 == 1", r"received \+ 1"),
        ("[seed for seed in [0]]", r"received \["),
    ],
)
def test_what_is_no_condition_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        Condition(text, VALUES).holds(VALUES)
