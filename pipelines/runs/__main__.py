"""Lists, shows and deletes runs: `python -m pipelines.runs where="test/accuracy > 0.9 and model == 'cnn'" sort=-test/accuracy`.

where=      the runs for which a condition holds: columns, numbers and 'texts' with == != < <= > >= in, and, or, not
sort=       columns, a - in front for the largest first; sort=-started if none is stated
columns=    which ones to show: run, state, started, fit_seconds, mlflow, problem; data, model, optimizer and other groups of
            conf/; every metric and setting by its name, as test/accuracy or optimizer.lr
output=     a CSV file, in place of the table; it has every column unless columns= names some
show=RUN    one run: its folder, the name of its folder, or runs:/ID of MLflow
delete=RUN  deletes runs, several with commas between them, and their records in MLflow; delete=true: those of where=
yes=false   true: deletes without asking
runs=runs   the folder of the runs
uri=        the tracking store of the records that are deleted; the user's own if none is stated

A run is running, finished, interrupted or failed; submitted, where its job has not begun; damaged, where a file of it cannot be
read, which `problem` names. A damaged run ends no command, and changes no exit code: a list is a list of what is there.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.runs import condition, deletion, table
from src.config import command_line, listing
from src.config.listing import Row
from src.errors import InputError
from src.runs import finding
from src.runs.folder import Run


def main(arguments: Sequence[str]) -> None:
    options = command_line.keywords(
        arguments, where="", sort="-started", columns="", output="", show="", delete="", yes="false", runs="runs", uri=""
    )
    if options["delete"]:
        _delete(options)
    elif options["show"]:
        from pipelines.runs import details  # it composes a configuration, which a list has no use for

        print(details.shown(Run(finding.folder("show", options["show"], runs=Path(options["runs"])))))
    else:
        _list(options)


def _delete(options: dict[str, str]) -> None:
    for key in ("show", "output", "columns"):
        if options[key]:
            raise InputError(f"{key}={options[key]}: expected delete= alone, or with where=. Leave it out.")
    if options["yes"] not in ("true", "false"):
        raise InputError(f"yes={options['yes']}: expected true or false.")
    if (options["delete"] == "true") is not bool(options["where"]):
        raise InputError(
            "delete: expected names of runs, delete=NAME-1a2b3c4d, or a condition, delete=true where=...; name either."
        )
    root = Path(options["runs"])
    found = listing.rows(root)
    chosen = (
        _selected(found, options["where"]) if options["where"] else deletion.named(_words(options["delete"]), found, root=root)
    )
    deletion.delete(chosen, root=root, uri=options["uri"], yes=options["yes"] == "true")


def _list(options: dict[str, str]) -> None:
    found = listing.rows(Path(options["runs"]))
    names = table.names(found)
    columns, keys = _words(options["columns"]), _words(options["sort"])
    for key, stated in (("columns", columns), ("sort", [key.removeprefix("-") for key in keys])):
        for name in stated if found else ():
            condition.check(key, name, names)
    found = table.ordered(_selected(found, options["where"]), keys)
    if options["output"]:
        table.write(found, columns, Path(options["output"]))
        print(f"{options['output']}: {len(found)} runs")
    else:
        print(table.shown(found, columns, width=_width()))
    for row in found:
        if row.values["problem"]:
            print(f"{row.run.folder.name} is damaged: {row.values['problem']}", file=sys.stderr)


def _selected(found: Sequence[Row], where: str) -> list[Row]:
    if not where or not found:
        return list(found)
    test = condition.Condition(where, table.names(found))
    return [row for row in found if test.holds(row.values)]


def _width() -> int | None:
    """Of the terminal; whatever reads a pipe takes lines of any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


if __name__ == "__main__":
    sys.exit(command_line.call(main, sys.argv[1:]))
