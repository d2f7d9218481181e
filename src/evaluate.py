"""Any part of a run's data again: `python -m src.evaluate run=runs/cnn-1a2b3c4d split=test explanation=default`.

Settings of the evaluation can differ from the run's own: `evaluation.top_k=5`.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from src.config import command_line, composition
from src.errors import InputError
from src.runs import identity


def evaluate(run: Path, split: str, analyses: Mapping[str, str], settings: Sequence[str] = ()) -> None:
    """Evaluates a part with the run's best weights; writes predictions, figures and numbers, and prints them.

    The test part's files are the run's own; those of another part go into a folder of its name.

    Args:
        analyses: options of conf by their group, where they are not to be the run's own.
        settings: of the evaluation, `evaluation.KEY=VALUE` each, where they are not to be the run's own.
    """
    if split not in ("train", "val", "test"):
        raise InputError(f"split={split}: expected train, val or test.")
    if not run.is_dir():
        raise InputError(f"run={run}: expected the folder of a run; there is none. `ls runs` shows the runs.")
    composed: Any = OmegaConf.to_container(composition.compose([f"{key}={option}" for key, option in analyses.items()]))
    from src.config import assembly
    from src.evaluation import scoring

    other: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(settings)))
    experiment = assembly.restore(run, place={**{key: composed[key] for key in analyses}, **other})
    folder = run if split == "test" else run / split
    result = scoring.analyse(experiment, scoring.evaluate(experiment, split, folder), folder)
    scoring.save(experiment, result, folder)
    rows = {}
    for name, value in result.metrics.items():
        low, high = result.intervals.get(name, (None, None))
        rows[name] = f"{value:.4f}" + (f"  ({low:.4f} to {high:.4f})" if low is not None else "")
    print(command_line.table(rows))
    print(f"evaluation: {folder}")


def main(arguments: Sequence[str]) -> int:
    def work() -> None:
        settings = [argument for argument in arguments if argument.startswith("evaluation.")]
        rest = [argument for argument in arguments if argument not in settings]
        given = command_line.keywords(rest, run=None, split="test", **dict.fromkeys(identity.ANALYSES, ""))
        analyses = {group: given[group] for group in identity.ANALYSES if given[group]}
        evaluate(Path(given["run"]), given["split"], analyses, settings)

    return command_line.guard(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
