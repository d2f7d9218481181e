"""The compose stage: `python -m pipelines.compose` writes one resolved file for each experiment of params.yaml into build/.

Each file has a fingerprint of the code of each stage, and is written only if its text changes. The file of an experiment that
is no longer listed is removed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pipelines.params import Params
from pipelines.results import RESULTS
from src.config import checks, command_line, composition
from src.errors import InputError
from src.runs import identity
from src.runs.files import write_atomic, write_json
from src.runs.masking import mask

BUILD = Path("build")
SWEEP = Path(__file__).with_name("sweep")


def main(arguments: Sequence[str] = ()) -> None:
    command_line.keywords(arguments)
    params = Params.read()
    names, sweeps = params.experiments, params.sweeps
    unknown = sorted({*names, *sweeps} - {*checks.options("experiment")})
    if unknown:
        hints = "; ".join(f"{name}: {checks.nearest(name, checks.options('experiment'))}" for name in unknown)
        raise InputError(f"params.yaml: expected experiments and sweeps of conf/experiment; received {hints}.")
    texts = {name: mask(OmegaConf.to_yaml(composed(name, sweeps.get(name)))) for name in names}
    for name in {*sweeps} - {*names}:  # its sweep stage exists, and does nothing: dvc makes a stage of each entry
        print(f"params.yaml: the sweep of {name} is ignored, because experiments does not list {name}.")
        texts[name] = OmegaConf.to_yaml({"code": {"sweep": None}})
        if not (card := RESULTS / name / "inputs" / "card.json").is_file():
            write_json(card, {})
    BUILD.mkdir(exist_ok=True)
    for path in BUILD.glob("*.yaml"):
        if path.stem not in texts:
            path.unlink()
    for name, text in texts.items():
        path = BUILD / f"{name}.yaml"
        if not path.is_file() or path.read_text() != text:
            write_atomic(path, text.encode())
        if name not in sweeps:  # dvc keeps the outs of a stage that is gone, and train depends on this one
            (RESULTS / name / "inputs" / "tuned.yaml").unlink(missing_ok=True)
    Path("data/raw").mkdir(parents=True, exist_ok=True)  # where a user's own data lies; prepare depends on it


def composed(name: str, sweep: Sequence[str] | None) -> DictConfig:
    """The configuration of an experiment, resolved but for the facts of the prepared data, with `sweep` and `code`.

    Args:
        sweep: the arguments of its search; None where there is none.
    """
    config = composition.resolve_without_facts(composition.compose([f"+experiment={name}", *(sweep or [])]))
    if sweep is None:
        config.sweep = None
    content: Any = OmegaConf.to_container(config)
    source = content["data"]["dataset"]["source"]["_target_"]
    training = identity.targets(identity.training_part(content))
    evaluation = identity.targets([content[key] for key in identity.EVALUATION])
    stage = identity.tree("pipelines.stage")
    code = identity.code(training, verb="train")
    searched = {"sweep": content.get("sweep"), "config": identity.training_part(content), "code": code, "search": _search()}
    evaluated = identity.code([*training, *evaluation, "src.evaluation.final.evaluate_test"])
    config.code = {
        "prepare": identity.code([source, "src.data.store.prepare"])[:16],
        "sweep": identity.digest(searched)[:16] if sweep else None,
        "train": identity.digest([stage, code])[:16],
        "evaluate": identity.digest([stage, evaluated])[:16],
    }
    return config


def _search() -> list[str]:
    """The syntax trees of the search."""
    return [identity.tree(f"pipelines.sweep.{path.stem}") for path in sorted(SWEEP.glob("*.py"))]


if __name__ == "__main__":
    sys.exit(command_line.call(main, sys.argv[1:]))
