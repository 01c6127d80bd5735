"""How many of the labels that look wrong are wrong, by a model of label noise.

A share ``e`` of the labels are errors, as often in easy as in hard images. What tells them from hard images with right
labels: the more certain a classifier is that was fitted without the image (the larger the gap between its best two
classes), the rarer are hard images, while errors stay as frequent. So the share of labels that contradict it is a
curve of the gap that goes to about ``e`` instead of 0. The posterior of ``e`` and of the curve is computed on a grid.
Of more than two classes it counts, too, which class a label names instead: errors name any class or one that is often
confused, hard images one that is probable. Odds are taken as known to a factor only. docs/maintainers/lab-log.md has
what was measured of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

RATES = expit(np.linspace(-7.5, -0.4, 36))  # of errors
RATE_PRIOR = -3.4, 1.5  # mean and standard deviation of the log-odds: 3 %, 0.2 to 39 %
SCALES = np.exp(np.linspace(-2, 4, 25))  # of the gap
POWERS = np.arange(0.6, 2.61, 0.2)  # of the gap
POWER_PRIOR = 1.4, 0.3  # mean and standard deviation, of the curves of correct labels of ten tasks
SOFTER = 0.25  # share of images of which a classifier is as certain as of others with half of the gap
FLOORS = 0.0, 0.004, 0.008  # share of correct labels that contradict a classifier however certain it is
HARDEST = np.array([0.5, 0.6, 0.7, 0.8, 0.9])  # how often a correct label contradicts where the gap is 0
SHARPNESS = 0.5, 0.7, 1.0, 1.4, 2.0  # of the probabilities of the other classes of hard images
CONFUSED = 0.0, 0.5, 1.0  # share of errors that are as the classifier confuses classes
TEMPERATURES = np.geomspace(2, 64, 16)
BINS = 60  # of images with about the same gap
SAMPLES = 200  # of the posterior
ODDS = 0.5, 0.9  # standard deviation of the logarithm of what the odds are wrong by, of two classes and of more
NODES = np.array([-(3**0.5), 0.0, 3**0.5]), np.array([1 / 6, 2 / 3, 1 / 6])  # Gauss-Hermite
BOUND = 0.05  # quantile that is stated as "at least"
MIN_YIELD, WINDOW = 0.2, 10  # looking stops where fewer than 1 in 5 of the next 10 are wrong


@dataclass(frozen=True)
class Expected:
    """Expected errors among some images, and a number that there are at least, with a confidence of 95 %."""

    images: int
    value: float
    at_least: int


@dataclass(frozen=True)
class LabelNoise:
    """The posterior, as samples of equal weight.

    Attributes:
        rates: Share of labels that are wrong, (S,).
        right: How often the true class is the most probable one, by bin, (S, B).
        bins: The bin of each image, int (N,).
        contradicted: Whether the most probable class is not the label, bool (N,).
        chance: How often an error names the most probable class where this is not the true one.
        factor: Odds of an error by which class the label names, (N,); 1 for two classes.
        spread: Standard deviation of the logarithm of what the odds are wrong by.
    """

    rates: np.ndarray
    right: np.ndarray
    bins: np.ndarray
    contradicted: np.ndarray
    chance: float
    factor: np.ndarray
    spread: float

    @property
    def rate(self) -> float:
        """Expected share of labels that are wrong."""
        return float(self.rates.mean())

    def odds(self, rows: np.ndarray) -> np.ndarray:
        """That labels of some images int (n,) are wrong, (S, n)."""
        right, contradicted = self.right[:, self.bins[rows]], self.contradicted[rows]
        error = np.where(contradicted, right + (1 - right) * (1 - self.chance), (1 - right) * self.chance)
        correct = np.where(contradicted, 1 - right, right)
        rates = self.rates[:, None]
        return rates / (1 - rates) * error / np.maximum(correct, 1e-12) * self.factor[rows]

    def wrong(self, rows: np.ndarray) -> np.ndarray:
        """Probability that labels of some images int (n,) are wrong, (n,)."""
        return np.sum([w * _probability(odds).mean(axis=0) for w, odds in self._uncertain(rows)], axis=0)

    def expect(self, rows: np.ndarray) -> Expected:
        """How many labels of some images int (n,) are wrong; n >= 1."""
        counts, below = np.arange(len(rows) + 1)[:, None], np.zeros(len(rows) + 1)
        for weight, odds in self._uncertain(rows):
            p = _probability(odds)
            mean, variance = p.sum(axis=1), (p * (1 - p)).sum(axis=1)
            below += weight * ndtr((counts + 0.5 - mean) / np.sqrt(variance + 1e-9)).mean(axis=1)
        return Expected(len(rows), float(self.wrong(rows).sum()), int(np.searchsorted(below[:-1], BOUND)))

    def number_to_inspect(self, rows: np.ndarray) -> int:
        """How many of ranked images int (n,) to look at: up to where fewer than 1 in 5 of the next are wrong."""
        wrong = self.wrong(rows)
        enough = (start for start in range(len(rows)) if wrong[start : start + WINDOW].mean() < MIN_YIELD)
        return next(enough, len(rows))

    def _uncertain(self, rows: np.ndarray) -> list[tuple[float, np.ndarray]]:
        """Weights and odds (S, n), for what the odds may be wrong by."""
        odds = self.odds(rows)
        if not self.spread:
            return [(1.0, odds)]
        return [(float(w), odds * np.exp(self.spread * x)) for x, w in zip(*NODES, strict=True)]


def probabilities_of(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) from scores (N, K), at the temperature that is likeliest if some labels are wrong.

    Args:
        scores: Of classifiers that were fitted without the image, about 1 for its class and 0 for the others.
        labels: Class indices int (N,).
    """
    rows, classes, best = np.arange(len(labels)), scores.shape[1], (-np.inf, 1.0)
    for temperature in TEMPERATURES:
        chance = _softmax(temperature * scores)[rows, labels]
        for rate in (0.01, 0.03, 0.1, 0.2):
            best = max(best, (float(np.log((1 - rate) * chance + rate / classes).sum()), float(temperature)))
    return _softmax(best[1] * scores)


def fit_label_noise(labels: np.ndarray, probabilities: np.ndarray) -> LabelNoise:
    """Fit the model.

    Args:
        labels: Class indices int (N,).
        probabilities: Of ``probabilities_of``, float64 (N, K), K >= 2.
    """
    logits, top = np.log(np.maximum(probabilities, 1e-12)), probabilities.argmax(axis=1)
    best = np.partition(logits, -2, axis=1)[:, -2:]
    gap = best[:, 1] - best[:, 0]
    gap = np.maximum(gap / max(float(np.median(gap)), 1e-12), 1e-3)
    contradicted, two = top != labels, probabilities.shape[1] == 2
    parts = np.array_split(np.argsort(gap, kind="stable"), min(BINS, len(gap)))
    bins = np.empty(len(gap), dtype=np.int64)
    for number, part in enumerate(parts):
        bins[part] = number
    confused = probabilities.T @ probabilities
    np.fill_diagonal(confused, 0.0)
    confused /= np.maximum(confused.sum(axis=1, keepdims=True), 1e-300)
    others = probabilities.copy()
    others[np.arange(len(top)), top] = 0.0
    chance = 1.0 if two else float((others * confused[:, top].T).sum() / max(others.sum(), 1e-12))
    middle = np.array([np.exp(np.log(gap[part]).mean()) for part in parts])
    rates, right = _posterior(
        middle, np.stack([np.bincount(bins, contradicted == x) for x in (False, True)]), chance, two
    )
    noise = LabelNoise(rates, right, bins, contradicted, chance, np.ones(len(gap)), ODDS[0 if two else 1])
    if two or not contradicted.any():
        return noise
    rows = np.flatnonzero(contradicted)
    factor = np.ones(len(gap))
    factor[rows] = _named(logits[rows], top[rows], labels[rows], confused, _probability(noise.odds(rows)).mean(axis=0))
    return LabelNoise(rates, right, bins, contradicted, chance, factor, ODDS[1])


def _posterior(gap: np.ndarray, counts: np.ndarray, chance: float, two: bool) -> tuple[np.ndarray, np.ndarray]:
    """Samples of the rate, (S,), and of the curve, (S, B).

    Args:
        gap: Of each bin, (B,).
        counts: Labels in each bin that agree and that contradict, (2, B).
        chance: See ``LabelNoise``.
        two: Whether there are two classes.
    """
    scaled = SCALES[:, None, None] * gap ** POWERS[:, None]
    hard = (1 - SOFTER) * expit(-scaled) + SOFTER * expit(-scaled / 2)
    curves = 1 - 2 * HARDEST[: 1 if two else None, None, None, None] * hard  # (hardest, scale, power, B)
    curves = np.stack([(1 - floor) * curves for floor in FLOORS])
    center, spread = POWER_PRIOR
    prior = np.broadcast_to((-0.5 * ((POWERS - center) / spread) ** 2)[:, None], (*curves.shape[:-1], 1)).ravel()
    right = curves.reshape(-1, len(gap))
    center, spread = RATE_PRIOR
    prior_of_rate = -0.5 * ((np.log(RATES / (1 - RATES)) - center) / spread) ** 2
    found = np.empty((len(RATES), len(right)))
    for number, rate in enumerate(RATES):
        agree = (1 - rate) * right + rate * chance * (1 - right)
        found[number] = prior_of_rate[number] + prior + np.log(agree) @ counts[0] + np.log1p(-agree) @ counts[1]
    weights = np.exp(found - found.max()).ravel()
    cumulated = np.cumsum(weights / weights.sum())
    kept = np.minimum(np.searchsorted(cumulated, (np.arange(SAMPLES) + 0.5) / SAMPLES), len(weights) - 1)
    rate, curve = np.unravel_index(kept, found.shape)
    return RATES[rate], right[curve]


def _named(
    logits: np.ndarray, top: np.ndarray, labels: np.ndarray, confused: np.ndarray, wrong: np.ndarray
) -> np.ndarray:
    """How much likelier an error than a hard image names the label, (n,), given that it is not the most probable class.

    Args:
        logits: (n, K).
        top: The most probable class, int (n,).
        labels: Int (n,).
        confused: How the classifier confuses classes, (K, K).
        wrong: Probability of an error without it, (n,).
    """
    rows, classes = np.arange(len(top)), logits.shape[1]
    others = logits.copy()
    others[rows, top] = -np.inf
    others -= others.max(axis=1, keepdims=True)
    best, found = -np.inf, np.ones(len(top))
    for sharpness in SHARPNESS:
        hard = np.maximum(_softmax(sharpness * others)[rows, labels], 1e-9)
        for share in CONFUSED:
            error = np.maximum(share * confused[top, labels] + (1 - share) / (classes - 1), 1e-9)
            likelihood = float(np.log(wrong * error + (1 - wrong) * hard).sum())
            if likelihood > best:
                best, found = likelihood, error / hard
    return found


def _probability(odds: np.ndarray) -> np.ndarray:
    return odds / (1 + odds)


def _softmax(logits: np.ndarray) -> np.ndarray:
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)
