"""Numbers for people: prefixes only here, SI units everywhere else."""

from __future__ import annotations

from collections.abc import Mapping

_YEAR = 365.25 * 86400
_TIMES = {1.0: "s", 1e-3: "ms", 1e-6: "µs", 1e-9: "ns"}
_PREFIXES = {1e15: "P", 1e12: "T", 1e9: "G", 1e6: "M", 1e3: "k", 1.0: ""}


def duration(seconds: float) -> str:
    """Three significant digits: ``3.21 ms``, ``47.0 s``, ``7 min 52 s``, ``2 h 5 min``, years."""
    if seconds <= 0:
        return "0 s"
    if seconds < 99.95:
        return _scaled(seconds, _TIMES)
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    if minutes < 100 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    if seconds < 2 * _YEAR:
        return f"{seconds / 86400:,.1f} days"
    years = seconds / _YEAR
    return f"{_three_digits(years) if years < 1000 else amount(years)} years"


def amount(value: float, unit: str = "") -> str:
    """Three significant digits with a prefix: ``2.96 GB``, ``902 G``."""
    return _scaled(value, _PREFIXES, unit)


def share(fraction: float) -> str:
    """A percentage without decimals; below one percent, ``<1 %``."""
    return "<1 %" if 0 < fraction < 0.01 else f"{fraction:.0%}".replace("%", " %")


def deviation(fraction: float) -> str:
    """A relative error with its sign."""
    return f"{fraction:+.1%}"


def times(ratio: float) -> str:
    """A ratio in three digits."""
    return f"{ratio:,.0f}" if ratio >= 99.5 else f"{ratio:.3g}"


def span(low_s: float, high_s: float) -> str:
    """Two durations as a range."""
    return f"{duration(low_s)} to {duration(high_s)}"


def energy(joules: float) -> str:
    """An energy in three digits."""
    return amount(joules, "J")


def price(usd: float) -> str:
    """Cents below a dollar, and no more digits than a rent is worth."""
    if usd >= 1000:
        return f"{usd:,.0f} $"
    return f"{usd:.2f} $" if usd >= 1 else f"{100 * usd:.2g} ct"


def _scaled(value: float, names: Mapping[float, str], unit: str = "") -> str:
    """Three digits, in the largest of the scales that leaves one in front of the point."""
    scale = next((scale for scale in names if value >= 0.9995 * scale), min(names))
    return f"{_three_digits(value / scale)} {names[scale]}{unit}".rstrip()


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
