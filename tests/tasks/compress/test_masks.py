"""Masks by counting, and against TFMOT's, which is another implementation of the same rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.compress import masks
from tasks.training import fit

pytest.importorskip("tf_keras", reason="the training stack is not installed")


def values(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(st.integers(1, 60), st.floats(0, 0.99))
def test_the_smallest_go_and_as_many_as_asked(size, sparsity):
    kernel = values(size, 3)
    kept = masks.by_magnitude(kernel, sparsity)
    assert np.sum(~kept) == min(round(sparsity * kernel.size), kernel.size - 1)
    if not kept.all():
        assert np.abs(kernel[~kept]).max() <= np.abs(kernel[kept]).min()


def test_equal_magnitudes_still_give_the_exact_number():
    assert np.sum(masks.by_magnitude(np.ones((10, 10)), 0.3)) == 70


def tfmot_mask(kernel, **options):
    fit.import_tensorflow()
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

    schedule = tfmot.sparsity.keras.ConstantSparsity(options.pop("sparsity", 0.5), 0)
    options = {"block_size": (1, 1), "block_pooling_type": "AVG", **options}
    pruning = pruning_impl.Pruning(lambda: 1, [], schedule, **options)
    return pruning._maybe_update_block_mask(tf.constant(kernel))[1].numpy().astype(bool)


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.9])
def test_single_weights_as_tfmot(sparsity):
    kernel = values(3, 3, 4, 6)
    assert np.array_equal(masks.by_magnitude(kernel, sparsity), tfmot_mask(kernel, sparsity=sparsity))


@pytest.mark.parametrize("block", [(1, 4), (4, 1), (2, 3)])
def test_blocks_of_a_matrix_as_tfmot(block):
    kernel = values(16, 12)
    assert np.array_equal(masks.by_magnitude(kernel, 0.5, block), tfmot_mask(kernel, sparsity=0.5, block_size=block))


def test_blocks_of_a_convolution_are_whole_at_each_position():
    kernel = values(3, 3, 8, 6)
    kept = masks.by_magnitude(kernel, 0.75, (4, 2))
    blocks = kept.reshape(3, 3, 2, 4, 3, 2).sum(axis=(3, 5))
    assert set(np.unique(blocks)) == {0, 8}
    assert np.mean(blocks == 0) == pytest.approx(0.75, abs=1 / blocks.size)
    means = np.abs(kernel).reshape(3, 3, 2, 4, 3, 2).mean(axis=(3, 5))
    assert means[blocks == 0].max() <= means[blocks == 8].min()


def test_blocks_are_cut_off_at_the_edge():
    kept = masks.by_magnitude(values(5, 7), 0.5, (4, 4))
    parts = [kept[r][:, c] for r in (slice(0, 4), slice(4, 5)) for c in (slice(0, 4), slice(4, 7))]
    assert all(part.all() or not part.any() for part in parts)
    assert np.mean(~kept) <= 0.5


@given(st.integers(1, 9), st.integers(2, 8), st.data())
def test_a_pattern_leaves_at_most_so_many_in_each_group(length, group, data):
    zeros = data.draw(st.integers(1, group - 1))
    kernel = values(4, length)
    kept = masks.by_pattern(kernel, zeros, group)
    for start in range(0, length, group):
        part, own = kept[:, start : start + group], np.abs(kernel[:, start : start + group])
        assert (part.sum(axis=1) == min(group - zeros, part.shape[1])).all()
        assert all(own[i][part[i]].min() >= own[i][~part[i]].max(initial=0) for i in range(4))


@pytest.mark.parametrize("shape", [(16, 6), (10, 5), (3, 3, 8, 4), (1, 1, 3, 4), (3, 3, 1, 4)])
def test_a_pattern_along_the_inputs_as_tfmot(shape):
    kernel = values(*shape)
    own = np.moveaxis(masks.by_pattern(np.moveaxis(kernel, -2, -1), 2, 4), -1, -2)
    assert np.array_equal(own, tfmot_mask(kernel, sparsity_m_by_n=(2, 4)))


def test_a_block_that_is_cut_off_counts_by_its_mean():
    kernel = np.array([[1.0], [1.0], [1.0], [1.0], [3.0]])
    assert masks.by_magnitude(kernel, 0.8, (4, 1)).ravel().tolist() == [False] * 4 + [True]
