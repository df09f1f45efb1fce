"""Bits per byte and perplexity against what is known of them."""

import numpy as np
import pytest

from tasks.errors import InvalidError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, TEXT_BYTES
from tasks.quality.perplexity import BITS, PERPLEXITY
from tasks.quality.score import score
from tasks.records.metrics import METRICS

TRUTH = np.zeros((1, 1), np.uint8)  # which these metrics do not look at again


def windows(n: int, length: int, tokens: int, bytes_each: int = 1) -> Arrays:
    drawn = np.random.default_rng(0).integers(0, tokens, (n, length)).astype(np.uint16)
    told = {LABEL: drawn, TEXT_BYTES: np.full(n, length * bytes_each)}
    return Arrays({"text": np.zeros((n, length), np.int32)}, told)


def of(outputs: np.ndarray, examples: Arrays, metric: str) -> float:
    return score(outputs.astype(np.float32), examples, "default", "test", metric).value


@pytest.mark.parametrize("tokens", [2, 7, 300])
def test_who_knows_nothing_needs_the_bits_of_the_choice(tokens):
    examples = windows(9, 5, tokens, bytes_each=3)
    even = np.full((9, 5, tokens), 4.0)
    assert of(even, examples, "perplexity") == pytest.approx(tokens)
    assert of(even, examples, "bits-per-byte") == pytest.approx(np.log2(tokens) / 3)


def test_who_is_sure_and_right_needs_none_and_who_is_wrong_is_told_so():
    examples = windows(9, 5, 4)
    right = 1e4 * np.eye(4)[examples.targets[LABEL]]
    assert of(right, examples, "perplexity") == 1
    assert of(right, examples, "bits-per-byte") == 0
    assert of(-right, examples, "bits-per-byte") == pytest.approx(1e4 / np.log(2), rel=1e-3)
    assert np.isfinite(of(-right, examples, "perplexity")), "an exponential too large for a number"


def test_a_constant_in_the_scores_says_nothing_and_no_number_is_refused():
    examples = windows(9, 5, 4)
    outputs = np.random.default_rng(1).normal(size=(9, 5, 4)).astype(np.float32)
    moved = outputs.astype(np.float64) + 50
    assert of(moved, examples, "bits-per-byte") == pytest.approx(of(outputs, examples, "bits-per-byte"), rel=1e-5)
    outputs[4, 2, 1] = np.nan
    for name in ("bits-per-byte", "perplexity"):
        with pytest.raises(InvalidError, match="no finite numbers, the first to example 4"):
            of(outputs, examples, name)


def test_the_tokenizer_does_not_matter_to_bits_per_byte():
    """Pairs of letters as one token cost what the two letters cost one after the other."""
    rng = np.random.default_rng(2)
    letters = rng.integers(0, 3, (40, 8))
    single, pairs = rng.dirichlet(np.ones(3)), letters[:, ::2] * 3 + letters[:, 1::2]
    one = Arrays({"text": letters}, {LABEL: letters.astype(np.uint8), TEXT_BYTES: np.full(40, 8)})
    two = Arrays({"text": pairs}, {LABEL: pairs.astype(np.uint8), TEXT_BYTES: np.full(40, 8)})
    given, joint = np.log(single), np.log(np.outer(single, single).ravel())
    found = of(np.broadcast_to(given, (40, 8, 3)), one, "bits-per-byte")
    assert of(np.broadcast_to(joint, (40, 4, 9)), two, "bits-per-byte") == pytest.approx(found, rel=1e-6)
    assert of(np.broadcast_to(joint, (40, 4, 9)), two, "perplexity") == pytest.approx(2 ** (2 * found), rel=1e-5)


@pytest.mark.parametrize("name", ["bits-per-byte", "perplexity"])
def test_an_interval_holds_the_true_rate_as_often_as_it_says(name):
    """Windows of different sizes in bytes, skewed costs: of 300 draws of 60 windows, about 95 % hold it."""
    rng, judge = np.random.default_rng(3), METRICS.load(name)
    held = 0
    for _ in range(300):
        of_each = rng.integers(20, 60, 60).astype(float)
        kept = np.stack([of_each * rng.gamma(4, 0.25, 60), of_each], axis=1)
        low, high = judge.interval(kept, TRUTH)
        held += low <= (1 / np.log(2) if name == "bits-per-byte" else np.e) <= high
    assert 0.91 <= held / 300 <= 0.99


@pytest.mark.parametrize("judge", [BITS, PERPLEXITY])
def test_a_paired_comparison_sees_what_the_intervals_do_not(judge):
    rng = np.random.default_rng(4)
    nats, of_each = rng.gamma(4, 5, 50), np.full(50, 20.0)
    reference = np.stack([nats, of_each], axis=1)
    worse = np.stack([nats + 0.3 + 0.1 * rng.normal(size=50), of_each], axis=1)
    low, high = judge.interval(reference, TRUTH)
    apart = judge.value(worse, TRUTH) - judge.value(reference, TRUTH)
    assert low < judge.value(worse, TRUTH) < high
    assert judge.paired(worse, reference, TRUTH).p_value < 0.01
    assert apart < judge.paired(worse, reference, TRUTH).drop_bound < 2 * apart
