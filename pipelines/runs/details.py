"""One run: how it stands, its scores, the settings that differ from its experiment's own, its files, its page in MLflow."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipelines.results import link
from src.config import checks, command_line, composition, listing
from src.config.listing import Row
from src.config.summary import summary
from src.errors import InputError
from src.runs import changes, identity
from src.runs.files import read_json
from src.runs.folder import UPLOADED, Run
from src.runs.identity import flat

FACT = re.compile(r"\$\{data\.(\w+)\}")  # a key of the data that other keys refer to
ENDS = {"failure": "failure", "end.reason": "ended by"}  # tags of a record, and what they are called


def shown(run: Run) -> str:
    """All of that as text. What cannot be read is said in its place."""
    row = listing.row(run)
    parts = [command_line.table(_standing(row), str(run.folder))]
    if row.state == "finished":
        parts.append(summary(run))
    if not row.values["problem"]:
        parts.append(_settings(listing.configuration(run.config)) if run.config.is_file() else "no configuration yet")
    parts.append(command_line.table(dict(_files(run.folder)), "files"))
    return "\n\n".join(parts)


def _standing(row: Row) -> dict[str, object]:
    rows: dict[str, object] = {"state": row.state, "started": row.values["started"]}
    if row.values["problem"]:
        return {**rows, "problem": row.values["problem"]}
    tags = read_json(row.run.record).get("tags", {})
    ends = {name: tags[tag].splitlines()[0] for tag, name in ENDS.items() if tags.get(tag) and row.state != "running"}
    page = link(read_json(row.run.folder / UPLOADED))
    return {**rows, **ends, "MLflow": page or "not there yet; `python -m pipelines.sync` uploads what is missing"}


def _settings(config: Mapping[str, Any]) -> str:
    """The settings that differ from those of the experiment by this name, or from the defaults where there is none."""
    known = (checks.CONF / "experiment" / f"{config['name']}.yaml").is_file()
    name = f"+experiment={config['name']}" if known else "the defaults"
    try:
        composed = composition.compose([name] if known else [])
        own = _resolved(composed, config)
    except InputError as error:
        return f"settings: how they differ from {name} is not known. {error}"
    before, now = (dict(flat(_part(one))) for one in (own, config))
    if before.get("trainer.precision") == "auto":  # the run states what the machine chose
        before["trainer.precision"] = now.get("trainer.precision")
    for key in _following(composed, config):
        before.pop(key, None)
        now.pop(key, None)
    lines = [f"  {line}" for line in changes.settings_between(before, now)]
    return "\n".join([f"settings that differ from {name}", *lines]) if lines else f"settings: those of {name}"


def _resolved(composed: DictConfig, config: Mapping[str, Any]) -> dict[str, Any]:
    """A composed configuration with the facts of the data that a run was trained on."""
    names = {*FACT.findall(OmegaConf.to_yaml(composed, resolve=False))}
    facts = {key: config["data"][key] for key in names if key in config["data"] and composed.data.get(key, ...) is None}
    return composition.container(composition.resolve(composed, facts=facts))


def _following(composed: DictConfig, config: Mapping[str, Any]) -> Iterator[str]:
    """The keys that refer to others in a composed configuration, and have the value of those in a run's too."""
    for key, value in checks.leaves(composed):
        stored = OmegaConf.create(dict(config))
        if isinstance(value, str) and "${" in value and (own := OmegaConf.select(stored, key, default=...)) is not ...:
            OmegaConf.update(stored, key, value)
            with suppress(OmegaConfBaseException):  # the run has no such other key
                if OmegaConf.select(stored, key) == own:
                    yield key


def _part(config: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the result of a preparation, of a training and of its evaluation."""
    return {**identity.training_part(config), **{key: config.get(key) for key in ("data", *identity.EVALUATION)}}


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            count = sum(inner.is_file() for inner in path.rglob("*"))
            yield f"{path.name}/", f"{count} file{'' if count == 1 else 's'}"
        elif not path.name.startswith("."):
            size = path.stat().st_size
            yield path.name, f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
