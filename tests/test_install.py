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
def house(tmp_path: Path) -> Path:
    """A project that needs two packages of its own folder of wheels, and a .venv that was left half made."""
    house = tmp_path / "a house"
    wheels = house / "wheels"
    wheels.mkdir(parents=True)
    digest = _wheel(wheels, "brick", "1.0")
    _wheel(wheels, "torch", "2.0+cpu")
    shutil.copy(ROOT / "install.py", house)
    dependencies = '["brick", "torch==2.0"]'
    (house / "pyproject.toml").write_text(f"[project]\nname = 'house'\nversion = '1'\ndependencies = {dependencies}\n")
    (house / "constraints.txt").write_text(_lock("1.0", digest))
    (house / ".venv").mkdir()
    for name in (".unfinished", "half"):
        (house / ".venv" / name).touch()
    return house


def test_without_uv_pip_installs_by_the_hashes_and_mends_what_was_half_made(house: Path):
    first = _install(house)
    assert first.returncode == 0, first.stderr
    assert "Installing with pip instead" in first.stdout
    assert not (house / ".venv" / "half").exists()
    assert not (house / ".venv" / ".unfinished").exists()
    assert (house / ".venv" / "ready").exists()
    (packages,) = (house / ".venv" / "lib").glob("*/site-packages")
    assert {path.name for path in packages.glob("[bt]*.dist-info")} == {"brick-1.0.dist-info", "torch-2.0+cpu.dist-info"}

    _wheel(house / "wheels", "brick", "2.0")
    (house / "constraints.txt").write_text(_lock("2.0", "0" * 64))
    second = _install(house)
    assert second.returncode == 1
    assert "DO NOT MATCH THE HASHES" in second.stderr
    assert not (house / ".venv" / "ready").exists()
    assert (house / ".venv" / ".unfinished").exists()
    assert not (packages / "brick-2.0.dist-info").exists()


def _install(house: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels"}  # where no uv is to be found
    return subprocess.run([sys.executable, house / "install.py"], env=environment, capture_output=True, text=True)


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
