"""kill -9 of one process of two at any moment; torchrun starts both again, and they end as if nothing had been."""

import pytest

from tests.chaos.ranks import kills


@pytest.mark.cluster
@pytest.mark.timeout(3600)
def test_a_process_of_two_that_was_killed_changes_nothing(tmp_path):
    found = kills(tmp_path, 2, seed=1)
    assert found.different == [], found


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_ten_times(tmp_path, capsys):
    found = kills(tmp_path, 10)
    with capsys.disabled():
        print(f"\n{found}")
    assert found.different == [], found
