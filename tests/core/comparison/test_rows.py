import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deltann.comparison.rows import flat_pieces, root_mean_square, row_blocks, without_trailing_ones


@pytest.mark.parametrize(("rows", "size", "elements"), [(10, 3, 7), (10, 3, 1), (1, 5, 100), (7, 0, 4)])
def test_row_blocks_cover_every_row_once(rows, size, elements):
    covered = [row for block in row_blocks(rows, size, elements) for row in range(rows)[block]]
    assert covered == list(range(rows))
    assert all(
        block.stop - block.start <= max(1, elements // max(1, size)) for block in row_blocks(rows, size, elements)
    )


def test_flat_pieces_are_views_of_contiguous_arrays_and_in_c_order_of_others():
    a = np.arange(60, dtype=np.float32).reshape(5, 3, 4)
    for array in (a, np.asfortranarray(a)):
        pieces = list(flat_pieces(array, a, 7))
        assert [start for start, _, _ in pieces] == list(range(0, 60, 7))
        assert np.concatenate([x for _, x, _ in pieces]).tolist() == list(range(60))
    assert all(np.shares_memory(x, a) for _, x, _ in flat_pieces(a, a, 7))


def test_trailing_ones_go_but_the_sample_axis_stays():
    assert without_trailing_ones(np.zeros((2, 3, 1, 1))).shape == (2, 3)
    assert without_trailing_ones(np.zeros((1, 1, 1))).shape == (1,)
    assert without_trailing_ones(np.zeros((2, 1, 3))).shape == (2, 1, 3)


@given(hnp.arrays("f4", st.tuples(st.integers(1, 4), st.integers(0, 5))))
def test_root_mean_square_equals_the_definition(array):
    finite = array[np.isfinite(array)].astype(float)
    assert root_mean_square(array) == pytest.approx(np.sqrt(np.mean(finite**2)) if finite.size else 0, rel=1e-9)


def test_root_mean_square_is_over_finite_elements():
    assert root_mean_square(np.array([[3.0, np.nan], [-3.0, np.inf]], np.float16)) == 3
    assert root_mean_square(np.array([[np.nan]])) == 0
    assert root_mean_square(np.array([200, 200], np.uint8)) == 200
    assert root_mean_square(np.array([-1e300, np.inf, 1e-300])) == 1e300
