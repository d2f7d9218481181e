"""The import rules hold, each catches what it is for, and no module imports itself by way of others."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.repository import ROOT, clone, run

DOWN, NOWHERE = "src imports downwards", "kornia is reached through conf alone, dvc through dvc.yaml"
# By what is planted: the contract that it breaks, the file, the line, and what the report says of it.
PLANTED = {
    "src knows pipelines": (
        "pipelines know about many runs, src about one",
        "src/runs/folder.py",
        "import pipelines.compose",
        "src.runs.folder -> pipelines.compose",
    ),
    "a model knows the assembly": (
        DOWN,
        "src/models/cnn.py",
        "import src.config.assembly",
        "src.models.cnn -> src.config.assembly",
    ),
    "siblings know each other": (DOWN, "src/tasks/binary.py", "import src.data.store", "src.tasks.binary -> src.data.store"),
    "a module without a place": (DOWN, "src/utils.py", "ROOM = 'for everything'", "- src.utils"),
    "a pipeline without a place": (
        "pipelines import downwards",
        "pipelines/misc.py",
        "ROOM = 'for everything'",
        "- pipelines.misc",
    ),
    "a model knows a model": (
        "models do not import models",
        "src/models/cnn.py",
        "import src.models.fnn",
        "src.models.cnn -> src.models.fnn",
    ),
    "a circle": (
        "no circle of modules or packages",
        "src/runs/files.py",
        "import src.runs.folder",
        "No cycles are allowed in src.runs",
    ),
    "mlflow": ("mlflow only in tracking", "src/training/learner.py", "import mlflow", "src.training.learner -> mlflow"),
    "hydra": ("hydra only in config and pipelines", "src/train.py", "import hydra", "src.train -> hydra"),
    "omegaconf": (
        "omegaconf not below config",
        "src/training/learner.py",
        "import omegaconf",
        "src.training.learner -> omegaconf",
    ),
    "optuna": ("optuna only in pipelines", "src/train.py", "import optuna", "src.train -> optuna"),
    "captum": ("captum only in evaluation", "src/training/learner.py", "import captum", "src.training.learner -> captum"),
    "kornia": (NOWHERE, "src/data/augmentation.py", "import kornia", "src.data.augmentation -> kornia"),
    "dvc": (NOWHERE, "pipelines/stage.py", "import dvc", "pipelines.stage -> dvc"),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What lint-imports reports for each contract after all violations are planted together."""
    copy = clone(tmp_path_factory.mktemp("rules"))
    for _, file, line, _ in PLANTED.values():
        with open(copy / file, "a") as text:
            text.write(f"\n{line}\n")
    output = run(copy, "lint-imports", "--no-cache", code=1).stdout
    names = {contract for contract, *_ in PLANTED.values()}
    details = output.partition("Broken contracts")[2]
    starts = sorted((details.index(f"\n{name}\n"), name) for name in names if f"\n{name}\n" in details)
    ends = [start for start, _ in starts[1:]] + [len(details)]
    return {name: details[start:end] for (start, name), end in zip(starts, ends, strict=True)}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_caught(report, name):
    contract, _, _, expected = PLANTED[name]
    assert expected in report[contract]


def test_the_rules_hold_and_each_has_a_planted_violation(report):
    output = run(ROOT, "lint-imports", "--no-cache").stdout
    assert {line.removesuffix(" KEPT") for line in output.splitlines() if line.endswith(" KEPT")} == set(report)


@pytest.mark.slow
def test_no_module_imports_itself_by_way_of_others():
    """Imports inside functions, those only for the type checker, and those by name count too."""
    graph = grimp.build_graph("src", "pipelines", cache_dir=None)
    imports = {module: {*graph.find_modules_directly_imported_by(module)} for module in graph.modules}
    for module in imports:
        imports[module] |= {name for name in _by_name(module) if name in imports}
    assert _circle(imports) == ""


def test_no_module_is_the_place_for_everything():
    lines = {path: len(path.read_text().splitlines()) for top in ("src", "pipelines") for path in ROOT.glob(f"{top}/**/*.py")}
    assert len(lines) > 150
    assert {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > 250} == {}


def test_a_circle_is_shown():
    assert _circle({"a": {"b"}, "b": {"a"}, "c": set()}) in ("a -> b -> a", "b -> a -> b")


def _circle(imports: Mapping[str, set[str]]) -> str:
    """Modules that import one another; empty where none do."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as circle:
        return " -> ".join(circle.args[1])
    return ""


def _by_name(module: str) -> Iterator[str]:
    """The modules that a module imports by importlib.import_module("...")."""
    path = ROOT / Path(*module.split("."))
    path = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))
