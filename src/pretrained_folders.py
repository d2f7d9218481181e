"""Pretrained models in the form of Hugging Face: in a folder, in an installed package, or on the hub."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from src.errors import InputError

PACKAGE, HUB = "package:", "hub:"
FILES = ("config.json", "tokenizer.json", "*.safetensors", "*.safetensors.index.json")


def find(name: str, *, key: str) -> Path:
    """The folder of a pretrained model. Nothing is downloaded unless the name says so.

    Args:
        name: a folder; `package:NAME/FOLDER`, a folder inside an installed Python package; or `hub:OWNER/NAME`, which is
            downloaded from the hub once.
        key: of the configuration, for messages.

    Raises:
        InputError: there is none.
    """
    if name.startswith(HUB):
        return _downloaded(name.removeprefix(HUB), key)
    if name.startswith(PACKAGE):
        package, _, rest = name.removeprefix(PACKAGE).partition("/")
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise InputError(
                f"{key}={name}: expected an installed package {package}; there is none. Install it, or name a folder or "
                "hub:OWNER/NAME."
            )
        folder = Path(next(iter(spec.submodule_search_locations)), rest)
    else:
        folder = Path(name)
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{key}={name}: expected a folder with config.json, as save_pretrained writes it; there is none. Name another one, "
            "package:NAME/FOLDER of an installed package, or hub:OWNER/NAME, which is downloaded."
        )
    return folder


def architecture(name: str) -> dict[str, Any]:
    """What config.json says of a model, without what depends on the machine."""
    path = find(name, key="model.name") / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"model.name={name}: expected JSON in {path.name}; received something else: {error}.") from error
    if not isinstance(content, Mapping) or not content.get("model_type"):
        raise InputError(f"model.name={name}: expected config.json with a model_type; it has none. Name another model.")
    return {key: value for key, value in content.items() if not key.startswith("_") and key != "transformers_version"}


def _downloaded(name: str, key: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=[*FILES]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{key}=hub:{name}: expected a model that the hub of Hugging Face has; it cannot be downloaded: {reason}. Download "
            "it elsewhere, and name its folder."
        ) from error
