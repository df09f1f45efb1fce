import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.examples.split import draw, latest, whole_groups

labels_strategy = st.lists(st.integers(0, 6), min_size=1, max_size=200).map(lambda values: np.array(values, np.int64))


@given(labels_strategy, st.floats(0, 1), st.integers(0, 2**32))
def test_each_class_is_within_one_of_its_share_and_the_total_is_exact(labels, share, seed):
    drawn = draw(labels, share, np.random.default_rng(seed))
    assert len(drawn) == round(len(labels) * share)
    assert np.all(np.diff(drawn) > 0)  # ascending, none twice
    for each in np.unique(labels):
        assert abs(np.sum(labels[drawn] == each) - share * np.sum(labels == each)) <= 1


@given(labels_strategy, st.integers(0, 200), st.integers(0, 100))
def test_a_count_as_a_share_draws_that_count(labels, count, seed):
    count = min(count, len(labels))
    assert len(draw(labels, count / len(labels), np.random.default_rng(seed))) == count


def test_the_seed_decides_and_nothing_else():
    labels = np.arange(1000) % 10
    first, again, other = (draw(labels, 0.3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_example_of_a_class_is_as_likely():
    labels = np.zeros(10, np.int64)
    hits = np.zeros(10)
    for seed in range(2000):
        hits[draw(labels, 0.3, np.random.default_rng(seed))] += 1
    assert np.all(np.abs(hits - 600) < 6 * np.sqrt(2000 * 0.3 * 0.7))  # six standard deviations of a binomial


@given(st.lists(st.integers(0, 30), min_size=1, max_size=80), st.floats(0.01, 0.99))
def test_all_others_are_earlier_than_the_latest(times, share):
    times = np.array(times)
    taken = latest(times, share)
    left = np.setdiff1d(np.arange(len(times)), taken)
    assert len(taken) >= round(len(times) * share)
    if len(left) and len(taken):
        assert times[left].max() < times[taken].min()
    if len(set(times.tolist())) == len(times):
        assert len(taken) == round(len(times) * share)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=80), st.floats(0.01, 0.99), st.integers(0, 99))
def test_a_group_is_never_on_both_sides_and_the_share_is_nearly_kept(groups, share, seed):
    groups = np.array(groups)
    taken = whole_groups(groups, share, np.random.default_rng(seed))
    left = np.setdiff1d(np.arange(len(groups)), taken)
    assert not set(groups[taken]) & set(groups[left])
    largest = np.bincount(groups).max()
    assert abs(len(taken) - share * len(groups)) <= largest
    assert taken.tolist() == whole_groups(groups, share, np.random.default_rng(seed)).tolist()
