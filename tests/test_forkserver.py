"""Commands that are forked are to their users what fresh ones are."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import forkserver
from tests.repository import ROOT, environment, run, start

PROBE = ("python", "-m", "tests.probe")
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commands are forked on Linux alone")


def report(folder: Path, *words: str, fresh: bool = False, **extra: str) -> dict[str, Any]:
    return json.loads(run(folder, *PROBE, *words, fresh=fresh, **{**ENVIRONMENT, **extra}).stdout)


def test_a_forked_command_finds_what_a_fresh_one_finds(tmp_path):
    forked, fresh = (report(tmp_path, "report", "a=b c", fresh=fresh, COLOUR="blue") for fresh in (False, True))
    assert forked.pop("torch")
    assert not fresh.pop("torch")
    for key in ("main", "argv", "parent", "group", "session", "folder", "path"):
        assert forked[key] == fresh[key], key
    assert forked["environment"].items() >= fresh["environment"].items()
    assert not [name for name in forked["environment"].keys() - fresh["environment"].keys() if name.startswith("MLFLOW")]
    assert forked["parent"] == os.getpid()


def test_each_command_draws_other_random_numbers(tmp_path):
    one, other = report(tmp_path)["random"], report(tmp_path)["random"]
    assert one[0] != other[0]
    assert one[1] != other[1]


@pytest.mark.parametrize(("words", "code"), [(("leave", "0"), 0), (("leave", "75"), 75), (("fail",), 1), (("die",), -9)])
def test_it_ends_as_it_would(tmp_path, words, code):
    done = run(tmp_path, *PROBE, *words, code=code, **ENVIRONMENT)
    assert ("ValueError: on purpose" in done.stderr) == (words == ("fail",))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_it(tmp_path, number):
    with start(tmp_path, *PROBE, "sleep", **ENVIRONMENT) as process:
        assert process.stdout.readline() == "asleep\n"
        shown = psutil.Process(process.pid)
        assert shown.cmdline() == [*PROBE, "sleep"]
        assert shown.environ()["PYTHONPATH"] == str(ROOT)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(number)
        assert process.wait() == -number
    assert not psutil.pid_exists(process.pid)


def test_an_interrupt_is_raised_in_it(tmp_path):
    with start(tmp_path, *PROBE, "sleep", **ENVIRONMENT) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate()[1]


def test_it_reads_and_writes_what_it_is_given(tmp_path):
    process = start(tmp_path, *PROBE, "read", stdin=subprocess.PIPE, stderr=subprocess.STDOUT, **ENVIRONMENT)
    assert process.communicate("words") == ("WORDS", None)
    with open(tmp_path / "output", "w") as file:
        start(tmp_path, *PROBE, "report", stdout=file, **ENVIRONMENT).communicate()
    files = json.loads((tmp_path / "output").read_text())["files"]
    assert [number for number in files if number < forkserver.FIRST_OWN_FILE] == [0, 1, 2, 3]  # 3 lists the files


def test_it_leads_a_session(tmp_path):
    with start(tmp_path, *PROBE, "sleep", new_session=True, **ENVIRONMENT) as process:
        assert os.getsid(process.pid) == process.pid
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_what_it_starts_is_forked_too_and_is_its_own_child(tmp_path):
    lines = run(tmp_path, *PROBE, "start", "report", **ENVIRONMENT).stdout.splitlines()
    state: dict[str, Any] = {key: value for line in lines for key, value in json.loads(line).items()}
    assert state["torch"]
    assert state["child"] == state["pid"]
    assert state["parent"] != os.getpid()
    process = start(tmp_path, *PROBE, "start", "sleep", stderr=subprocess.DEVNULL, **ENVIRONMENT)
    line = next(line for line in process.stdout if "child" in line)
    child = psutil.Process(json.loads(line)["child"])
    assert process.wait() == 0
    assert child.is_running()
    assert child.ppid() != process.pid
    child.kill()
    child.wait()
    process.communicate()


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("python", "-W", "ignore", "-m", "tests.probe"), ENVIRONMENT),
        (("python", str(ROOT / "tests" / "probe.py")), ENVIRONMENT),
        (PROBE, {**ENVIRONMENT, "OMP_NUM_THREADS": "3"}),
        (PROBE, {**ENVIRONMENT, "PYTHONHASHSEED": "1"}),
    ],
)
def test_what_depends_on_the_start_of_an_interpreter_is_fresh(tmp_path, words, extra):
    assert not json.loads(run(tmp_path, *words, **extra).stdout)["torch"]


@pytest.mark.slow
@pytest.mark.parametrize("by", ["folder", "path"])
def test_another_checkout_is_imported_afresh(tmp_path, by):
    other = tmp_path / "other"
    (other / "tests").mkdir(parents=True)
    (other / "tests" / "__init__.py").touch()
    (other / "tests" / "probe.py").write_text("print('another')")
    folder, path = (other, str(ROOT)) if by == "folder" else (tmp_path, f"{other}{os.pathsep}{ROOT}")
    assert run(folder, *PROBE, PYTHONPATH=path).stdout == "another\n"


def test_a_copy_of_the_repository_imports_its_own_code_and_has_the_libraries(tmp_path):
    for name in ("__init__.py", "probe.py"):
        (tmp_path / "tests").mkdir(exist_ok=True)
        (tmp_path / "tests" / name).write_bytes((ROOT / "tests" / name).read_bytes())
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").write_text("print('a copy of src')")
    with (tmp_path / "tests" / "probe.py").open("a") as file:
        file.write("    print([name for name in sys.modules if name.startswith(('src', 'pipelines', 'tests'))])\n")
    first, found, modules = run(tmp_path, *PROBE).stdout.splitlines()
    assert first == "a copy of src"
    assert json.loads(found)["torch"]
    assert modules == "['src', 'tests']"


@pytest.mark.cluster
def test_a_server_that_has_died_is_replaced(tmp_path):
    before = report(tmp_path)
    killed = forkserver.started()
    for server in killed:
        os.kill(server, signal.SIGKILL)
    assert report(tmp_path)["parent"] == before["parent"]
    assert {*killed} & {*forkserver.started()} == {*killed[1:]}  # the one that was asked


@pytest.mark.cluster
def test_commands_and_their_server_end_with_whoever_has_started_them(tmp_path):
    code = f"""
import sys
from pathlib import Path
import psutil
from tests.repository import start
process = start(Path({str(tmp_path)!r}), *{PROBE}, "sleep", PYTHONPATH={str(ROOT)!r})
process.stdout.readline()
print(*[child.pid for child in psutil.Process().children()], flush=True)
sys.stdin.read()
"""
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe, text=True) as process:
        children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(children) == 2
        process.kill()
    assert psutil.wait_procs(children, timeout=30)[1] == []
