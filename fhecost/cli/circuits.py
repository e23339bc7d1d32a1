"""Circuits themselves: ``fhecost profile`` and ``diff``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from fhecost.cli.options import (
    DefaultHardwareOption,
    FormatOption,
    HardwarePathOption,
    deliver,
    prints,
)
from fhecost.cli.parsing import parse_hardware, parse_script
from fhecost.cli.progress import timed_progress
from fhecost.files import check_can_write
from fhecost.report.document import Document


def profile(
    script: Annotated[
        str,
        typer.Argument(
            metavar="SCRIPT.py[:NAME]",
            help="A Python file, and what it calls the compiled circuit, module or function.",
        ),
    ],
    format: FormatOption = "table",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.json", help="Keep the profile there, for --profile."
        ),
    ] = None,
) -> None:
    """Profile a circuit that your own script compiles. Its code is run, as by importing it.

    NAME is a variable at the script's top level: a compiled circuit, a module, or a function of
    one (counter.inc). It can be left out where there is only one. What stands under
    if __name__ == "__main__" isn't run.
    """
    from fhecost.circuits.profile import save_profile
    from fhecost.concrete.script import profile_script
    from fhecost.report.profile_document import profile_document

    check_can_write(output)
    with timed_progress(30) as progress:
        found = profile_script(*parse_script(script), progress)
    if output is not None:
        save_profile(found, output)
    deliver(profile_document(found), format)


@prints()
def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE.json", help="A circuit profile.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER.json", help="The other one.")],
    hardware: DefaultHardwareOption = "default",
    hardware_path: HardwarePathOption = None,
) -> Iterator[Document]:
    """Show what changed between two circuit profiles, stage by stage, and what that does to time.

    The exit status is 0, whether there are differences or not.
    """
    from fhecost.pipeline import diff_circuits
    from fhecost.report.difference_document import difference_document

    yield difference_document(
        diff_circuits(before, after, parse_hardware(hardware), hardware_path or ())
    )
