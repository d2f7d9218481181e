"""The one entry to configurations that are stored in files: a run's own, a search's, a stage's. Such a file may be foreign.

Each `_target_` of a configuration is imported and called. What the user types or keeps in conf/ is the user's own. Whatever a
stored file names must be among these, or be a class that does nothing but compute: of this repository's seams, of torch.nn,
torch.optim or kornia.augmentation. All else is refused by its name, unless the user trusts the file (`trust=true`) or has
listed the name in conf/local/trusted.txt.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from src.config import checks, sources
from src.config.instantiation import located
from src.errors import InputError
from src.runs.identity import imported

LIST = "local/trusted.txt"  # in conf/: a dotted path on each line, `package.*` for all of a package
SEAMS = ("models", "layers", "tasks", "data", "optimization", "training.callbacks", "estimators", "evaluation")  # of src
PACKAGES = (*(f"src.{seam}." for seam in SEAMS), "torch.nn.", "torch.optim.", "kornia.augmentation.")
BASES = ("torch.nn.modules.module.Module", "torch.optim.optimizer.Optimizer", "torch.optim.lr_scheduler.LRScheduler")
REFERENCE = re.compile(r"\$\{[\w.\[\]]+\}")  # of another key of the same configuration
SELECT = re.compile(r"\$\{oc\.select:[\w.]+(,[\w. -]*)?\}")
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Command:
    """What the command that is running trusts.

    Args:
        all: whatever a stored file names.
        folders: of further configuration groups, which the user has named.
    """

    all: bool = False
    folders: list[Path] = field(default_factory=list)


_command: ContextVar[Command | None] = ContextVar("command", default=None)


@contextmanager
def command(*, new: bool = True) -> Iterator[None]:
    """What `grant` and `add` say holds to the end of the block.

    Args:
        new: whether the block begins with nothing, within another one too.
    """
    token = _command.set(Command() if new or _command.get() is None else _command.get())
    try:
        yield
    finally:
        _command.reset(token)


def grant(value: str) -> None:
    """Trusts stored files for the rest of the block of `command`, where `trust=` says so.

    Raises:
        InputError: it is neither true nor false.
    """
    if value.lower() not in ("true", "false"):
        raise InputError(f"trust={value}: expected true or false.")
    _running().all = value.lower() == "true"


def granted() -> bool:
    """Whether the command trusts stored files."""
    return (_command.get() or Command()).all


def add(folders: Sequence[Path]) -> None:
    """Counts further folders of configuration groups as the user's own."""
    _running().folders += folders


def load(path: Path, *, keys: Sequence[str] = (), remedy: str = "Write it anew.") -> DictConfig:
    """A stored configuration, which names nothing foreign.

    Args:
        keys: which it must have.
        remedy: what to do where the file is missing or wrong.

    Raises:
        InputError: it does, or it is no configuration, or not a whole one.
    """
    config = sources.load(path, remedy=remedy)
    content = OmegaConf.to_container(config, resolve=False)
    _check_references(content, path)
    check(content, path)
    sources.check_keys(config, keys, path, remedy=remedy)
    return config


def check(node: object, path: Path, own: Sequence[str] = ()) -> None:
    """Refuses a stored configuration that names something foreign.

    Args:
        node: a plain container, its interpolations unresolved.
        path: of the file.
        own: names that the user has typed, or composed from conf/.

    Raises:
        InputError: it does, and the user does not trust it.
    """
    names: dict[str, str] = {}
    for key, name in imported(node):
        names.setdefault(name, key)
    for name in own:
        names.pop(name, None)
    if not names:
        return
    trusted = _trusted()
    foreign = {name: key for name, key in names.items() if not (_matches(name, trusted) or _computes(name, key))}
    if not foreign:
        return
    listed = ", ".join(f"{name} ({key})" for name, key in foreign.items())
    if granted():
        print(f"trust=true: {path} names {listed}. Their code runs, because you trust this file.", file=sys.stderr)
        return
    raise InputError(
        f"{path}: expected classes of this repository, of torch, or that conf/ names; received {listed}. Their code would run "
        f"here. If you trust this file: trust=true. If you trust the name, always: add a line with it to conf/{LIST}."
    )


def _running() -> Command:
    running = _command.get()
    assert running is not None, "a block of trust.command is open"
    return running


def _check_references(node: object, path: Path, where: str = "") -> None:
    """Refuses interpolations that do more than refer to another key: a resolver can read the environment, or make a node."""
    if isinstance(node, str):
        if "${" not in SELECT.sub("", REFERENCE.sub("x", node)):
            return
        if granted():
            print(f"trust=true: {path} computes {where}={node}, because you trust this file.", file=sys.stderr)
            return
        raise InputError(
            f"{path}: expected values, or references to other keys; received {where}={node}, which is computed. Replace it by "
            "its value, or, if you trust this file: trust=true."
        )
    if isinstance(node, Mapping):
        for key, value in node.items():
            _check_references(value, path, f"{where}.{key}".lstrip("."))
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            _check_references(value, path, f"{where}.{number}")


def _trusted() -> set[str]:
    """The names that conf/ and the user's other folders of configuration groups state, and those that the user has listed."""
    names = set()
    for folder in (checks.CONF, *(_command.get() or Command()).folders):
        for path in sorted(folder.rglob("*.yaml")):
            text = path.read_text()
            if "_target_" in text:
                names |= {name for _, name in imported(_parsed(text))}
    listed = checks.CONF / LIST
    lines = listed.read_text().splitlines() if listed.is_file() else []
    return names | {line.partition("#")[0].strip() for line in lines} - {""}


def _parsed(text: str) -> object:
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError:  # it names nothing; whoever composes it is told
        return None


def _matches(name: str, trusted: set[str]) -> bool:
    parts = name.split(".")
    return name in trusted or any(f"{'.'.join(parts[:end])}.*" in trusted for end in range(1, len(parts)))


def _computes(name: str, where: str) -> bool:
    """Whether a name is that of a class of the seams, or of a layer, an optimizer or a schedule of a library.

    Only modules of these packages are imported to know it.
    """
    package = next((package for package in PACKAGES if name.startswith(package)), None)
    if package is None:
        return False
    target = located(name, where)
    if not isinstance(target, type) or not f"{target.__module__}.".startswith(package):
        return False
    bases = {f"{base.__module__}.{base.__qualname__}" for base in target.__mro__[1:]}
    return bool(bases & {*BASES}) or (package.startswith("src.") and any(base.startswith("src.") for base in bases))
