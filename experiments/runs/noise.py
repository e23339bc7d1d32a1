"""How much the machine itself varies: ``python experiments/runs/noise.py``.

Holds the records of this folder against those of ``earlier/``, the same circuits on the same
machine at other hours, and the warm runs of each record against each other.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from fhecost.measurement.run_record import load_records

FOLDER = Path(__file__).parent


def main() -> None:
    """Print both comparisons."""
    records = [record for path in sorted(FOLDER.glob("*.jsonl")) for record in load_records(path)]
    now = {record.name: record.times.warm_median_s for record in records}
    print("warm run of the same circuit at other hours, over that of now")
    for path in sorted((FOLDER / "earlier").glob("*.jsonl")):
        ratios = {
            record.name: record.times.warm_median_s / now[record.name]
            for record in load_records(path)
            if record.name in now
        }
        least, most = min(ratios.values()), max(ratios.values())
        print(
            f"{path.stem}: {len(ratios)} circuits, {least:.2f} to {most:.2f}, "
            f"median {statistics.median(ratios.values()):.2f}"
        )
    spreads = [max(record.times.warm_s) / min(record.times.warm_s) - 1 for record in records]
    print(
        f"slowest over fastest warm run of a record: median {statistics.median(spreads):.1%}, "
        f"worst {max(spreads):.1%}"
    )
    probes = [max(record.times.probe_s) / min(record.times.probe_s) - 1 for record in records]
    print(
        f"slowest over fastest probe of a record: median {statistics.median(probes):.1%}, "
        f"worst {max(probes):.1%}"
    )


if __name__ == "__main__":
    main()
