"""How a trained language model goes on: `python -m src.generate run=gpt-1a2b3c4d prompt="ROMEO:" tokens=200`.

run=RUN               its folder, the name of its folder, or runs:/ID of MLflow; no default
prompt=TEXT           what the text begins with; by default a line break
tokens=200            how many tokens are written at most
temperature=0.8       below 1: rather what is probable; 0: always the most probable token
top_k=                only so many of the most probable tokens
top_p=                only the most probable tokens that together have this probability
repetition_penalty=   above 1: rather tokens that the text does not have yet
stop=TEXT             where this appears the text ends, before it
seed=0                another seed gives another text
trust=false           true: the run's configuration may name any code

The text appears on the standard output while it is written; it begins with the prompt.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from src.config import command_line, composition, trust
from src.data.notes import counted
from src.data.token_stream import TokenStream
from src.decoding import Sampling
from src.errors import InputError
from src.learner import Continues

Number = TypeVar("Number", int, float)
UNFINISHED = "\ufffd"  # stands for the first bytes of a character whose others are not there yet


def generate(run: str, *, prompt: str = "\n", tokens: int = 200, stop: str = "", sampling: Sampling) -> Iterator[str]:
    """The text that a language model writes after a prompt, piece by piece.

    Args:
        stop: the text ends before it; empty for none.

    Raises:
        InputError: there is no such run, it is no language model, or the prompt has no token.
    """
    from dataclasses import replace

    from src.config import restoring
    from src.predictor import run_folder

    chosen = composition.compose([])
    with run_folder(run, Path(chosen.paths.runs), chosen.tracking.uri) as folder:
        experiment = restoring.for_predictions(folder)
    learner, data = experiment.learner, experiment.data
    if not isinstance(learner, Continues) or not isinstance(data, TokenStream):
        raise InputError(
            f"run={run}: expected a language model, which says how a text goes on; the task of this run is "
            f"{experiment.config['task']['_target_'].rpartition('.')[2]}. Choose a run of such a task, as of +experiment=gpt."
            if experiment.config.get("task")
            else f"run={run}: expected a language model, which says how a text goes on; this run has no network."
        )
    tokenizer = data.tokenizer
    numbers = tokenizer.spans([prompt])[0].tolist()
    if not numbers:
        raise InputError(
            f"prompt={prompt!r}: expected a text with one token at least; it has none. Write prompt=... with a word."
        )
    if unknown := sum(number in tokenizer.special for number in numbers):
        print(f"prompt: {counted(unknown, 'token is', 'tokens are')} unknown to the tokenizer of this run.", file=sys.stderr)
    if learner.context is not None and len(numbers) > learner.context:
        print(f"prompt: it has {len(numbers):,} tokens; the model reads the last {learner.context:,} of them.", file=sys.stderr)
        numbers = numbers[-learner.context :]
    own = replace(sampling, excluded=tokenizer.special)
    yield prompt
    yield from pieces(learner.continuation(numbers, count=tokens, sampling=own), tokenizer.decode, before=numbers, stop=stop)


def pieces(
    written: Iterable[int], decode: Callable[[Sequence[int]], str], *, before: Sequence[int] = (), stop: str = ""
) -> Iterator[str]:
    """The text of tokens that come one after the other, as soon as it cannot change.

    Args:
        before: tokens before them, which may decide whether a space lies between.
        stop: the text ends before it; empty for none.
    """
    numbers = [*before]
    text = begun = decode(numbers)
    shown = len(begun)
    for number in written:
        numbers.append(number)
        text = decode(numbers)
        if stop and (end := text.find(stop, len(begun))) >= 0:
            yield text[shown:end]
            return
        sure = len(text.rstrip(UNFINISHED)) - _begun(text, stop)
        if sure > shown:
            yield text[shown:sure]
            shown = sure
    yield text[shown:]


def _begun(text: str, stop: str) -> int:
    """How many letters at the end of a text may be the beginning of `stop`."""
    return next((size for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size])), 0)


def main(arguments: Sequence[str]) -> int:
    """Writes what a command line asks for; gives the exit code."""
    return command_line.call(_generate, arguments)


def _generate(arguments: Sequence[str]) -> None:
    values = command_line.keywords(
        arguments,
        run=None,
        prompt="\n",
        tokens="200",
        temperature="0.8",
        top_k="",
        top_p="1",
        repetition_penalty="1",
        stop="",
        seed="0",
        trust="false",
    )
    trust.grant(values["trust"])
    tokens = _number(values, "tokens", int)
    if tokens < 1:
        raise InputError(f"tokens={tokens}: expected a whole number from 1.")
    try:
        sampling = Sampling(
            temperature=_number(values, "temperature", float),
            top_k=_number(values, "top_k", int) if values["top_k"] else None,
            top_p=_number(values, "top_p", float) if values["top_p"] else 1.0,
            repetition_penalty=_number(values, "repetition_penalty", float) if values["repetition_penalty"] else 1.0,
            seed=_number(values, "seed", int),
        )
    except ValueError as error:
        raise InputError(str(error)) from error
    for piece in generate(values["run"], prompt=values["prompt"], tokens=tokens, stop=values["stop"], sampling=sampling):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()


def _number(values: dict[str, str], key: str, kind: type[Number]) -> Number:
    try:
        return kind(values[key])
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise InputError(f"{key}={values[key]}: expected {what}.") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
