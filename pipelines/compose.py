"""The compose stage: `python -m pipelines.compose` writes one resolved file for each experiment of params.yaml into build/.

Each file has a fingerprint of the code of each stage, and is written only if its text changes. The file of an experiment that
is no longer listed is removed.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from pipelines.params import Params
from pipelines.results import RESULTS
from src.config import checks, command_line, composition, pairing
from src.errors import InputError
from src.runs import closure, identity, modules
from src.runs.files import write_atomic, write_json
from src.runs.masking import mask

BUILD = Path("build")
DVC = Path("dvc.yaml")
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
        if name not in sweeps:  # dvc keeps the outs of a stage that is gone, and train and report depend on these
            (RESULTS / name / "inputs" / "tuned.yaml").unlink(missing_ok=True)
            shutil.rmtree(RESULTS / name / "search", ignore_errors=True)
    Path("data/raw").mkdir(parents=True, exist_ok=True)  # where a user's own data lies; prepare depends on it


def composed(name: str, sweep: Sequence[str] | None) -> DictConfig:
    """The configuration of an experiment, resolved but for the facts of the prepared data, with `sweep` and `code`.

    Args:
        sweep: the arguments of its search; None where there is none.
    """
    config = composition.resolve_without_facts(composition.compose([f"+experiment={name}", *(sweep or [])]))
    pairing.check(config)
    if sweep is None:
        config.sweep = None
    content: Any = OmegaConf.to_container(config)
    source = identity.targets(content["data"]["dataset"]["source"])
    training = identity.targets(identity.training_part(content))
    evaluation = identity.targets([content[key] for key in identity.EVALUATION])
    _check_dependencies(name, [*source, *training, *evaluation])
    stage = identity.tree("pipelines.stage")
    code = identity.code(training, verb="train")
    searched = {"sweep": content.get("sweep"), "config": identity.training_part(content), "code": code, "search": _search()}
    evaluated = identity.code([*training, *evaluation, "src.evaluation.final.evaluate_test"])
    config.code = {
        "prepare": identity.code([*source, "src.data.store.prepare"])[:16],
        "sweep": identity.digest(searched)[:16] if sweep else None,
        "train": identity.digest([stage, code])[:16],
        "evaluate": identity.digest([stage, evaluated])[:16],
    }
    return config


def _check_dependencies(name: str, targets: Sequence[str]) -> None:
    """Refuses code outside src that dvc.yaml does not list for this stage, because dvc would not notice an edit of it."""
    files = [modules.module(module).path for module in sorted(closure.closure(targets))]
    outside = [path for path in files if path is not None and not path.is_relative_to(modules.ROOT / "src")]
    if not outside:
        return
    stages: Any = yaml.safe_load(DVC.read_text())["stages"]
    listed = [path for entry in stages["compose"]["deps"] for path in ([entry] if isinstance(entry, str) else entry)]
    folders = [Path(path).resolve() for path in listed]
    for path in outside:
        if not any(path.resolve().is_relative_to(folder) for folder in folders):
            shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            raise InputError(
                f"{name}: expected code of src, or of a folder that dvc.yaml lists under deps of its stage compose; received "
                f"{shown}, an edit of which dvc would not notice. Add the line there: - {shown.parent}"
            )


def _search() -> list[str]:
    """The syntax trees of the search."""
    return [identity.tree(f"pipelines.sweep.{path.stem}") for path in sorted(SWEEP.glob("*.py"))]


if __name__ == "__main__":
    sys.exit(command_line.call(main, sys.argv[1:]))
