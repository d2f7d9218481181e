import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import install
from tests.repository import ROOT

LOCK = install.entries((ROOT / "constraints.txt").read_text())


def test_uv_looks_where_pip_looks():
    configuration = (
        ":env:.find-links='/env/wheels'\n:env:.no-input='1'\n"
        "global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'\n"
        "global.find-links='/etc/wheels'\nglobal.index-url='https://etc.example/simple'\n"
        "install.index-url='https://user:p=w@home.example/simple'\ndownload.cert='/none'\n"
    )
    assert install.uv_environment(configuration) == {
        "UV_FIND_LINKS": "/env/wheels",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_DEFAULT_INDEX": "https://user:p=w@home.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert install.uv_environment("global.find-links='/a /b'\n")["UV_FIND_LINKS"] == "/a,/b"


def test_the_lock_has_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    pins = {canonicalize_name(entry.split("==")[0]): entry.split("==")[1].split()[0] for entry in LOCK}
    for requirement in map(Requirement, [*project["dependencies"], *(each for extra in extras for each in extra)]):
        if requirement.name in ("torch", "torchvision"):
            assert canonicalize_name(requirement.name) not in pins  # a CPU build has hashes of its own
            assert str(requirement.specifier).startswith("==")
        else:
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier, "run: make lock"


def test_every_package_of_the_lock_has_hashes():
    assert len(LOCK) > 200
    assert not [entry for entry in LOCK if "--hash=sha256:" not in entry]


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """A project that needs two packages of its own folder of wheels, and an incomplete .venv."""
    small_project = tmp_path / "a folder"
    wheels = small_project / "wheels"
    wheels.mkdir(parents=True)
    digest = _wheel(wheels, "brick", "1.0")
    _wheel(wheels, "torch", "2.0+cpu")
    shutil.copy(ROOT / "install.py", small_project)
    dependencies = '["brick", "torch==2.0"]'
    (small_project / "pyproject.toml").write_text(f"[project]\nname = 'small'\nversion = '1'\ndependencies = {dependencies}\n")
    (small_project / "constraints.txt").write_text(_lock("1.0", digest))
    (small_project / ".venv").mkdir()
    for name in (".unfinished", "half"):
        (small_project / ".venv" / name).touch()
    return small_project


@pytest.mark.cluster
def test_without_uv_pip_installs_by_the_hashes_and_mends_what_was_half_made(small_project: Path):
    first = _install(small_project)
    assert first.returncode == 0, first.stderr
    assert "Installing with pip instead" in first.stdout
    assert not (small_project / ".venv" / "half").exists()
    assert not (small_project / ".venv" / ".unfinished").exists()
    assert (small_project / ".venv" / "ready").exists()
    (packages,) = (small_project / ".venv" / "lib").glob("*/site-packages")
    assert {path.name for path in packages.glob("[bt]*.dist-info")} == {"brick-1.0.dist-info", "torch-2.0+cpu.dist-info"}

    _wheel(small_project / "wheels", "brick", "2.0")
    (small_project / "constraints.txt").write_text(_lock("2.0", "0" * 64))
    second = _install(small_project)
    assert second.returncode == 1
    assert "DO NOT MATCH THE HASHES" in second.stderr
    assert not (small_project / ".venv" / "ready").exists()
    assert (small_project / ".venv" / ".unfinished").exists()
    assert not (packages / "brick-2.0.dist-info").exists()


def _install(small_project: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels"}  # these wheels do not include uv
    return subprocess.run([sys.executable, small_project / "install.py"], env=environment, capture_output=True, text=True)


def _lock(version: str, digest: str) -> str:
    uv = f"uv==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
    cuda = f"nvidia-cublas==1.0 ; sys_platform != 'none' \\\n    --hash=sha256:{'0' * 64}\n"
    return f"# made by a test\nbrick=={version} \\\n    --hash=sha256:{digest}\n{cuda}{uv}"


def _wheel(folder: Path, name: str, version: str) -> str:
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()
