"""Plotly, where it is installed."""

from __future__ import annotations

from typing import Any

from fhecost.errors import UsageError


def load_plotly() -> Any:
    """``plotly.graph_objects``.

    Raises:
        UsageError: plotly isn't installed.
    """
    try:
        import plotly.graph_objects as found
    except ImportError as error:
        raise UsageError("figures need: pip install 'fhecost[plot]'") from error
    return found
