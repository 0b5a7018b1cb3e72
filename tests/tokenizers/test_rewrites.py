"""Tables of characters as arrays: what dictionaries would say."""

import random

import numpy as np
import pytest

from zoo.tokenizers import rewrites
from zoo.tokenizers.rewrites import Rewrites


def tables(draw, count):
    """Dictionaries of a few code points to up to three of them."""
    for _ in range(count):
        points = draw.sample([*range(12), 0x10FFFF], draw.randrange(8))
        yield {p: tuple(draw.choices(range(12), k=draw.randrange(4))) for p in points}


def in_turn(tables, point):
    new = (point,)
    for table in tables:
        new = tuple(value for old in new for value in table.get(old, (old,)))
    return new


@pytest.mark.parametrize("seed", range(20))
def test_tables_in_turn_are_one_table(seed):
    given = [*tables(random.Random(seed), 3)]
    found = rewrites.compose(*map(Rewrites.of, given))
    keys = sorted({point for table in given for point in table})
    expected = {point: in_turn(given, point) for point in keys}
    assert dict(found.items()) == {p: v for p, v in expected.items() if v != (p,)}
    few = rewrites.compose(*map(Rewrites.of, given), points=range(3))
    assert dict(few.items()).keys() <= {0, 1, 2}
    assert few.points.tolist() == [p for p in found.points.tolist() if p < 3]


@pytest.mark.parametrize("seed", range(20))
def test_the_last_of_several_tables_decides(seed):
    given = [*tables(random.Random(seed), 3)]
    found = rewrites.join(*map(Rewrites.of, given))
    expected = {point: new for table in given for point, new in table.items()}
    assert [*found.items()] == sorted(expected.items())


def test_points_may_come_in_any_order_and_more_than_once():
    table = Rewrites.of({5: (1, 2), 3: (), 0x10FFFF: (7,)})
    lengths, values = table.apply([0x10FFFF, 5, 4, 3, 5])
    assert lengths.tolist() == [1, 2, 1, 0, 2]
    assert values.tolist() == [7, 1, 2, 4, 1, 2]
    assert rewrites.any_in(lengths, values, [2, 4]).tolist() == [0, 1, 1, 0, 1]
    nothing, same = Rewrites.of({}).apply([5, 3])
    assert (nothing.tolist(), same.tolist()) == ([1, 1], [5, 3])


def test_all_of_some_points_become_the_same():
    assert [*Rewrites.to(np.array([2, 9]), [32, 2]).items()] == [
        (2, (32, 2)),
        (9, (32, 2)),
    ]
    assert [*Rewrites.to(np.array([2, 9])).items()] == [(2, ()), (9, ())]
