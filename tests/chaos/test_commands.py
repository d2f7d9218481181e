"""kill -9 at any moment of a process of two, which torchrun starts again, and in a search: both end as if nothing had been."""

import pytest

from tests.chaos import ranks, searches

KILLS = {"ranks": ranks.kills, "searches": searches.kills}


@pytest.mark.cluster
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("what", "count"), [("ranks", 2), ("searches", 3)])
def test_commands_that_were_killed_end_as_whole_ones(what, count, tmp_path):
    found = KILLS[what](tmp_path, count, seed=1)
    assert found.different == [], found


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("what", "count"), [("ranks", 10), ("searches", 12)])
def test_many_of_them(what, count, tmp_path, capsys):
    found = KILLS[what](tmp_path, count)
    with capsys.disabled():
        print(f"\n{found}")
    assert found.different == [], found
