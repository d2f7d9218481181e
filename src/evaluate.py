"""Evaluates a run again, on any split: `python -m src.evaluate run=cnn-1a2b3c4d split=val explanation=default`.

run=RUN                     its folder, the name of its folder, or runs:/ID of MLflow; no default
split=test                  train, val or test
explanation=, robustness=   an option of that group in conf/, in place of the run's own
evaluation.KEY=VALUE        a setting of the evaluation, in place of the run's own, such as evaluation.top_k=5
trust=false                 true: the run's configuration may name any code
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from src.config import command_line, composition, run_folders, trust
from src.errors import InputError
from src.runs import finding, identity
from src.runs.folder import Run


def evaluate(run: str | Path, split: str, analyses: Mapping[str, str], settings: Sequence[str] = ()) -> None:
    """Evaluates a split with the run's best weights; writes predictions, figures and numbers, and prints the numbers.

    The files of the test split are the run's own; those of another split go into a folder of its name.

    Args:
        run: its folder, or another name of it, as `src.runs.finding` takes it.
        analyses: options of conf by their group, in place of the run's own.
        settings: `evaluation.KEY=VALUE` each, in place of the run's own.
    """
    if split not in ("train", "val", "test"):
        raise InputError(f"split={split}: expected train, val or test.")
    chosen = composition.compose([f"{key}={option}" for key, option in analyses.items()])
    run = finding.folder("run", str(run), runs=Path(chosen.paths.runs))
    Run(run).check_files()
    nodes = OmegaConf.merge(OmegaConf.masked_copy(chosen, [*analyses]), OmegaConf.from_dotlist([*settings]))
    assert isinstance(nodes, DictConfig)
    run_folders.resolved(nodes, runs=Path(chosen.paths.runs))
    overrides = OmegaConf.to_container(nodes)  # its interpolations resolve in the run's configuration
    assert isinstance(overrides, dict)
    from src.config import restoring
    from src.evaluation import scoring

    experiment = restoring.restore(run, overrides={str(key): node for key, node in overrides.items()})
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
    """Evaluates what a command line names; gives the exit code."""
    return command_line.call(_evaluate, arguments)


def _evaluate(arguments: Sequence[str]) -> None:
    settings = [argument for argument in arguments if argument.startswith("evaluation.")]
    rest = [argument for argument in arguments if argument not in settings]
    values = command_line.keywords(rest, run=None, split="test", trust="false", **dict.fromkeys(identity.ANALYSES, ""))
    trust.grant(values["trust"])
    analyses = {group: values[group] for group in identity.ANALYSES if values[group]}
    evaluate(values["run"], values["split"], analyses, settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
