"""Quantile function of the beta distribution in pure Python floats."""

from __future__ import annotations

import math

_TINY = 1e-300
_EPSILON = 1e-16
_MAX_TERMS = 500


def beta_cdf(x: float, alpha: float, beta: float) -> float:
    """Regularised incomplete beta function I_x(alpha, beta), for ``x`` in [0, 1]."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    # The continued fraction converges fast only left of the mean; the other side follows by symmetry.
    if x > (alpha + 1.0) / (alpha + beta + 2.0):
        return 1.0 - _left_tail(1.0 - x, beta, alpha)
    return _left_tail(x, alpha, beta)


def _left_tail(x: float, alpha: float, beta: float) -> float:
    log_front = (
        math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta) + alpha * math.log(x) + beta * math.log1p(-x)
    )
    return math.exp(log_front) / (alpha * _continued_fraction(x, alpha, beta))


def beta_quantile(probability: float, alpha: float, beta: float) -> float:
    """The ``x`` with I_x(alpha, beta) = ``probability``, by bisection to double precision.

    Raises:
        ValueError: for a probability outside [0, 1] or parameters that are not positive.
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"A probability lies in [0, 1]; got {probability}.")
    if alpha <= 0.0 or beta <= 0.0:
        raise ValueError(f"Beta parameters must be positive; got alpha {alpha}, beta {beta}.")
    if probability in (0.0, 1.0):
        return probability
    low, high = 0.0, 1.0
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        if beta_cdf(middle, alpha, beta) < probability:
            low = middle
        else:
            high = middle


def _continued_fraction(x: float, alpha: float, beta: float) -> float:
    """1 + d1·x/(1 + d2·x/(1 + ...)) of the incomplete beta function, by the modified Lentz method (DLMF 8.17.22)."""
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, _MAX_TERMS):
        m = term // 2
        if term % 2:
            coefficient = -(alpha + m) * (alpha + beta + m) * x / ((alpha + 2 * m) * (alpha + 2 * m + 1))
        else:
            coefficient = m * (beta - m) * x / ((alpha + 2 * m - 1) * (alpha + 2 * m))
        d = 1.0 / _away_from_zero(1.0 + coefficient * d)
        c = _away_from_zero(1.0 + coefficient / c)
        value *= c * d
        if abs(c * d - 1.0) < _EPSILON:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
