"""The file of results: a line a point as soon as it is there, and in the end in their order.

A killed sweep leaves the lines of all points that were finished. Once all points are there, the
file is put in the order of the points, so that it is the same however often a sweep was broken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fhecost.errors import UsageError
from fhecost.files import AnyPath, checked, kept_elsewhere, remove_abandoned, write_atomically
from fhecost.json_lines import KeptLines, kept_lines, read_json_lines
from fhecost.sweep.plan import Planned
from fhecost.sweep.records import SweepResult

LARGEST_BYTES = 512 * 2**20
"""Of a file of results, some KiB each."""


def load_results(path: AnyPath) -> list[SweepResult]:
    """The results in a file, in their order; of those of one point, the last.

    Lines that a crash has torn are warned of and left out.

    Raises:
        UsageError: the file can't be read, or a line is no result.
    """
    found: dict[str, SweepResult] = {}
    for number, content in read_json_lines(path, LARGEST_BYTES):
        result = checked(SweepResult, content, f"{path}: line {number}: ")
        found[result.key] = result
    return list(found.values())


class ResultsFile:
    """A file of results that this sweep alone adds to."""

    def __init__(self, path: Path, lines: KeptLines, found: Iterable[SweepResult]) -> None:
        self._path, self._lines = path, lines
        self._found = {result.key: result for result in found}

    @property
    def found(self) -> Mapping[str, SweepResult]:
        """All results so far, by their keys."""
        return self._found

    def check_same_origin(self, points: Iterable[Planned]) -> None:
        """Refuse results of the same points that were made with something else.

        Raises:
            UsageError: there is one; says what differs.
        """
        said = {result.point.said: result for result in self._found.values()}
        for planned in points:
            earlier = said.get(planned.point.said)
            if earlier is None or earlier.key == planned.key:
                continue
            why = planned.provenance.difference(earlier.provenance) or "other steps or options"
            raise UsageError(
                f"{self._path}: holds results of these points with {why}: name another file"
            )

    def add(self, result: SweepResult) -> None:
        """Add a result, and wait until it is on the disk.

        Raises:
            UsageError: the disk is full; says where the result is kept instead.
        """
        try:
            self._lines.append(result.line)
        except UsageError as error:
            kept = kept_elsewhere(self._path, result.line + "\n", error)
            raise UsageError(f"{kept}; --resume goes on once there is room") from error
        self._found[result.key] = result

    def put_in_order(self, points: Iterable[Planned]) -> None:
        """Write the results of ``points`` in their order, once each, then those of no point.

        Raises:
            UsageError: there is no room for it; the file stays as it is.
        """
        left = dict(self._found)
        ordered = [left.pop(one.key) for one in points if one.key in left]
        text = "".join(f"{result.line}\n" for result in (*ordered, *left.values()))
        if self._path.read_bytes() != text.encode():
            write_atomically(self._path, text)


@contextmanager
def results_file(path: Path, *, resume: bool) -> Iterator[ResultsFile]:
    """The file of results at ``path``, kept from other sweeps meanwhile.

    Args:
        path: the file, which is made where it isn't there.
        resume: whether there may be results in it.

    Raises:
        UsageError: it can't be written, another sweep adds to it, or it holds something else than
            results, or results and ``resume`` is false.
    """
    with kept_lines(path) as lines:
        # Nobody else writes it now.
        remove_abandoned(path.resolve(), 0.0)
        begun = path.is_file() and path.stat().st_size > 0
        if begun and not resume:
            raise UsageError(
                f"{path}: is there already: --resume goes on with it, -o FILE names another one"
            )
        yield ResultsFile(path, lines, load_results(path) if begun else ())
