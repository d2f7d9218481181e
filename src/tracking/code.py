"""Which code a run is computed by: the commit, and what is not committed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from src.runs.masking import mask

ROOT = Path(__file__).resolve().parents[2]
LOCK = "dvc.lock"  # `dvc repro` writes it while it trains; it states no code
LARGEST, ROOM = 2**20, 10 * 2**20  # bytes of a new file, and of all; the others are named, and are hardly code


@dataclass(frozen=True)
class Code:
    """The state of this repository's working tree; empty where git knows of none.

    Args:
        diff: of the working tree against the commit, with the files that git does not know yet; passwords in it are masked.
    """

    commit: str = ""
    branch: str = ""
    diff: bytes = b""

    @classmethod
    def now(cls) -> Code:
        if shutil.which("git") is None:
            return cls()
        commit = _ask("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
        if not commit:  # a repository without one, or none
            return cls()
        return cls(commit, _ask("rev-parse", "--abbrev-ref", "HEAD").decode().strip(), _diff())

    def tags(self) -> dict[str, str]:
        """Of a run, under the names that MLflow knows."""
        if not self.commit:
            return {}
        return {
            "mlflow.source.git.commit": self.commit,
            "mlflow.source.git.branch": self.branch,
            "git.dirty": str(bool(self.diff)).lower(),
        }


def _diff() -> bytes:
    listed = _ask("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
    new = [os.fsdecode(name) for name in listed if name not in (b"", LOCK.encode())]
    sizes = {name: (ROOT / name).lstat().st_size for name in new if (ROOT / name).is_file()}
    kept, room = [], ROOM
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        if sizes[name] <= min(LARGEST, room):
            kept.append(name)
            room -= sizes[name]
    left_out = "".join(f"# left out, {sizes[name]:,} bytes: {name}\n" for name in sorted({*sizes} - {*kept}))
    return os.fsencode(mask(left_out + os.fsdecode(_against_commit(kept))))


def _against_commit(new: Sequence[str]) -> bytes:
    """The difference to the commit, as if these new files were about to be added. The index of git stays as it is."""
    if not new:
        return _changes()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        own = Path(os.fsdecode(_ask("rev-parse", "--git-path", "index")).strip())
        if (ROOT / own).is_file():
            shutil.copyfile(ROOT / own, index)
        names = b"\0".join(map(os.fsencode, new))
        _ask("add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul", index=index, stdin=names)
        return _changes(index)


def _changes(index: Path | None = None) -> bytes:
    return _ask("diff", "HEAD", "--no-color", "--", ".", f":(exclude){LOCK}", index=index, literal=False)


def _ask(*arguments: str, index: Path | None = None, stdin: bytes = b"", literal: bool = True) -> bytes:
    """What git prints.

    Args:
        index: in place of the repository's own.
        literal: whether paths are names, and no patterns.
    """
    environment = {
        **os.environ,
        "GIT_LITERAL_PATHSPECS": str(int(literal)),
        **({"GIT_INDEX_FILE": str(index)} if index else {}),
    }
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, input=stdin, env=environment, capture_output=True, check=False).stdout
