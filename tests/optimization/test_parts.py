"""Parts of a network by how names begin."""

import pytest

from src.errors import InputError
from src.optimization import parts

NAMES = ["features.0.weight", "features.0.bias", "features.1.weight", "features2.weight", "head"]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["features"], NAMES[:3]),
        (["features.0"], NAMES[:2]),
        (["head", "features.1.weight"], [NAMES[2], NAMES[4]]),
        ([], []),
    ],
)
def test_names_within_parts(named, expected):
    assert parts.within(named, NAMES, key="some.key") == expected


@pytest.mark.parametrize("named", ["feature", "features.2", "heads", "weight", ""])
def test_a_part_that_is_not_there_is_refused(named):
    with pytest.raises(InputError, match=r"some\.key: expected .* parts of features, features2, head; received"):
        parts.within(["head", named], NAMES, key="some.key")
