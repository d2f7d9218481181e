import pytest

from pipelines import formatting

NUMBERS = {0.98765: "0.9877", 0.0: "0.0000", 24.78321: "24.78", 123_456.7: "123,457", 0.00012345: "0.0001234"}
BRIEF = {9610: "9,610", 53_098: "53.1 k", 999_600: "1.00 M", 2.0059: "2.01", 0.36: "0.360", 163.97: "164", 4: "4"}


@pytest.mark.parametrize(("show", "expected"), [(formatting.number, NUMBERS), (formatting.brief, BRIEF)])
def test_numbers_are_shown_as_a_person_reads_them(show, expected):
    assert {value: show(value) for value in expected} == expected
