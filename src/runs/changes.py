"""What has changed since the latest run of the same name: identity.json of both, compared."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from src.errors import InputError
from src.runs.files import read_json
from src.runs.folder import Run
from src.runs.identity import Identity, digest, flat

NAMED = 3  # differences that the line names
WIDTH = 40  # characters of a value


def content(identity: Identity) -> dict[str, Any]:
    """identity.json: the digests of configuration, data and code, of each file of the code, the values, and versions."""
    values = dict(flat({**identity.config, "resume": identity.start}))
    return {
        "digest": identity.digest,
        "configuration": {"digest": digest(identity.config), "values": json.loads(json.dumps(values, default=str))},
        "data": {"digest": identity.data},
        "code": {"digest": digest(identity.code), "files": dict(identity.code)},
        "packages": dict(identity.packages),
    }


def since_latest(run: Run, name: str, identity: Identity) -> str | None:
    """One line about how a new run differs from the latest one of its name; None where there is none, or no difference.

    Args:
        name: of the configuration, the first part of the folder's name.
    """
    latest = _latest(run.folder, name)
    if latest is None:
        return None
    try:
        old = read_json(latest.identity, keys=("configuration", "data", "code"))
    except InputError as error:  # of another run, which does not hold up this one
        return f"new run: how it differs from {latest.folder.name} is not known. {error}"
    differences = list(_differences(old, content(identity)))
    if not differences:
        return None
    more = f" and {len(differences) - NAMED} more" if len(differences) > NAMED else ""
    return f"new run: {', '.join(differences[:NAMED])}{more} since {latest.folder.name}"


def settings_between(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """The settings that differ, each as `key before -> now`. Of a node with another class, the class alone counts.

    Args:
        before, now: by dotted key.
    """
    keys = [key for key in {*before, *now} if before.get(key, ...) != now.get(key, ...)]
    replaced = [key.removesuffix("_target_") for key in keys if key.endswith("._target_")]
    named = set()
    for key in sorted(keys, key=lambda key: (key.count("."), key)):
        inside = any(key.startswith(node) and key != f"{node}_target_" for node in replaced)
        around = any(other.startswith(f"{key}.") for other in keys)  # null that has become a node, or the reverse
        change = f"{_shown(before, key)} -> {_shown(now, key)}"
        # A key of the same name further out has the same change: this one follows it, as data.seed follows seed.
        follows = (key.rpartition(".")[2], change) in named
        named.add((key.rpartition(".")[2], change))
        if not (inside or around or follows):
            yield f"{key} {change}"


def _latest(folder: Path, name: str) -> Run | None:
    """The run of this name beside a folder that began last."""
    pattern = re.compile(rf"{re.escape(name)}-[0-9a-f]{{8}}(\.\d+)?")
    runs = [Run(path) for path in folder.parent.iterdir() if pattern.fullmatch(path.name) and path != folder]
    begun = [run for run in runs if run.identity.is_file()]
    return max(begun, key=lambda run: run.identity.stat().st_mtime_ns, default=None)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    settings = list(settings_between(old["configuration"]["values"], new["configuration"]["values"]))
    yield from settings
    if old["data"] != new["data"]:
        yield "the prepared data changed"
    versions = old.get("packages", {})
    for name, version in new["packages"].items():
        if versions.get(name, version) != version:
            yield f"{name} {versions[name]} -> {version}"
    before, now = old["code"]["files"], new["code"]["files"]
    for path in sorted({*before, *now}):
        if path in before and path in now:
            if before[path] != now[path]:
                yield f"{path} changed"
        elif not settings:  # where other classes are named, that other files belong to them says nothing new
            yield f"{path} is {'used' if path in now else 'not used any more'}"


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "nothing"
    text = values[key] if isinstance(values[key], str) else json.dumps(values[key])
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."
