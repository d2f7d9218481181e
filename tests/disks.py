"""Disks that fill up soon."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import require


@contextmanager
def small(folder: Path, *, size: str) -> Iterator[Path]:
    """A file system of its own in a new folder.

    Args:
        size: as mount takes it: 64k, 8m.
    """
    require(os.geteuid() == 0 and shutil.which("mount"), "needs root, to mount a small file system")
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False)
    require(mounted.returncode == 0, "this machine does not let its root mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
