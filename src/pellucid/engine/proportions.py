"""95 % intervals of shares: of one, and of the difference between two that were counted on the same cases."""

from scipy.stats import norm

# The normal quantile of a 95 % interval.
Z = float(norm.ppf(0.975))


def share_interval(right: int, total: int) -> tuple[float, float]:
    """The score interval of a share (wilson1927probable); everything is possible where nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share = right / total
    middle = (share + Z**2 / (2 * total)) / (1 + Z**2 / total)
    half = Z / (1 + Z**2 / total) * (share * (1 - share) / total + Z**2 / (4 * total**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_interval(gained: int, lost: int, total: int) -> tuple[float, float]:
    """The interval of (gained − lost) / total, where ``gained`` cases are right only in the second of two conditions and
    ``lost`` only in the first (bonett2012adjusted)."""
    if total == 0:
        return -1.0, 1.0
    up, down = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    half = Z * ((up + down - (up - down) ** 2) / (total + 2)) ** 0.5
    return max(-1.0, up - down - half), min(1.0, up - down + half)
