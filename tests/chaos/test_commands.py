"""kill -9 at any moment, of one of torchrun's two processes and in a search. Both end like an undisturbed command."""

import pytest

from tests.chaos import ranks, searches

KILLS = {"ranks": ranks.kills, "searches": searches.kills}


@pytest.mark.cluster
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("what", "count"), [("ranks", 2), ("searches", 3)])
def test_commands_that_were_killed_end_as_whole_ones(what, count, tmp_path):
    results = KILLS[what](tmp_path, count, seed=1)
    assert results.different == [], results


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("what", "count"), [("ranks", 10), ("searches", 12)])
def test_many_of_them(what, count, tmp_path, capsys):
    results = KILLS[what](tmp_path, count)
    with capsys.disabled():
        print(f"\n{results}")
    assert results.different == [], results
