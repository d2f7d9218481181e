"""Names lead nowhere else, whoever states them; files that are written in place are no links."""

import fcntl
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from pipelines.sweep.setup import Setup
from pipelines.sweep.storage import JournalLock
from src import evaluate, find_lr
from src.config import assembly, command_line, composition, machine, restoring, resuming
from src.data.sources.files import Published
from src.errors import InputError
from src.runs import locks, names
from src.runs.folder import Run, choose
from src.tracking.journal import Journal, mend

WRONG = ["", ".", "..", ".hidden", "a/b", "../a", "/a", "a\nb", "a b", "a\x00", "ä", "a" * 101, None, True, ["a"], "-" * 101]


@pytest.mark.parametrize("value", WRONG)
def test_a_name_that_leads_elsewhere_is_refused(value):
    with pytest.raises(InputError, match=r"data\.dataset\.name: expected a name of 1 to 100 letters, digits"):
        names.check("data.dataset.name", value)


@pytest.mark.parametrize("value", ["cnn", "CNN_2.1-b", "a" * 100, 2024])
def test_a_name_is_letters_and_digits(value):
    assert names.check("name", value) == str(value)


@pytest.mark.parametrize("value", ["", " ", None, 3, "a\nb", "a\x00b"])
def test_a_folder_has_a_name(value):
    with pytest.raises(InputError, match=r"paths\.runs: expected the name of a folder"):
        names.check_folder("paths.runs", value)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("name=../elsewhere", "name"),
        ("name=null", "name"),
        ("name=''", "name"),
        ("data.dataset.name=../elsewhere", r"data\.dataset\.name"),
        ("data.dataset.name=null", r"data\.dataset\.name"),
        ("paths.prepared=''", r"paths\.prepared"),
        ("paths.runs=null", r"paths\.runs"),
    ],
)
def test_a_command_refuses_it_before_it_writes(project, override, key):
    with pytest.raises(InputError, match=rf"^{key}: expected "):
        assembly.prepare(command_line.configure([override]))
    assert not [*project.iterdir()]


@pytest.mark.slow
def test_a_search_and_a_search_for_rates_refuse_it(project):
    for study in ("../elsewhere", "null", "a/b"):
        with pytest.raises(InputError, match=r"sweep\.study: expected a name"):
            Setup.of(["+experiment=fnn", "+sweep=fnn", f"sweep.study={study}"])
    with pytest.raises(InputError, match=r"finder\.folder: expected text that is not empty"):
        find_lr.find(command_line.configure(["+finder=default", "finder.folder=''"]))
    with pytest.raises(InputError, match="name: expected a name"):
        command_line.configure(["tuned=true", "name=../elsewhere"])
    with pytest.raises(InputError, match="name: expected a name"):
        choose(project, "../elsewhere", "12345678", force=False)
    assert not [path for path in project.rglob("*") if path.suffix == ".csv"]


@pytest.mark.parametrize("file", ["../evil", "/evil", "a/../../evil", ".ssh/keys", "a//b"])
def test_what_is_downloaded_lies_in_its_folder(file):
    with pytest.raises(ValueError, match="expected names of files below one folder"):
        Published(name="data", folder="downloads", mirrors=["http://127.0.0.1:9/"], files={file: "0" * 64})
    with pytest.raises(InputError, match="name: expected a name"):
        Published(name="../data", folder="downloads", mirrors=["http://127.0.0.1:9/"], files={"file": "0" * 64})


def stored(project: Path, **values: Any) -> Path:
    """The run folder of someone else, whose configuration has these values, by dotted keys."""
    config = composition.resolve_without_facts(composition.compose(["data=mnist"]))
    for key, value in values.items():
        OmegaConf.update(config, key, value)
    folder = project / "runs/foreign-12345678"
    folder.mkdir(parents=True)
    OmegaConf.save(config, folder / "config.yaml")
    return folder


@pytest.mark.slow
def test_a_stored_name_is_refused_too(project):
    for key in ("name", "data.dataset.name"):
        folder = stored(project / key, **{key: "../../elsewhere"})
        with pytest.raises(InputError, match=rf"^{key}: expected a name"):
            restoring.restore(folder)
        with pytest.raises(InputError, match=rf"^{key}: expected a name"):
            assembly.prepare(resuming.resumed(folder, []))


@pytest.mark.slow
def test_the_paths_and_the_store_of_a_stored_file_are_left_out(project, capsys):
    outside = str(project / "outside")
    other = {"paths.prepared": outside, "paths.downloads": outside, "paths.runs": outside}
    folder = stored(project, **other, **{"tracking.uri": "http://me:secret@127.0.0.1:9", "data.dataset.source.folder": outside})
    config = resuming.resumed(folder, ["trainer.max_epochs=3"])
    assert (config.paths.prepared, config.paths.downloads, config.paths.runs) == ("data/prepared", "data/downloads", "runs")
    assert config.data.dataset.source.folder == "data/downloads"
    assert config.tracking.uri is None
    assert f"paths.prepared: that of {folder}/config.yaml is left out" in capsys.readouterr().err
    typed = resuming.resumed(folder, [f"paths.prepared={outside}", "tracking.uri=http://127.0.0.1:9"])
    assert (typed.paths.prepared, typed.tracking.uri) == (outside, "http://127.0.0.1:9")
    assert command_line.configure([f"resume={folder}", "trust=true"]).paths.prepared == outside


def test_a_run_stays_in_the_folder_of_runs_that_it_lies_in(project):
    folder = stored(project, **{"paths.runs": str(project / "runs")})
    assert machine.localised(OmegaConf.load(folder / "config.yaml"), folder / "config.yaml").paths.runs == str(project / "runs")


def test_a_foreign_run_prepares_nothing_elsewhere(project, monkeypatch):
    outside = project / "outside"
    folder = stored(project, **{"paths.prepared": str(outside), "paths.downloads": str(outside)})
    monkeypatch.setattr(
        Published, "content", lambda files, name: pytest.fail(f"{files.folder}") if outside in files.folder.parents else b""
    )
    with pytest.raises(Exception, match=r"(?i)expected|gzip|empty"):
        restoring.restore(folder)
    assert not outside.exists()


@pytest.fixture
def target(project: Path) -> Path:
    """A file that a link leads to."""
    path = project / "target"
    path.write_text("process 1 on this, a torn line")
    return path


def test_a_lock_that_is_a_link_changes_nothing(project, target):
    link = project / "run/.lock"
    link.parent.mkdir()
    link.symlink_to(target)
    with pytest.raises(InputError, match=r"run/\.lock: expected a file; received a link"), Run(project / "run").lock():
        pass
    with pytest.raises(InputError, match="received a link"), locks.mutex(link):
        pass
    with pytest.raises(InputError, match="received a link"):
        locks.is_locked(link)
    link.rename(project / "run/study.journal.lock")
    with pytest.raises(InputError, match="received a link"):
        JournalLock(project / "run/study.journal").acquire()
    for use in (Journal, mend):
        link = project / f"{use.__name__}.jsonl"
        link.symlink_to(target)
        with pytest.raises(InputError, match="received a link"):
            use(link)
    assert target.read_text() == "process 1 on this, a torn line"


def test_a_dangling_link_creates_nothing(project):
    (project / ".lock").symlink_to(project / "new")
    with pytest.raises(InputError, match="received a link"), locks.exclusive(project / ".lock"):
        pass
    assert not (project / "new").exists()


def test_a_lock_still_holds(project):
    with locks.exclusive(project / ".lock"), open(project / ".lock") as file:
        assert file.read().startswith("process ")
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("name", ["figures", "model", "metrics.json"])
def test_a_run_folder_with_links_is_not_written_into(project, name, capsys):
    folder = project / "runs/foreign"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(project)
    with pytest.raises(InputError, match=rf"{name} would lead to another place"), Run(folder).lock():
        pass
    assert evaluate.main([f"run={folder}"]) == 2
    assert "would lead to another place" in capsys.readouterr().err
