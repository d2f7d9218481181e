"""kill -9 at any moment. The same command continues, and ends like an undisturbed one."""

import pytest

from tests import chaos
from tests.chaos import observed
from tests.chaos.kills import kills

pytestmark = pytest.mark.timeout(900)


@pytest.mark.cluster
def test_killed_runs_end_as_whole_ones(tmp_path):
    results = kills(tmp_path, 2, arguments=chaos.NET, store=False)
    assert results.different == [], results
    assert results.hit.total() == 2


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_fifty_killed_runs_end_as_whole_ones_in_the_store_too(tmp_path, capsys):
    results = kills(tmp_path, 50, arguments=chaos.NET, store=True)
    with capsys.disabled():
        print(f"\n{results}")
    assert results.different == [], results
    assert all(results.hit[phase] >= 5 for phase in observed.PHASES), results
