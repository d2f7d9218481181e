"""Shell completion of `python -m src.train` in a real bash."""

import pytest

from tests.repository import ROOT, run

ASK = """
eval "$(python -m src.train -sc install=bash)"
COMP_LINE='python -m src.{verb} {typed}'; COMP_POINT=${{#COMP_LINE}}
read -ra COMP_WORDS <<<"$COMP_LINE"; COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_athanor_complete; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("model=l", "model=lenet"), ("+experiment=rand", "+experiment=random_forest"), ("optimizer.l", "optimizer.lr=")],
)
def test_completion(typed, expected):
    assert expected in run(ROOT, "bash", "-c", ASK.format(verb="train", typed=typed)).stdout.split()


def test_completion_of_another_command():
    assert "model=lenet" in run(ROOT, "bash", "-c", ASK.format(verb="find_lr", typed="model=l")).stdout.split()
