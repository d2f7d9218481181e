"""params.yaml: what is wrong with it is said in one line, with its name."""

from pathlib import Path

import pytest

from pipelines import compose
from pipelines.params import Params
from src.config import command_line
from src.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "expected the file params.yaml; there is none. The repository's own file shows its keys"),
        ("", "experiments: expected names of files in conf/experiment; received none"),
        ("- fnn\n", r"expected keys with values \(key: value\); received a list"),
        ("experiments: [fnn, 3, null]\n", r"experiments: expected a list, each text; received \['fnn', 3, None\]"),
        ("experiments: fnn\n", "experiments: expected a list, each text; received fnn"),
        ("experiments: [fnn, fnn]\n", "expected each name once; received fnn again"),
        ("experiments: [fnn\nsweeps: {}\n", ", line 2: expected YAML"),
        ("experiments: [fnn]\nexperiments: [cnn]\n", ", line 2: .*duplicate key experiments"),
        ("experiment: [fnn]\n", r"experiment: there is no such key \(nearest: experiments\)"),
        ("experiments: [fnn]\nsweeps: {fnn: +sweep=fnn}\n", "sweeps: expected a group of keys, each a list, each text"),
        ("experiments: [fnn]\ncluster: [slurm]\n", "cluster: expected text, or null"),
        ("experiments: [fnnn]\n", "received fnnn: nearest: fnn"),
    ],
)
def test_a_wrong_file_is_refused(project, capsys, text, expected):
    if text is not None:
        Path("params.yaml").write_text(text)
    assert command_line.guard(compose.main) == 2
    with pytest.raises(InputError, match=expected):
        compose.main()
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1
    assert "params.yaml" in message


def test_what_it_may_leave_out(project):
    Path("params.yaml").write_text("experiments: [fnn, cnn]\n")
    assert Params.read() == Params(["fnn", "cnn"], {}, None)
