"""Answers of a trained run for raw input: `python -m src.predict run=cnn-1a2b3c4d input=photographs output=answers.csv`.

run=RUN          its folder, the name of its folder, or runs:/ID of MLflow; no default
input=PATH       a file, a folder, a table (.csv, .tsv, .parquet) of paths, an array (.npy); - for paths on the standard input
output=FILE      .parquet, .csv or .jsonl; by default the answers are printed
column=path      of the table, with the paths; one that is not absolute begins in the folder of the table
explanation=     an option of conf/explanation, such as default: draws why the first inputs have their answers, beside FILE
trust=false      true: the run's configuration may name any code

What cannot be read is listed in the end, with exit code 1. It costs no other answer.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from src.config import command_line, composition, trust
from src.data import inputs
from src.data.notes import counted
from src.errors import InputError
from src.evaluation import answers
from src.predictor import SHOWN, NotAnswered, Predictor, Unreadable
from src.runs.files import write_atomic


def predict(
    run: str, input: str, *, output: str = "", column: str = "path", explanation: str = "", trust: bool = False
) -> None:
    """Writes or prints the answers of a run for raw inputs.

    The arguments are those of the command line.

    Raises:
        NotAnswered: some inputs cannot be read; all others have their answers.
    """
    from tqdm import tqdm

    if output:
        answers.check(Path(output))
    if explanation and (not output or input == inputs.STANDARD):
        raise InputError(
            f"explanation={explanation}: expected output=FILE, beside which the figures lie, and inputs read twice; "
            f"received output={output} and input={input}. Name files for both."
        )
    chosen = composition.compose([f"explanation={explanation}"] if explanation else [])
    analyses = {"explanation": composition.container(chosen)["explanation"]} if explanation else {}
    predictor = Predictor.load(run, runs=chosen.paths.runs, tracking=chosen.tracking.uri, trust=trust, analyses=analyses)
    found = inputs.find(input, predictor.reader, column=column)
    if found.left_out:
        others = counted(found.left_out, "file of another kind is", "files of other kinds are")
        print(f"input={input}: {others} left out.", file=sys.stderr)
    unreadable: list[Unreadable] = []
    with (
        answers.writer(Path(output) if output else None, single=found.total == 1) as writer,
        tqdm(total=found.total, unit="input", file=sys.stderr, disable=not sys.stderr.isatty(), leave=False) as bar,
    ):
        for table in predictor.stream(found.items, unreadable=unreadable, total=found.total):
            writer.write(table)
            bar.update(len(table))
    if output:
        print(f"answers: {output} ({writer.rows:,})")
    if explanation and writer.rows:
        folder = Path(output).with_suffix(".figures")
        predictor.explain(inputs.find(input, predictor.reader, column=column).items, folder)
        print(f"explanations: {folder}")
    if unreadable:
        file = Path(output).with_suffix(".unreadable.txt") if output and len(unreadable) > SHOWN else None
        if file is not None:
            write_atomic(file, "".join(f"{name}: {reason}\n" for name, reason in unreadable).encode())
        raise NotAnswered(unreadable, answered=writer.rows, file=file)


def main(arguments: Sequence[str]) -> int:
    """Predicts what a command line names; gives the exit code."""
    return command_line.call(_predict, arguments)


def _predict(arguments: Sequence[str]) -> None:
    values = command_line.keywords(arguments, run=None, input=None, output="", column="path", explanation="", trust="false")
    trust.grant(values["trust"])
    trusted = trust.granted()
    predict(**{key: value for key, value in values.items() if key != "trust"}, trust=trusted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
