"""Sets up .venv with what pyproject.toml asks for, its extra dev too, in the versions and with the hashes of constraints.txt.

uv installs. Where uv cannot be had, or fails, pip does. `make` calls this; it also runs by itself: python3 install.py
"""

import ast
import fcntl
import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PIP = [str(PYTHON), "-m", "pip", "--disable-pip-version-check"]

# uv does not read pip's configuration. The mirrors, folders of wheels and certificates that pip uses hold for uv too.
PIP_TO_UV = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
}
# constraints.txt holds neither torch nor torchvision: pip's configuration may offer a CPU build of the same version, and that
# has another hash. It holds these packages, but only a CUDA build of torch needs them.
CUDA = re.compile("(nvidia|cuda)-|triton==")


def main() -> None:
    unfinished = VENV / ".unfinished"
    if unfinished.exists() or not _pip_works():
        _clear(unfinished)
        venv.create(VENV, with_pip=True, symlinks=True)
    unfinished.touch()
    (VENV / "ready").unlink(missing_ok=True)
    lock = entries((ROOT / "constraints.txt").read_text())
    if not _install_by_uv(lock):
        print("Installing with pip instead, which takes minutes", flush=True)
        _install_by_pip(lock)
    unfinished.unlink()
    (VENV / "ready").touch()


def entries(lock: str) -> list[str]:
    """One text for each package of a lock: its name, version and marker, and the hashes in the lines below."""
    return [entry for entry in re.split(r"\n(?=\S)", lock.strip()) if not entry.startswith("#")]


def uv_environment(pip_configuration: str) -> dict[str, str]:
    """The variables that tell uv what pip's configuration tells pip.

    Args:
        pip_configuration: what `pip config list` prints.
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}  # the later one wins, as for pip
    for line in pip_configuration.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in sections and name in PIP_TO_UV:
            sections[section][name] = ast.literal_eval(value)
    merged = {name: value for section in sections.values() for name, value in section.items()}
    found = {PIP_TO_UV[name][0]: PIP_TO_UV[name][1].join(value.split()) for name, value in merged.items()}
    return {**found, "UV_INDEX_STRATEGY": "unsafe-best-match"}  # pip takes the best match of all places


def _pip_works() -> bool:
    return PYTHON.exists() and subprocess.run([*PIP, "--version"], capture_output=True).returncode == 0


def _clear(unfinished: Path) -> None:
    VENV.mkdir(exist_ok=True)
    unfinished.touch()
    for path in VENV.iterdir():
        if path.is_dir() and not path.is_symlink():
            rmtree(path)
        elif path != unfinished:
            path.unlink()


def _install_by_uv(lock: list[str]) -> bool:
    (entry,) = (entry for entry in lock if entry.startswith("uv=="))
    # Without a wheel for this machine, pip would compile uv.
    if not _pip("--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", "/dev/stdin", given=entry):
        print("No uv can be had here. pip's reason stands above.", flush=True)
        return False
    listing = subprocess.run([*PIP, "config", "list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [str(VENV / "bin" / "uv"), "pip", "install", *quiet, "--python", str(PYTHON)]
    command += ["-r", "pyproject.toml", "--extra", "dev", "-c", "constraints.txt"]
    if not _run(command, environment={**uv_environment(listing), **os.environ}):
        print("uv has failed. Its reason stands above.", flush=True)
        return False
    return True


def _install_by_pip(lock: list[str]) -> None:
    """In two steps, for pip asks for the hashes of all packages or of none."""
    hashed = "\n".join(entry for entry in lock if not CUDA.match(entry) and not entry.startswith("uv=="))
    pins = "\n".join(entry.partition(" \\")[0] for entry in lock)
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    torch = [dependency for dependency in dependencies if dependency.startswith(("torch==", "torchvision=="))]
    if not (
        _pip("--no-deps", "--require-hashes", "-r", "/dev/stdin", given=hashed) and _pip("-c", "/dev/stdin", *torch, given=pins)
    ):
        sys.exit("error: neither uv nor pip could install what pyproject.toml asks for. Their reasons stand above.")


def _pip(*arguments: str, given: str) -> bool:
    return _run([*PIP, "install", "-qq", *arguments], given=given)


def _run(command: list[str], *, environment: Mapping[str, str] | None = None, given: str = "") -> bool:
    return subprocess.run(command, cwd=ROOT, env=environment, input=given, text=True).returncode == 0


if __name__ == "__main__":
    try:
        with Path(__file__).open() as own:
            fcntl.flock(own, fcntl.LOCK_EX)  # a second one waits
            main()
    except KeyboardInterrupt:
        sys.exit(130)
