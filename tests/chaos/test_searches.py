"""kill -9 in a search at any moment; the same command goes on, and ends as if nothing had been."""

import pytest

from tests.chaos.searches import kills


@pytest.mark.cluster
@pytest.mark.timeout(3600)
def test_searches_that_were_killed_end_as_whole_ones(tmp_path):
    found = kills(tmp_path, 3, seed=1)
    assert found.different == [], found
    assert found.hit.total() == 3


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_dozen_searches_that_were_killed_end_as_whole_ones(tmp_path, capsys):
    found = kills(tmp_path, 12)
    with capsys.disabled():
        print(f"\n{found}")
    assert found.different == [], found
