"""params.yaml: which experiments `dvc repro` reproduces, which are searched first, and where they train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from omegaconf import OmegaConf

from src.config import checks, sources
from src.errors import InputError
from src.value_types import mismatch

PATH = Path("params.yaml")
REMEDY = "The repository's own file shows its keys: experiments, sweeps and cluster."
TYPES: Mapping[str, Any] = {
    "experiments": Sequence[str],
    "sweeps": Mapping[str, Sequence[str]] | None,
    "cluster": str | None,
}


@dataclass(frozen=True)
class Params:
    """The content of params.yaml.

    Args:
        sweeps: by experiment, the arguments of its search.
        cluster: an option of conf/cluster; None for this machine.
    """

    experiments: Sequence[str]
    sweeps: Mapping[str, Sequence[str]]
    cluster: str | None

    @classmethod
    def read(cls) -> Self:
        """Reads the file in the working folder.

        Raises:
            InputError: it is missing, no YAML, or has other keys or values.
        """
        content: Any = OmegaConf.to_container(sources.load(PATH, remedy=REMEDY))
        for key, value in content.items():
            if key not in TYPES:
                raise InputError(f"{PATH}: {key}: there is no such key ({checks.nearest(str(key), list(TYPES))}). {REMEDY}")
            if (expected := mismatch(value, TYPES[key])) is not None:
                shown = "null" if value is None else value
                raise InputError(f"{PATH}: {key}: expected {expected}; received {shown}. Correct it.")
        names = content.get("experiments") or []
        if not names:
            raise InputError(f"{PATH}: experiments: expected names of files in conf/experiment; received none. {REMEDY}")
        if doubles := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{PATH}: experiments: expected each name once; received {', '.join(doubles)} again.")
        return cls(names, content.get("sweeps") or {}, content.get("cluster"))
