"""How a language model goes on, at the command line: what is written, what is cut, and what is refused."""

from pathlib import Path

import pytest

from src import generate
from tests import streams
from tests.test_predictor import exported


@pytest.fixture
def written(project, capsys):
    """A run of a language model with random weights, and what the command writes of it: its exit code, text and messages."""
    streams.write(project / "text.txt")
    exported(project / "runs/lm", "model=gpt", "model.width=8", "model.depth=1", *streams.TINY, "data.path=text.txt")
    (project / "text.txt").unlink()  # the data of a run need not be there
    capsys.readouterr()

    def write(*arguments: str) -> tuple[int, str, str]:
        code = generate.main(["run=lm", *arguments])
        output, errors = capsys.readouterr()
        return code, output, errors

    return write


def test_a_text_begins_with_its_prompt_and_follows_from_its_settings(written):
    code, text, errors = written("prompt=the cat", "tokens=50")
    assert (code, errors) == (0, "")
    assert text.startswith("the cat")
    assert len(text) == len("the cat") + 50 + 1
    assert written("prompt=the cat", "tokens=50")[1] == text
    assert written("prompt=the cat", "tokens=50", "seed=1")[1] != text
    greedy = written("prompt=the cat", "tokens=50", "temperature=0")[1]
    assert written("prompt=the cat", "tokens=50", "top_k=1", "seed=3")[1] == greedy
    assert written("prompt=the cat", "tokens=50", "top_p=1e-9")[1] == greedy
    assert written("prompt=the cat", "tokens=50", "temperature=0", "repetition_penalty=1000")[1] != greedy
    stop = text[20:23]
    end = text.index(stop, len("the cat"))
    assert written("prompt=the cat", "tokens=50", f"stop={stop}")[1] == text[:end] + "\n"


def test_a_prompt_that_is_too_long_or_unknown_is_told(written):
    _, text, errors = written("prompt=the cat likes the dog", "tokens=5", "temperature=0")
    assert errors == "prompt: it has 21 tokens; the model reads the last 8 of them.\n"
    assert text.startswith("the cat likes the dog")
    assert written("prompt= the dog", "tokens=5", "temperature=0")[1] == " the dog" + text[21:]
    assert written("prompt=%%", "tokens=1")[2] == "prompt: 2 tokens are unknown to the tokenizer of this run.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prompt="], "prompt='': expected a text with one token at least; it has none"),
        (["tokens=0"], "tokens=0: expected a whole number from 1"),
        (["tokens=many"], "tokens=many: expected a whole number"),
        (["temperature=-1"], "temperature: expected a number from 0; received -1.0"),
        (["top_k=0"], "top_k: expected a number of tokens from 1; received 0"),
        (["top_p=2"], "top_p: expected a probability above 0 and up to 1; received 2.0"),
        (["beams=2"], "beams=2: expected run=..., prompt=..."),
    ],
)
def test_wrong_arguments_are_refused(written, arguments, message):
    code, text, errors = written(*arguments)
    assert (code, text) == (2, "")
    assert message in errors


def test_a_run_of_another_kind_is_refused(digits, project, capsys):
    paths = f"paths.prepared={digits[1].folder.parent}"
    exported(Path("runs/net"), paths, "model.hidden=[4]")
    assert generate.main(["run=net"]) == 2
    assert "run=net: expected a language model, which says how a text goes on; the task of this run is Classification" in (
        capsys.readouterr().err
    )


def test_text_appears_as_soon_as_it_cannot_change():
    letters = {0: b"a", 1: "é".encode()[:1], 2: "é".encode()[1:], 3: b"x", 4: b"y"}

    def decode(numbers):
        return b"".join(letters[number] for number in numbers).decode(errors="replace")

    assert [*generate.pieces([0, 1, 2, 0], decode)] == ["a", "é", "a", ""]
    assert [*generate.pieces([0, 3, 0, 3, 4, 0], decode, before=[3, 4], stop="xy")] == ["a", "xa", ""]
    assert [*generate.pieces([0, 1], decode)] == ["a", "\ufffd"]
