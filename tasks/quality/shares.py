"""Means of values from 0 to 1, one of each example: as of yes and no where nearly all are, else by drawing again.

Where few values lie between 0 and 1, or few answers differ, most draws of the bootstrap see nothing of what may go
wrong: of 20 users who are all served well it would say that nobody is not. There the figure is taken for a share of
examples, by Wilson's interval, the sign test and Tango's bound, which hold for such values too: none of the same mean
varies more than yes and no.
"""

import math

import numpy as np

from tasks.examples import Array
from tasks.intervals import paired_drop_bound
from tasks.quality import resample
from tasks.quality.accuracy import sign_test, wilson
from tasks.records import Paired

INTERVAL_BY, PAIRED_BY = "bootstrap (or Wilson)", "a paired bootstrap (the sign test where few differ)"
TELLING = 10  # values between the ends, of which a draw nearly always has some


def interval(values: Array) -> tuple[float, float]:
    """The 95 % interval of a mean of `values` [n], each from 0 to 1."""
    if ((values > 0) & (values < 1)).sum() < TELLING:
        return wilson(float(values.sum()), len(values))
    low, high = np.clip(resample.mean_interval(values), 0.0, 1.0)
    return float(low), float(high)


def paired(gains: Array) -> Paired:
    """The comparison of two variants by a mean of gains [n], each from -1 to 1: positive where one is better."""
    if ((gains != 0) & (np.abs(gains) < 1)).sum() < TELLING:
        return by_sums(float(gains[gains > 0].sum()), float(-gains[gains < 0].sum()), len(gains))
    return resample.mean_paired(gains)


def least_sure(one: Paired, other: Paired) -> Paired:
    """The comparison that says no more than either of the two."""
    return Paired(p_value=max(one.p_value, other.p_value), drop_bound=max(one.drop_bound, other.drop_bound))


def by_sums(better: float, worse: float, n: int) -> Paired:
    """The comparison by how much is gained in `n` examples in all, and how much is lost; parts count for less."""
    fewer, more = sorted((better, worse))
    p_value = sign_test(math.ceil(fewer), math.floor(more))
    return Paired(p_value=p_value, drop_bound=paired_drop_bound(better, worse, n))
