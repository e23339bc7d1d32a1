"""What bits cost and what they keep: one part of a model at several widths and variants.

Latencies are of closed-form circuits whose widths are stated, as the lengths of a projection;
accuracies were measured before, at the length on which most of these settings were judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fhecost.accuracy.records import AccuracyReport, AccuracyRow
from fhecost.circuits.description import CircuitDescription
from fhecost.closed_form.scopes import ShapeRequest, check_request
from fhecost.errors import FhecostError, FieldError
from fhecost.files import AnyPath
from fhecost.frozen import Frozen
from fhecost.hardware.estimate import Estimate
from fhecost.hardware.estimator import ChosenEstimator
from fhecost.hardware.library import HardwareNames, load_hardware
from fhecost.hardware.names import DEFAULT
from fhecost.hardware.profile import HardwareProfile, Kind
from fhecost.heads.variants import variant_named
from fhecost.models.shape import EMBEDDED, SHAPES, find_shape
from fhecost.projection.lengths import LengthPoint, estimate_point, latency_of
from fhecost.projection.trend_fit import Band

WIDTHS = range(2, 9)
"""The widths that a circuit's own variant is estimated at."""


class BitsPoint(Frozen):
    """One variant at one width.

    ``latency_s`` by machine; ``refusals`` says of the others why not, ``reason`` why there is no
    such circuit. ``accuracy`` is None where it wasn't measured.
    """

    variant: str
    bits: int
    pbs_count: int | None = None
    latency_s: Mapping[str, Band] = {}
    refusals: Mapping[str, str] = {}
    reason: str | None = None
    accuracy: AccuracyRow | None = None


class BitsReport(Frozen):
    """The points by variant and width, and the one that was ``chosen``, with its own estimates.

    ``of`` says of which heads, where that isn't plain. Parts of a model other than heads have their
    scope in the place of a variant. ``seq_len`` is that of the circuits. ``kinds`` are those of the
    machines, in their order, None where it isn't told.
    """

    model: str
    of: str = ""
    seq_len: int
    kinds: Mapping[str, Kind | None]
    points: tuple[BitsPoint, ...]
    chosen: BitsPoint | None = None

    @property
    def judged_seq_len(self) -> int | None:
        """The length of the windows that accuracy was judged on; None where it wasn't."""
        return next((one.accuracy.seq_len for one in self.points if one.accuracy), None)


def project_bits(
    circuit: ShapeRequest,
    hardware: Sequence[HardwareProfile],
    rows: Iterable[AccuracyRow] = (),
    *,
    widths: Iterable[int] = WIDTHS,
    known: Sequence[Estimate] = (),
    said: CircuitDescription | None = None,
) -> BitsReport:
    """Estimate a part of a model at other widths, beside what was measured of its accuracy.

    Args:
        circuit: what part of which model.
        hardware: the machines.
        rows: accuracies of the same weights and heads, of any variant, width and length.
        widths: of the circuit's own variant; others are estimated where their accuracy is known.
        known: estimates made before.
        said: what the circuit is that was chosen, if any was: ``known`` are its estimates.

    Raises:
        UsageError: the request is out of range for the model.
        ImpossibleError: the widths are those of a file, or a variant has no closed form.
    """
    check_request(circuit)
    estimators = {profile.name: ChosenEstimator(profile, None, known) for profile in hardware}
    judged = _judged_alike(rows)
    own = variant_named(circuit.variant)
    name: str = own.name if circuit.scope == "head" else circuit.scope
    wanted = {(name, bits) for bits in ([own.bits] if own.bits else widths)} | set(judged)
    points = []
    for variant, bits in sorted(wanted):
        of = circuit.variant if variant == name else variant
        request = replace(circuit, variant=of, bits=bits)
        points.append(_point(variant, request, estimators, judged.get((variant, bits))))
    bands = {one.hardware: latency_of(one) for one in known if one.hardware in estimators}
    chosen = None
    if said is not None and said.bits is not None:
        accuracy = judged.get((name, said.bits))
        chosen = BitsPoint(variant=name, bits=said.bits, latency_s=bands, accuracy=accuracy)
    return BitsReport(
        model=circuit.shape.name,
        seq_len=circuit.seq_len,
        kinds={profile.name: profile.kind for profile in hardware},
        points=tuple(points),
        chosen=chosen,
    )


class AccuracyCosts(Frozen):
    """What heads keep, and what each width costs: a report of bits for each group of heads."""

    accuracy: AccuracyReport
    costs: tuple[BitsReport, ...]


def with_costs(
    report: AccuracyReport,
    model: str = EMBEDDED,
    variant: str = "fast",
    hardware: HardwareNames = DEFAULT,
    hardware_path: Iterable[AnyPath] = (),
) -> AccuracyCosts:
    """Set latencies beside accuracies, by closed form, where they are of several widths.

    Rows of several layers at once have none, nor has a model whose shape isn't known by its name.

    Args:
        report: what was measured.
        model: whose heads they are, as it was named.
        variant: which quantized circuit, as it was named.
        hardware: names of machines or hardware profiles, ``all``, or ``default``.
        hardware_path: folders of further machines.

    Raises:
        UsageError: the variant, a machine or a path is wrong.
    """
    profiles = load_hardware(hardware, hardware_path)
    groups: dict[tuple[int, str], list[AccuracyRow]] = {}
    for row in report.rows:
        if row.of_one_layer:
            groups.setdefault((row.layer, row.heads), []).append(row)
    if max((len({row.bits for row in rows}) for rows in groups.values()), default=0) < 2:
        return AccuracyCosts(accuracy=report, costs=())
    try:
        shape = find_shape(model)
    except FieldError:
        return AccuracyCosts(accuracy=report, costs=())
    costs = []
    for (layer, said), rows in groups.items():
        heads = said.replace(" ", "")
        judged = _judged_alike(rows)
        seq_len = next(row.seq_len for row in judged.values())
        request = ShapeRequest(shape, seq_len=seq_len, variant=variant, heads=len(heads.split(",")))
        widths = {bits for _, bits in judged}
        made = project_bits(request, profiles, rows, widths=widths)
        several = "heads" if "," in heads else "head"
        costs.append(made.changed(of=f"layer {layer}, {several} {heads}"))
    return AccuracyCosts(accuracy=report, costs=tuple(costs))


def rows_about(said: CircuitDescription, reports: Iterable[AccuracyReport]) -> list[AccuracyRow]:
    """What was measured of the very weights and heads of a circuit, in any variant and width.

    Of a circuit that is counted by a named model's shape alone: of that model's weights, in the
    layer that it says, else in the first.
    """
    return [
        row
        for report in reports
        if _of_these_weights(report, said)
        for row in report.rows
        if row.of_one_layer
        and row.layer == (said.layer or 0)
        and {int(head) for head in row.heads.split(",")} == set(said.heads or ())
    ]


def _of_these_weights(report: AccuracyReport, said: CircuitDescription) -> bool:
    if said.model_sha256 is not None:
        return report.model_sha256 == said.model_sha256
    if said.scope != "head" or report.model != said.model or said.model not in (EMBEDDED, *SHAPES):
        return False
    # A folder of one's own may have the name of a model, with the shape of its own config.json.
    shape = find_shape(said.model)
    return (said.shape_from, said.width) == (shape.reference, shape.width)


def _judged_alike(rows: Iterable[AccuracyRow]) -> dict[tuple[str, int], AccuracyRow]:
    """Rows by variant and width, all of the length and mode that most of them have.

    Of two such lengths the longer one; shares of other lengths aren't held against each other.
    """
    found = list(rows)
    if not found:
        return {}
    settings = {(row.seq_len, row.mode, row.variant, row.bits) for row in found}
    common = Counter((seq_len, mode) for seq_len, mode, _, _ in settings)
    most = max(common, key=lambda alike: (common[alike], *alike))
    alike = [row for row in found if (row.seq_len, row.mode) == most]
    # Of two that judged the same, the one of more positions comes last, and stays.
    alike.sort(key=lambda row: row.positions)
    return {(row.variant, row.bits): row for row in alike}


def _point(
    variant: str,
    request: ShapeRequest,
    estimators: Mapping[str, ChosenEstimator],
    accuracy: AccuracyRow | None,
) -> BitsPoint:
    try:
        made = estimate_point(request, estimators)
    except FhecostError as error:
        made = LengthPoint(seq_len=request.seq_len, reason=str(error))
    return BitsPoint.like(made, variant=variant, bits=request.bits, accuracy=accuracy)
