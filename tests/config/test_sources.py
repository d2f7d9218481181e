"""A YAML file that cannot be read, or does not compose, gets one line: the file, the line, what is wrong."""

import pytest

from src.config import command_line, sources
from src.config.composition import compose
from src.errors import InputError

HEAD = "# @package _global_\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b: c", ", line 2: expected YAML; received what is none: mapping values are not allowed here"),
        ("seed: 1\nseed: 2", ", line 3: .*found duplicate key seed"),
        ("data: {batch_size: 1, batch_size: 2}", ", line 2: .*found duplicate key batch_size"),
        ("seed: [1\nmodel: 3", ", line 3: .*expected ',' or ']'"),
        ("\tseed: 1", r", line 2: .*cannot start any token"),
        ("seed: *a", ", line 2: .*undefined alias 'a'"),
        ("seed: !!python/object:os.system 3", ", line 2: .*could not determine a constructor"),
        ("seed: \x07", ": expected YAML; received a character that it cannot hold"),
        (b"# L\xe9on\nseed: 1", ", line 2: expected text in UTF-8; the byte 0xe9 is none"),
        ("3", ": expected keys with values; received a single value"),
        ("only text", " sets only text: .*there is no such key"),
        ("trainer: [1]", ": expected a file that composes; Hydra refuses it: .*Cannot merge"),
        ("defaults: [{override /modle: cnn}]", ": .*Could not override 'modle'"),
        ("optimizer: 5", " sets optimizer: expected null, or a group of keys with a _target_; received 5"),
    ],
)
def test_a_defect_of_a_file_is_named_with_its_line(tmp_path, text, expected):
    path = tmp_path / "experiment/mine.yaml"
    path.parent.mkdir()
    path.write_bytes(HEAD.encode() + (text if isinstance(text, bytes) else text.encode()))
    with pytest.raises(InputError, match=f"^{path}{expected}") as caught:
        compose(["+experiment=mine"], extra=[tmp_path])
    assert "\n" not in str(caught.value)


def test_an_experiment_that_begins_with_one_that_is_not_there(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(f"{HEAD}defaults: [cn]\n")
    with pytest.raises(InputError, match=r"experiment=cn: there is no such option; nearest: cnn"):
        compose(["+experiment=mine"], extra=[tmp_path])


def test_a_file_that_is_read_alone(tmp_path):
    path = tmp_path / "params.yaml"
    with pytest.raises(InputError, match=rf"expected the file {path}; there is none. Write it."):
        sources.load(path, remedy="Write it.")
    path.write_text("- a\n")
    with pytest.raises(InputError, match=r"expected keys with values \(key: value\); received a list"):
        sources.load(path)
    path.write_text("a: 1\n")
    assert sources.load(path).a == 1


def test_an_environment_file_that_is_no_utf_8(project, capsys):
    (project / ".env").write_bytes(b"A=1\nNAME=L\xe9on\n")
    with pytest.raises(SystemExit) as ended:
        command_line.main(lambda config: None, ["seed=1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: .env, line 2: expected text in UTF-8; the byte 0xe9 is none. Save the file in UTF-8.\n"
    )


@pytest.mark.parametrize("flag", ["--cfg=job", "-m"])
def test_hydras_own_flags_check_the_configuration_first(tmp_path, capsys, flag):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(f"{HEAD}seed: [1\n")
    for override, message in (("+experiment=mine", "mine.yaml, line"), ("optimizer.lrr=1", "nearest: optimizer.lr")):
        with pytest.raises(SystemExit) as ended:
            command_line.main(lambda config: None, [flag, f"--config-dir={tmp_path}", override])
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
