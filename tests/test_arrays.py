"""Memory that is read into once and adopted by TensorFlow without a copy."""

import gc

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from zoo.arrays import aligned_zeros, as_tensor
from zoo.checkpoints import Checkpoint

DTYPES = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.uint8]


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (3, 0), (3, 5), (2, 3, 5, 7)])
@pytest.mark.parametrize("dtype", [*DTYPES, np.bool_, "bfloat16", "float32"])
def test_zeros_are_aligned_and_of_the_given_form(shape, dtype):
    for _ in range(5):
        array = aligned_zeros(shape, dtype)
        assert array.shape == shape and array.dtype == np.dtype(dtype)
        assert array.ctypes.data % 64 == 0 or not array.size
        assert not array.any()
        assert array.flags.c_contiguous and array.flags.writeable


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensorflow_adopts_an_aligned_array_as_it_is(dtype):
    array = aligned_zeros((3, 5), dtype)
    tensor = as_tensor(array)
    assert tensor.shape == (3, 5) and tensor.dtype.as_numpy_dtype == array.dtype
    array[1, 2] = 7
    assert tensor.numpy()[1, 2] == 7


def test_a_variable_takes_the_memory_over_and_keeps_it():
    import keras

    variable = keras.Variable(np.zeros((100, 50), "float32"))
    array = aligned_zeros((100, 50), "float32")
    array[:] = np.arange(50)
    variable.assign(as_tensor(array))
    array[3, 4] = -1
    assert variable.numpy()[3, 4] == -1
    expected = array.copy()
    del array
    gc.collect()
    variable.assign_add(np.ones((100, 50), "float32"))
    assert np.array_equal(variable.numpy(), expected + 1)


@pytest.mark.parametrize("shape", [(), (0, 3), (4,)])
def test_scalars_and_empty_arrays_become_tensors(shape):
    tensor = as_tensor(aligned_zeros(shape, "bfloat16"))
    assert tensor.shape == shape and tensor.dtype.name == "bfloat16"


def test_arrays_that_cannot_be_shared_are_copied():
    memory = aligned_zeros((64,), np.float32)
    memory[:] = np.arange(64)
    frozen = memory.copy()
    frozen.flags.writeable = False
    booleans = aligned_zeros((3,), np.bool_)
    for array in (memory[1:5], memory[::2], memory.reshape(8, 8).T, frozen, booleans):
        expected = array.copy()
        tensor = as_tensor(array)
        memory[:] = np.arange(64)
        assert np.array_equal(tensor.numpy(), expected)


def test_what_was_read_from_a_file_is_adopted(tmp_path):
    values = np.random.default_rng(0).standard_normal((70, 30)).astype(np.float32)
    safetensors.numpy.save_file({"a": values}, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        array = checkpoint.read("a")
    tensor = as_tensor(array)
    assert np.array_equal(tensor.numpy(), values)
    array[0, 0] = 99
    assert tensor.numpy()[0, 0] == 99
