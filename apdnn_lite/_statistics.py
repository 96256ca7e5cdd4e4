"""Intervals: how much an accuracy or a mean of accuracies may owe to chance."""

import math

import numpy as np

from ._checks import real_number, whole_number


def binomial_interval(correct, images, z=1.96):
    """The interval (low, high) that holds the true accuracy in 95 of 100 cases, for one test set.

    correct of ``images`` were right; z: the standard deviations on each side, 1.96 for 95%.
    Wilson (1927): unlike the usual ± it stays inside [0, 1] near the ends, where accuracies
    on raw images are.
    Raises ValueError unless 0 ≤ correct ≤ images and images ≥ 1.
    """
    images = whole_number("images", images)
    correct = real_number("correct", correct, 0, images)
    z = real_number("z", z, above=True)
    share, shrink = correct / images, 1 + z ** 2 / images
    middle = (share + z ** 2 / (2 * images)) / shrink
    half = z * math.sqrt(share * (1 - share) / images + z ** 2 / (4 * images ** 2)) / shrink
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(values, resamples=2000):
    """The 95% interval (low, high) of the mean of independent draws, of which ``values`` are some.

    Percentile bootstrap (Efron, 1979): the accuracies of random keys are skewed, and a normal ±
    would not know. The same values give the same interval.
    Raises ValueError unless there is at least one value and all are finite.
    """
    resamples, values = whole_number("resamples", resamples), np.asarray(values, float)
    if values.ndim != 1 or len(values) < 1 or not np.isfinite(values).all():
        raise ValueError("values must be a list of at least one number, all finite, "
                         f"got {values.tolist()}")
    drawn = np.random.default_rng(0).choice(values, (resamples, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), (2.5, 97.5))
    return float(low), float(high)
