"""Which code a run is computed by: the commit, and what is not committed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Code:
    """The state of this repository's working tree; empty where git knows of none.

    Args:
        diff: of the working tree against the commit.
    """

    commit: str = ""
    branch: str = ""
    diff: bytes = b""

    @classmethod
    def now(cls) -> Code:
        if shutil.which("git") is None:
            return cls()
        commit = _ask("rev-parse", "HEAD").decode().strip()
        diff = _ask("diff", "HEAD", "--no-color") if len(commit) == 40 else b""
        return cls(commit, _ask("rev-parse", "--abbrev-ref", "HEAD").decode().strip(), diff)

    def tags(self) -> dict[str, str]:
        """Of a run, under the names that MLflow knows."""
        if not self.commit:
            return {}
        return {
            "mlflow.source.git.commit": self.commit,
            "mlflow.source.git.branch": self.branch,
            "git.dirty": str(bool(self.diff)).lower(),
        }


def _ask(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False).stdout
