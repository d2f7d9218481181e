"""A run as it was submitted: a copy of code and configuration in its folder, from which a cluster trains it."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.config import sources, trust
from src.errors import InputError
from src.runs import closure, identity, modules
from src.runs.files import read_json, write_atomic, write_json
from src.runs.folder import Run
from src.runs.modules import Module
from src.tracking.code import Code

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 256 * 2**20  # bytes of code; more is hardly code


@dataclass(frozen=True)
class Submission:
    """The folder `submission` of a run.

    Args:
        code: the files of the repository, from which the job imports. It goes when the run is finished.
        exit: the file that the job leaves, with its id and its exit code.
    """

    run: Run

    @property
    def folder(self) -> Path:
        return self.run.folder / "submission"

    @property
    def code(self) -> Path:
        return self.folder / "code"

    @property
    def exit(self) -> Path:
        return self.folder / "exit"

    @property
    def log(self) -> Path:
        """The log of all jobs that have trained the run."""
        return self.run.folder / "job.log"

    @property
    def job(self) -> dict[str, Any]:
        """The job that trains the run: its `id`, and the bytes of the log `before` it; empty where there is none."""
        return read_json(self.folder / "job.json", keys=("id", "before"), remedy=self._remedy)

    @property
    def _remedy(self) -> str:
        return f"Delete {self.folder}; the command that submitted the run then submits it anew."

    def freeze(self, config: DictConfig, *, test: bool) -> None:
        """Copies what the job needs into the folder.

        Args:
            config: complete, as `train` takes it.
            test: whether the run is evaluated on the test part too.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        files = _files(ROOT, self.run.folder.resolve().parent)
        if sum(path.stat().st_size for path in files) > LARGEST:
            largest = max(files, key=lambda path: path.stat().st_size)
            raise InputError(
                f"expected at most {LARGEST // 2**20} MiB of code to freeze; received more, and {largest} is the largest file. "
                "What .gitignore lists is left out."
            )
        for path in files:
            target = self.code / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        for module in _outside(OmegaConf.to_container(config, resolve=False)):
            target = self.code / module.file
            if module.path is not None and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(module.path, target)
        state = Code.now()
        write_atomic(self.folder / "config.yaml", OmegaConf.to_yaml(config).encode(), private=True)  # a password may be in it
        write_atomic(self.folder / "uncommitted.diff", state.diff)
        settings = {"test": test, "trust": trust.granted(), "commit": state.commit, "branch": state.branch}
        write_json(self.folder / "settings.json", settings)

    def record_job(self, job: str) -> None:
        """Remembers which job trains the run."""
        before = self.log.stat().st_size if self.log.is_file() else 0
        write_json(self.folder / "job.json", {"id": job, "before": before})

    def load(self) -> tuple[DictConfig, bool, Code]:
        """What was frozen: the configuration, whether the run is evaluated on the test part, and the state of the code.

        The job trusts what the command that submitted it trusts.
        """
        config = sources.load(self.folder / "config.yaml", remedy=self._remedy)
        settings = read_json(self.folder / "settings.json", keys=("test", "trust", "commit", "branch"), remedy=self._remedy)
        if settings["trust"] is True:
            trust.grant("true")
        diff = (self.folder / "uncommitted.diff").read_bytes()
        return config, settings["test"], Code(settings["commit"], settings["branch"], diff)


def _outside(content: object) -> list[Module]:
    """The modules outside this repository that the run is computed by, as its identity counts them."""
    names = closure.closure(identity.targets(content))
    return [modules.module(name) for name in sorted(names) if name.partition(".")[0] not in modules.OWN]


def _files(root: Path, runs: Path) -> list[Path]:
    """The files that git tracks or would track; the code and the configuration where git knows of no repository."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"], capture_output=True, text=True, check=False
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else _plain(root)
    paths = [root / name for name in dict.fromkeys(names) if name]
    return [path for path in paths if path.is_file() and not path.is_relative_to(runs)]


def _plain(root: Path) -> Iterator[str]:
    for folder in ("src", "conf", "pipelines"):
        for path in sorted((root / folder).rglob("*")):
            if "__pycache__" not in path.parts:
                yield str(path.relative_to(root))
