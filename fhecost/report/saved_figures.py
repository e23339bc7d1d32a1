"""Figures as SVG or PNG files, for papers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from fhecost.errors import FhecostError, FieldError, ImpossibleError
from fhecost.files import write_atomically
from fhecost.processes import temporary_files_within, temporary_folder
from fhecost.progress import Progress, silent
from fhecost.report.report_page import Figures

FigureFormat = Literal["svg", "png"]
_HOW = (
    "needs kaleido and a Chrome or Chromium: pip install 'fhecost[figures]', and plotly_get_chrome "
    "or the system's chromium package"
)
_WIDTH, _HEIGHT = 900, 520
_PATIENCE_S = 60
"""No figure takes longer; a browser that hangs does."""


def save_figures(
    figures: Figures, folder: Path, form: FigureFormat = "svg", progress: Progress = silent
) -> list[Path]:
    """Write every figure into ``folder``, which is made where it isn't there.

    Returns:
        the files, named after their sections and headings.

    Raises:
        UsageError: kaleido isn't installed, or the folder can't be written.
        ImpossibleError: no Chrome or Chromium is found.
    """
    check_kaleido("figures_folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FieldError("figures_folder", str(error.strerror), folder) from error
    return draw_files(
        {
            folder / named_after(anchor, heading, form): figure
            for anchor, drawn in figures.items()
            for heading, figure in drawn
        },
        form,
        progress,
    )


def named_after(begin: str, heading: str, form: FigureFormat) -> str:
    """The name of a figure's file."""
    return f"{'-'.join([begin, *re.findall(r'[a-z0-9]+', heading.lower())])}.{form}"


def check_kaleido(field: str) -> None:
    """Raise a UsageError that names ``field`` where kaleido isn't installed."""
    if find_spec("kaleido") is None:
        raise FieldError(field, _HOW)


def draw_files(
    named: Mapping[Path, Any], form: FigureFormat, progress: Progress = silent
) -> list[Path]:
    """Write figures to the files that they are named by.

    Raises:
        UsageError: a file can't be written.
        ImpossibleError: no Chrome or Chromium is found.
    """
    try:
        # The browser's profile, which a killed run would leave behind.
        with temporary_files_within(temporary_folder("browser-")):
            asyncio.run(_draw(named, form, progress))
    except FhecostError:
        raise
    except Exception as error:
        # Kaleido has a dozen ways to say that there is no browser; the first sentence is enough.
        said = str(error).strip().partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise ImpossibleError(f"drawing figures {_HOW} ({said})") from error
    return list(named)


async def _draw(named: Mapping[Path, Any], form: FigureFormat, progress: Progress) -> None:
    """One browser draws all of them."""
    import kaleido

    async with kaleido.Kaleido(n=1) as browser:
        for number, (path, figure) in enumerate(named.items(), start=1):
            progress(f"figure {number} of {len(named)}")
            height = figure.layout.height or _HEIGHT
            opts = {"format": form, "width": _WIDTH, "height": height, "scale": 2}
            drawing = browser.calc_fig(figure, opts=opts)
            write_atomically(path, await asyncio.wait_for(drawing, _PATIENCE_S))
