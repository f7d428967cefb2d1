import numpy as np
import pytest

from deltann.tasks import Task, infer_task


@pytest.mark.parametrize(
    ("shape", "dtype", "task"),
    [
        ((8, 1000), "f4", Task.CLASSIFICATION),
        ((8, 2), "f2", Task.CLASSIFICATION),
        ((1, 1000, 1, 1), "f4", Task.CLASSIFICATION),
        ((8, 1), "f4", Task.TENSOR),
        ((8,), "f4", Task.TENSOR),
        ((), "f4", Task.TENSOR),
        ((8, 1, 1, 1), "f4", Task.TENSOR),
        ((8, 21, 1, 2), "f4", Task.TENSOR),
        ((8, 5, 1), "f4", Task.TENSOR),
        ((8, 1000), "i8", Task.TENSOR),
        ((8, 1000), "u1", Task.TENSOR),
    ],
)
def test_infer_task(shape, dtype, task):
    assert infer_task(np.zeros(shape, dtype)) is task
