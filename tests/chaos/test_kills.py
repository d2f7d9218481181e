"""kill -9 at any moment; the same command goes on, and ends as if nothing had been."""

import pytest

from tests import chaos
from tests.chaos import observed
from tests.chaos.kills import kills

pytestmark = pytest.mark.timeout(900)


def test_killed_runs_end_as_whole_ones(tmp_path):
    found = kills(tmp_path, 4, arguments=chaos.NET, store=False)
    assert found.different == [], found
    assert found.hit.total() == 4


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_fifty_killed_runs_end_as_whole_ones_in_the_store_too(tmp_path, capsys):
    found = kills(tmp_path, 50, arguments=chaos.NET, store=True)
    with capsys.disabled():
        print(f"\n{found}")
    assert found.different == [], found
    assert all(found.hit[phase] >= 5 for phase in observed.PHASES), found
