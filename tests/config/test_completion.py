"""Shell completion of the commands in a real bash, at its prompt."""

import os
import pty
import sys
import time
from pathlib import Path

import pytest

from tests.repository import ROOT, environment

ANSWERS = {
    "python -m src.train model=len": "model=lenet",
    "python -m src.train +experiment=rand": "+experiment=random_forest",
    "python -m pipelines.sweep +experiment=cnn sweep.n_t": "sweep.n_trials=",
    "python -m src.find_lr model=fnn finder.st": "finder.steps=",
    "python -m src.evaluate run=runs/c": "run=runs/cnn-1a2b3c4d/",
    "python -m src.generate run=runs/c": "run=runs/cnn-1a2b3c4d/",
    "python -m src.predict input=ru": "input=runs/",
}


@pytest.fixture
def shell(tmp_path):
    """Types at the prompt of a bash in a folder with a run, and gives what appears until a text stands there."""
    (tmp_path / "runs/cnn-1a2b3c4d").mkdir(parents=True)
    variables = environment(PYTHONPATH=str(ROOT), PS1="> ", TERM="dumb")
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(tmp_path)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], variables)
    os.set_blocking(terminal, False)

    def type_(text: str, expected: str) -> None:
        os.write(terminal, text.encode())
        shown, end = "", time.monotonic() + 60
        while expected not in shown:
            assert time.monotonic() < end, f"expected {expected!r}; the terminal shows {shown!r}"
            try:
                shown += os.read(terminal, 65_536).decode()
            except BlockingIOError:
                time.sleep(0.02)

    yield type_
    os.close(terminal)
    os.waitpid(process, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="macOS has a bash of 2007, without programmable completion of this kind")
def test_completion(shell, tmp_path):
    shell('bind "set enable-bracketed-paste off"; before=$COMP_WORDBREAKS\n', "\n> ")
    shell(
        'eval "$(python -m src.train -sc install=bash)"; [[ $before == "$COMP_WORDBREAKS" ]] && echo un""changed\n', "unchanged"
    )
    (tmp_path / "runs/$(touch ran)").touch()
    for typed, expected in ANSWERS.items():
        shell(f"{typed}\t", typed.rpartition(" ")[0] + " " + expected)
        shell("\x15", "> ")
    assert not Path(tmp_path / "ran").exists()
