"""Damaged files of records: each is named with its remedy, and the other records reach the store."""

import json
from pathlib import Path

import pytest

from pipelines import sync
from src.errors import InputError, RunFailed
from src.runs.files import write_json
from src.tracking import upload_state
from tests.tracking import check, client, record, run_folder, stored

DAMAGES = {"cut": '{"uri": "sqlite', "empty": "", "a list": "[]", "without keys": "{}"}


@pytest.mark.slow
@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_is_named_and_the_others_reach_the_store(project, database, text, capsys):
    run_folder(project)
    broken = run_folder(project, "a-broken-one")
    (broken / "record.json").write_text(text)
    for arguments in ([], [f"uri=sqlite:///{project}/mlflow.db"]):
        with pytest.raises(RunFailed, match=r"a-broken-one/record.json: expected a .*JSON file.* Delete it and metrics.json"):
            sync.main(arguments)
        check(project)
        assert "1 records are whole" in capsys.readouterr().out


@pytest.mark.slow
def test_a_damaged_upload_state_can_be_deleted(project, database):
    folder = run_folder(project)
    sync.main([])
    (folder / upload_state.STATE).write_text("{")
    with pytest.raises(RunFailed, match=r"Delete it; `python -m pipelines.sync` then uploads what the store lacks"):
        sync.main([])
    (folder / upload_state.STATE).unlink()
    sync.main([])
    check(project)


@pytest.mark.slow
def test_after_a_bad_line_is_deleted_the_store_gets_the_whole_journal(project, database):
    folder = run_folder(project)
    journal = folder / "metrics.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:2000], lines[2000][:-30] + "\n", *lines[2000:]]))
    with pytest.raises(RunFailed, match=r"metrics.jsonl, line 2001: expected a value in JSON; the line is damaged"):
        sync.main([])
    assert json.loads((folder / upload_state.STATE).read_text())["offset"] > 0  # the lines before it are in the store
    journal.write_text("".join(lines))
    sync.main([])
    check(project)
    journal.write_text("".join(lines[1:]))  # one that the store has
    assert not upload_state.uploaded(folder)
    sync.main([])
    assert upload_state.uploaded(folder)


def test_a_trial_with_a_damaged_record_does_not_hold_up_its_study(project, database):
    study: Path = project / "runs/sweeps/made"
    for folder in (study, study / "trial-0000", study / "trial-0001"):
        folder.mkdir(parents=True)
        write_json(folder / "record.json", record(project, name=folder.name, key=folder.name, artifacts=[]))
    (study / "trial-0000/record.json").write_text("{")
    with pytest.raises(RunFailed, match=r"trial-0000/record.json: expected a whole JSON file"):
        sync.main([])
    assert stored(project, "made").info.status == "FINISHED"
    parent = stored(project, "made").info.run_id
    assert stored(project, "trial-0001").data.tags["mlflow.parentRunId"] == parent
    assert len(client(project).search_runs([stored(project, "made").info.experiment_id])) == 2


def test_the_record_of_a_study_names_its_own_remedy(project):
    study = project / "runs/sweeps/made"
    study.mkdir(parents=True)
    (study / "record.json").write_text("{")
    with pytest.raises(InputError, match=r"the command of the search then writes it anew"):
        upload_state.read_record(study)
