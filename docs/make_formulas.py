"""Write docs/formulas.md from the docstrings of what computes: python docs/make_formulas.py."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "formulas.md"
_HEAD = """\
# Every formula, from the code that computes it

Written by `python docs/make_formulas.py` from the docstrings of the modules that compute; a test
holds both together. What leads from one to the next is told in [method.md](method.md).
"""
SECTIONS: Mapping[str, str] = {
    "Heads on integers": (
        "quantization.quantizer:Quantizer heads.reference heads.compact heads.compact_attention "
        "heads.fast heads.low_rank:reduced_scores heads.noise:NoisyOperators heads.layer"
    ),
    "Work and bytes of an operation": (
        "circuits.work circuits.work:key_product_units circuits.work:butterflies "
        "circuits.work:compressed_key_bytes circuits.requests:of_requests"
    ),
    "Noise and parameter sets": (
        "closed_form.noise closed_form.noise:fresh_variance= "
        "closed_form.noise:modulus_switch_variance= closed_form.noise:cmux_variance= "
        "closed_form.noise:key_switch_variance= closed_form.noise:allowed_variance= "
        "closed_form.noise:p_error_of= "
        "closed_form.noise_constraints closed_form.search_space closed_form.optimizer "
        "closed_form.parameter_sets closed_form.cost_error"
    ),
    "Latency": (
        "hardware.latency_model hardware.cpu:CpuLatencyModel hardware.gpu:GpuLatencyModel "
        "hardware.pipelined:PipelinedLatencyModel hardware.latency_model:ExtrapolatedFigures "
        "hardware.carried"
    ),
    "Memory": "hardware.memory hardware.run_memory",
    "Many requests, and which figure matters": (
        "hardware.throughput hardware.sensitivity hardware.what_if:with_figures"
    ),
    "Constants fitted to measurements": (
        "measurement.fit measurement.transfer_fit measurement.least_squares:fit_non_negative"
    ),
    "Held against facts": "validation.comparison validation.coverage accuracy.agreement",
    "Later years": "projection.trend projection.trend_fit projection.years",
}
"""What computes, by heading: modules, or MODULE:NAME of something in one, with = and its code."""


def page() -> str:
    """The text of docs/formulas.md."""
    parts = [_HEAD]
    for heading, names in SECTIONS.items():
        parts.append(f"## {heading}")
        for name in names.split():
            parts += entry(name)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def entry(name: str) -> Iterator[str]:
    """What the docstring of MODULE or MODULE:NAME says, under its first line."""
    module, _, inside = name.rstrip("=").partition(":")
    thing: Any = import_module(f"fhecost.{module}")
    thing = getattr(thing, inside) if inside else thing
    path = f"fhecost/{module.replace('.', '/')}.py"
    title, _, text = (inspect.getdoc(thing) or "").partition("\n")
    text = re.split(r"\n\n(?:Args|Returns|Raises|Yields):\n", text)[0].strip()
    called = f"`{inside}`: " if name.endswith("=") else ""
    yield f"### {called}{_markdown(title.rstrip('.'))}"
    if text:
        yield _fenced(_markdown(text))
    if name.endswith("="):
        yield f"```python\n{_without_docstring(inspect.getsource(thing))}```"
    where = f"`{inside}` in " if inside else ""
    yield f"{where}[`{path}`](../{path})"


def _without_docstring(source: str) -> str:
    return re.sub(r'\n +""".*?"""\n', "\n", source, count=1, flags=re.DOTALL)


def _fenced(text: str) -> str:
    """Formulas that are indented after a double colon as blocks."""

    def block(found: re.Match[str]) -> str:
        return f":\n\n```text\n{textwrap.dedent(found[1]).strip()}\n```\n\n"

    return re.sub(r"::\n\n((?:(?: +.*)?\n)+(?: +.*)?|(?: +.*))", block, text + "\n").strip()


def _markdown(text: str) -> str:
    """Python's marks for code as Markdown's; a product's asterisk isn't one of emphasis."""
    text = re.sub(r":\w+:`~?(?:fhecost\.)?([^`]+)`", r"`\1`", text).replace("``", "`")
    plain = re.split(r"(`[^`]*`|::\n\n(?:(?: +.*)?\n)+)", text + "\n")
    plain[::2] = [re.sub(r"(?<=[\w)])\*(?=[\w(])", r"\*", part) for part in plain[::2]]
    return "".join(plain).strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
