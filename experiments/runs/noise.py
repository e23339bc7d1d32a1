"""How much the machine itself varies: ``python experiments/runs/noise.py``.

Holds the records of this folder against those of ``earlier/``, the same circuits on the same
machine and the same day, and the warm runs of each record against each other.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from fhecost.measurement.run_record import RunRecord, load_records

FOLDER = Path(__file__).parent
NAME = "epyc-zen4-2.jsonl"


def probe(record: RunRecord) -> float:
    """Seconds of the probe around the run."""
    return record.times.probe_mean_s or float("nan")


def main() -> None:
    """Print both comparisons."""
    records = load_records(FOLDER / NAME)
    earlier = {record.name: record for record in load_records(FOLDER / "earlier" / NAME)}
    print("the same circuit twice: warm run then and now, ratio; probe then and now, ratio")
    for record in records:
        before = earlier.get(record.name)
        if before is not None:
            then, now = before.times.warm_median_s, record.times.warm_median_s
            print(
                f"{record.name}: {then:.2f} s, {now:.2f} s, {now / then:.2f}; "
                f"{1e3 * probe(before):.1f} ms, {1e3 * probe(record):.1f} ms, "
                f"{probe(record) / probe(before):.2f}"
            )
    spreads = [max(r.times.warm_s) / min(r.times.warm_s) - 1 for r in records]
    print(
        f"slowest over fastest warm run of a record: median {statistics.median(spreads):.1%}, "
        f"worst {max(spreads):.1%}"
    )
    probes = [max(r.times.probe_s) / min(r.times.probe_s) - 1 for r in records]
    print(
        f"slowest over fastest probe of a record: median {statistics.median(probes):.1%}, "
        f"worst {max(probes):.1%}"
    )


if __name__ == "__main__":
    main()
