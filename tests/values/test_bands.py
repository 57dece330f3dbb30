"""The words for bands."""

from __future__ import annotations

import pytest

from gensr.values.bands import choose, parse_bands, spans

NAMES = ("red", "green", "B8A", "12")


@pytest.mark.parametrize(
    ("words", "numbers"),
    [("1", (1,)), (2, (2,)), ("2-4", (2, 3, 4)), ("3,1-2", (3, 1, 2)), ("b8a, red", (3, 1)), (["green", 4], (2, 4))],
)
def test_choices(words, numbers):
    assert choose(parse_bands(words), NAMES) == numbers


@pytest.mark.parametrize("words", ["", ",", "1,,2", "a,a", "0", "3-2", "0-2", True, 1.5, [], [1.5], "1-999999999"])
def test_words_that_mean_nothing(words):
    with pytest.raises(ValueError, match=r"\w"):
        parse_bands(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [("12", "no band 12; there are 4: red, green"), ("nir", "no band 'nir'"), ("1,red", "twice"), ("1-3,2", "twice")],
)
def test_bands_that_there_are_not(words, said):
    with pytest.raises(ValueError, match=said):
        choose(parse_bands(words), NAMES)


def test_spans_are_read_back():
    numbers = (1, 2, 3, 5, 7, 8)
    assert spans(numbers) == "1-3,5,7-8"
    assert choose(parse_bands(spans(numbers)), [f"b{i}" for i in range(9)]) == numbers
