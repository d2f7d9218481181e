"""Shell completion of `python -m src.train` in a real bash."""

import pytest

from tests.repository import ROOT, run

ASK = """
eval "$(python -m src.train -sc install=bash)"
COMP_LINE='python -m src.train {typed}'; COMP_POINT=${{#COMP_LINE}}
read -ra COMP_WORDS <<<"$COMP_LINE"; COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_athanor_complete; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("model=l", "model=lenet"), ("+experiment=rand", "+experiment=random_forest"), ("optimizer.l", "optimizer.lr=")],
)
def test_completion(typed, expected):
    assert expected in run(ROOT, "bash", "-c", ASK.format(typed=typed)).stdout.split()
