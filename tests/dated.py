"""Dated figures and latencies that tests of the trend and of the years share."""

import math

from fhecost.projection.dated import DatedFigure, DatedFigures
from fhecost.projection.trend_fit import Band

MEASURED = ("cpu", "gpu", "fpga")


def latency(value, low=None, high=None):
    return Band(value=value, low=low or value, high=high or value)


def figure(**changed):
    told = {
        "name": "a record",
        "lineage": "a library",
        "kind": "cpu",
        "software": "1.0",
        "machine": "old",
        "date": 2023.0,
        "precision": "4 bits",
        "log2_p_fail": -40,
        "seconds": 1.0,
        "work": None,
        "source": "a table",
    }
    return DatedFigure(**{**told, **changed})


def synthetic(software, steps, p_fail, *, with_work=False):
    """Releases twice a year for six years, a new machine every two, p_fail at two values."""
    figures = []
    for half_year in range(12):
        date = 2020.0 + half_year / 2
        generation = half_year // 4
        for precision, offset in (("2 bits", -4.0), ("4 bits", -3.0)):
            for bits in (40, 128):
                log_seconds = offset + software * (date - 2020) + p_fail * bits
                log_seconds += sum(steps[:generation])
                work = math.exp(20 + p_fail * bits) if with_work else None
                figures.append(
                    figure(
                        software=str(half_year),
                        machine=f"generation {generation}",
                        date=date,
                        precision=precision,
                        log2_p_fail=-bits,
                        seconds=math.exp(log_seconds),
                        work=work,
                    )
                )
    return DatedFigures(figures=tuple(figures))
