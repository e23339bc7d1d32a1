"""What ``fhecost project`` says and draws: PBS and latency over lengths, then the years."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from typing import Any

from fhecost.hardware.answer import answer_of
from fhecost.hardware.unsure import UNSURE
from fhecost.projection.lengths import PBS, LengthPoint, LengthProjection, PowerLaw
from fhecost.projection.projection import ProjectionReport
from fhecost.projection.trend_fit import Band
from fhecost.report import drawing
from fhecost.report.answer_lines import answer_lines
from fhecost.report.columns import Table, numbers, records
from fhecost.report.document import Block, Document, Heading, Listing, Note, Refusals, Text
from fhecost.report.latency_words import latency_words, not_known_lines, ranged
from fhecost.report.pbs_words import pbs_blocks, pbs_sentence
from fhecost.report.throughput_blocks import throughput_blocks
from fhecost.report.unsure_lines import on_top, sure_blocks
from fhecost.report.years_document import target_line, years_blocks, years_figures
from fhecost.units import duration, share, span, times

_OF_REQUESTS = (
    "pbs_kind", "availability", "requests", "batch", "per_second", "full_at", "energy_j",
    "price_usd", "price_usd_of_1000_tokens", "energy_j_of_token",
)  # fmt: skip
_FIELDS = (
    "seq_len", "pbs_count", "complexity", "max_bit_width", "global_p_error", "hardware",
    "latency_s", "low_s", "high_s", *_OF_REQUESTS, "reason",
)  # fmt: skip
_TOKENS = drawing.log_axis("tokens", fine=True)


def projection_document(report: ProjectionReport) -> Document:
    """The lengths, their laws, what has no figure, the target, and the years if asked for."""
    heading = (*_warning(report), Text(*projection_answer(report)), Heading("Projection"))
    blocks = (*heading, *projection_blocks(report))
    return Document(blocks, records(_FIELDS, _records(report)), report)


def projection_blocks(report: ProjectionReport) -> Iterator[Block]:
    """All that the answer rests on."""
    points = report.lengths.points
    shown = _shown(points)
    yield Text(asked_line(report))
    latencies = {
        name: [
            _latency(point.latency_s[name]) if name in point.latency_s else None for point in shown
        ]
        for name in machines_of(report)
    }
    yield Table(
        numbers("tokens", (point.seq_len for point in shown)),
        numbers("PBS", (point.pbs_count for point in shown)),
        *(numbers(name, values) for name, values in latencies.items()),
        fixed=2,
    )
    yield from _kinds_of_pbs(report)
    yield Note(*_not_known(shown))
    if len(shown) < len(points):
        yield Note(f"{len(shown)} of {len(points)} lengths; `project --format csv` has them all")
    if report.lengths.laws:
        line = "power laws through the points, of shorter and of longer sequences:"
        yield Text(Listing(line, tuple(map(law_line, report.lengths.laws))))
    yield Refusals(*_refusals(report))
    errors = [point.cost_error for point in points if point.cost_error is not None]
    if errors:
        least, most = share(min(errors)), share(max(errors))
        yield Note(
            "no circuit was compiled: the cost of the predicted ones may be off by "
            f"{most if least == most else f'{least} to {most}'}, which the ranges include"
        )
    yield Text(*_target_lines(report, report.longest))
    yield from _throughputs(report, shown)
    yield from sure_blocks(report.unsure)
    if report.years is not None:
        yield Heading(f"Over the years, at {report.years_seq_len:,} tokens")
        yield from years_blocks(report.years)


def _kinds_of_pbs(report: ProjectionReport) -> Iterator[Block]:
    """Of which kinds of PBS the estimates are, at the longest length."""
    yield from pbs_blocks(report.at_longest, report.pbs, None)


def _throughputs(report: ProjectionReport, points: Sequence[LengthPoint]) -> Iterator[Block]:
    """What the machines keep up over the lengths, then all that is known of the longest."""
    known = [point for point in points if point.throughputs]
    if not known:
        return
    yield Heading(f"{report.requests:,} requests at once, over the lengths")
    by_machine = {
        name: [
            point.throughputs[name].per_second if name in point.throughputs else None
            for point in known
        ]
        for name in machines_of(report)
    }
    yield Table(
        numbers("tokens", (point.seq_len for point in known)),
        *(numbers(name, rates, "{:.3g}".format) for name, rates in by_machine.items()),
        title="requests a second:",
        fixed=1,
    )
    yield from throughput_blocks(
        tuple(known[-1].throughputs.values()), report.pbs, at=f", of {_tokens(known[-1].seq_len)}"
    )


def _latency(band: Band | None) -> str | None:
    return None if band is None else latency_words(ranged(band))


def _not_known(points: Sequence[LengthPoint]) -> Iterator[str]:
    return not_known_lines(
        (name, ranged(band)) for point in points for name, band in point.latency_s.items()
    )


def _warning(report: ProjectionReport) -> Iterator[Block]:
    """Where a run is likely to go wrong, and what it would cost at the longest length."""
    unsure = [
        point
        for point in report.lengths.points
        if point.global_p_error is not None and point.global_p_error > UNSURE
    ]
    if unsure:
        yield from on_top(report.unsure, at=f" at {unsure[-1].seq_len:,} tokens")
        if len(unsure) > 1 and report.unsure is not None and not report.unsure.on_purpose:
            least = min(point.global_p_error or 0.0 for point in unsure)
            yield Note(f"From {unsure[0].seq_len:,} tokens on in {share(least)} of runs or more.")


def _shown(points: Sequence[LengthPoint]) -> list[LengthPoint]:
    """The ends and the powers of two of many lengths, all of few."""
    if len(points) <= 12:
        return list(points)
    ends = (points[0], points[-1])
    return [point for point in points if point.seq_len.bit_count() == 1 or point in ends]


def machines_of(report: ProjectionReport) -> list[str]:
    """The machines that have a latency at some length."""
    return list(dict.fromkeys(name for p in report.lengths.points for name in p.latency_s))


def asked_line(report: ProjectionReport) -> str:
    """What was projected, in one sentence."""
    said = report.description
    several = f"{len(said.heads)} heads" if said.heads and len(said.heads) > 1 else said.scope
    variant = f" ({said.variant})" if said.variant else ""
    return (
        f"{said.model}, {several}{variant}, {said.bits} bits; counts by closed form, "
        f"widths stated; shape: {said.shape_from}"
    )


def law_line(law: PowerLaw) -> str:
    """A power law as a formula, with where it holds and how well."""
    value = f"{law.coefficient:.3g}{'' if law.of == PBS else ' s'}"
    return (
        f"{law.of}: {value} · L^{law.exponent:.2f} from {law.first} to {law.last} tokens, "
        f"within {share(law.worst_error)}"
    )


def projection_answer(report: ProjectionReport) -> Iterator[str]:
    """What a reader can act on: the longest length, then how far that is from the target."""
    last = max(point.seq_len for point in report.lengths.points if point.reason is None)
    error = next(one.cost_error for one in report.lengths.points if one.seq_len == last)
    yield from answer_lines(report.at_longest, at=f" at {_tokens(last)}", cost_error=error)
    fastest = answer_of(report.at_longest).fastest
    if fastest is not None:
        yield from _target_lines(report, [fastest.hardware])
        targets = () if report.years is None else report.years.targets
        yield from (target_line(one) for one in targets if one.name == fastest.hardware)


def _target_lines(report: ProjectionReport, machines: Iterable[str]) -> Iterator[str]:
    """The longest of the lengths that meets the target, by machine; else how far it is off."""
    if report.target_s is None:
        return
    target, points = duration(report.target_s), report.lengths.points
    for name in machines:
        length = report.longest.get(name)
        if length is not None:
            yield f"{name}: {target} up to {_tokens(length)}, of the lengths estimated"
            continue
        # Shorter sequences are faster: the first length that it can run is its best.
        first = next(point for point in points if name in point.latency_s)
        missed = times(first.latency_s[name].value / report.target_s)
        yield (
            f"{name}: {target} at none of these lengths: {missed} times short at "
            f"{_tokens(first.seq_len)}"
        )


def _tokens(length: int) -> str:
    return "1 token" if length == 1 else f"{length:,} tokens"


def _refusals(report: ProjectionReport) -> Iterator[str]:
    for name, reason in report.refusals.items():
        yield f"not {name}: {reason}"
    points = report.lengths.points
    without = [point for point in points if point.reason is not None]
    if without:
        yield f"no circuit at {_lengths(without)} tokens: {without[0].reason}"
    for name in dict.fromkeys(name for point in points for name in point.refusals):
        refused = [point for point in points if name in point.refusals]
        if name not in report.refusals:
            yield f"not {name} at {_lengths(refused)} tokens: {refused[0].refusals[name]}"


def _lengths(points: Sequence[LengthPoint]) -> str:
    first, last = points[0].seq_len, points[-1].seq_len
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _records(report: ProjectionReport) -> Iterator[dict[str, object]]:
    """One row a length and machine; what can't be run has its reason and no figure."""
    for point in report.lengths.points:
        about = dict(point)
        if point.reason is not None:
            yield about
        for name in ("latency_s", "reason", "throughputs", "pbs_kinds", "availability"):
            del about[name]
        for name, band in point.latency_s.items():
            latency = {"latency_s": band.value, "low_s": band.low, "high_s": band.high}
            many = point.throughputs.get(name)
            of_many = {} if many is None else {one: getattr(many, one) for one in _OF_REQUESTS}
            kind = {"pbs_kind": point.pbs_kinds[name], "availability": point.availability[name]}
            yield {**about, "hardware": name, **latency, **kind, **of_many}
        for name, reason in point.refusals.items():
            yield {**about, "hardware": name, "reason": reason}


def projection_plot(report: ProjectionReport) -> drawing.Plot:
    """What is drawn: lengths, and the years if they were asked for.

    Raises:
        UsageError: plotly isn't installed.
    """
    note = (
        f"{asked_line(report)}. Dots are circuits counted and estimated one by one, dotted lines "
        f"the power laws through them, bands the ranges. fhecost {report.fhecost_version}."
    )
    if report.years is not None:
        note += (
            " Over the years, marks are releases by their distance from the trend, scaled to the "
            "estimate of the machine that their legend names: no time of those machines."
        )
    note += pbs_sentence(report.at_longest, report.pbs)
    missing = "".join(f" {name}: {reason}." for name, reason in report.refusals.items())
    return drawing.Plot("What longer sequences cost", note + missing, projection_figures(report))


def projection_figures(report: ProjectionReport) -> list[drawing.Drawn]:
    """PBS, latency where it is known, and the years if they were asked for."""
    drawn = [("PBS against sequence length", _pbs_figure(report.lengths))]
    if machines_of(report):
        drawn.append(("Latency against sequence length", _latency_figure(report)))
    if report.years is not None:
        drawn += [
            (f"{heading}, at {report.years_seq_len:,} tokens", figure)
            for heading, figure in years_figures(report.years)
        ]
    return drawn


def _pbs_figure(lengths: LengthProjection) -> Any:
    figure = drawing.new_figure()
    known = [point for point in lengths.points if point.pbs_count is not None]
    figure.add_scatter(
        x=[point.seq_len for point in known],
        y=[point.pbs_count for point in known],
        mode="markers",
        marker={"color": drawing.BLUE, "size": 8},
        name=PBS,
        hovertemplate="%{x} tokens: %{y:,} PBS<extra></extra>",
    )
    _add_laws(figure, lengths, PBS, drawing.BLUE)
    return drawing.finish(figure, _TOKENS, drawing.log_axis(PBS))


def _latency_figure(report: ProjectionReport) -> Any:
    figure = drawing.new_figure()
    points = report.lengths.points
    # Machines of one kind share a color, and each has a dash of its own.
    dashes = {kind: cycle(drawing.DASHES) for kind in drawing.KIND_COLORS}
    for name in machines_of(report):
        kind = report.kinds[name]
        known = {
            point.seq_len: point.latency_s[name] for point in points if name in point.latency_s
        }
        texts = [
            f"{name}, {length} tokens: {duration(band.value)}, {span(band.low, band.high)}"
            for length, band in known.items()
        ]
        about = {"mode": "lines+markers", "dash": next(dashes[kind])}
        drawing.add_band(figure, name, drawing.KIND_COLORS[kind], known, texts, **about)
        _add_laws(figure, report.lengths, name, drawing.KIND_COLORS[kind])
    bands = [band for point in points for band in point.latency_s.values()]
    ends = [end for band in bands for end in (band.low, band.high)]
    if report.target_s is not None:
        # A little further than the points, so that it shows for a single length too.
        drawing.add_target(
            figure, [0.9 * points[0].seq_len, 1.1 * points[-1].seq_len], report.target_s
        )
    return drawing.finish(figure, _TOKENS, drawing.time_axis("latency", ends))


def _add_laws(figure: Any, lengths: LengthProjection, of: str, color: str) -> None:
    about = {"dash": "dot", "width": 1, "legendgroup": of, "hoverinfo": "name"}
    for law in lengths.laws:
        if law.of == of:
            ends = [law.first, law.last]
            values = [law.coefficient * length**law.exponent for length in ends]
            shown = {"name": law_line(law), "showlegend": of == PBS}
            drawing.add_line(figure, ends, values, color, **shown, **about)
