"""Compositions that are remembered: Hydra reads and merges some thirty files for each, which takes longer than most tests."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.defaults_list import DefaultsList

from tests.repository import ROOT

OWN = (f"file://{ROOT / 'conf'}", "pkg://", "structured://")


def remember(patch: pytest.MonkeyPatch) -> None:
    """Remembers what the groups of a command line choose. Its values are set in a copy of that, as Hydra does it."""
    list_defaults, merge = config_loader_impl.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list
    lists: dict[Any, DefaultsList] = {}
    merged: dict[int, Any] = {}

    def create_defaults_list(repo: Any, config_name: str, overrides_list: list[Any], **settings: bool) -> DefaultsList:
        sources = tuple(f"{source.scheme()}://{source.path}" for source in repo.get_sources())
        if not all(source.startswith(OWN) for source in sources) or any(one.is_sweep_override() for one in overrides_list):
            return list_defaults(repo, config_name, overrides_list, **settings)
        groups = [one for one in overrides_list if repo.group_exists(one.key_or_group) and not isinstance(one.value(), dict)]
        key = (sources, config_name, *settings.items(), *(one.input_line for one in groups))
        if key not in lists:
            lists[key] = list_defaults(repo, config_name, groups, **settings)
        known, values = lists[key], [one for one in overrides_list if one not in groups]
        return DefaultsList(known.defaults, known.defaults_tree, values, known.overrides)

    def compose(self: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> Any:
        if not any(defaults is known.defaults for known in lists.values()):
            return merge(self, defaults, repo)
        if id(defaults) not in merged:
            merged[id(defaults)] = merge(self, defaults, repo)
        return copy.deepcopy(merged[id(defaults)])

    read, files = FileConfigSource.load_config, {}

    def load_config(self: FileConfigSource, config_path: str) -> Any:
        path = Path(self.path, self._normalize_file_name(config_path))
        if not path.is_file():
            return read(self, config_path)
        state = path.stat()
        key = (path, state.st_ino, state.st_size, state.st_mtime_ns)
        if key not in files:
            files[key] = read(self, config_path)
        return copy.deepcopy(files[key])

    patch.setattr(FileConfigSource, "load_config", load_config)
    patch.setattr(config_loader_impl, "create_defaults_list", create_defaults_list)
    patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", compose)
