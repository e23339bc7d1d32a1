"""The documentation: its blocks of code run, its outputs are what is printed, its site is whole."""

import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import typer

from fhecost.cli import app
from tests.conftest import ROOT, load_script


def script(name):
    """A script of ``docs`` as a module."""
    return load_script(ROOT / "docs" / f"{name}.py")


OUTPUTS = script("make_outputs")
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in OUTPUTS.PAGES
    if path.name not in OUTPUTS.GENERATED
}
RUN = [page for page, text in TEXTS.items() if OUTPUTS.blocks(text)]


@pytest.mark.parametrize("page", RUN)
def test_a_page_shows_what_its_commands_print(page):
    """All that takes about a second; what takes longer, or can't be run, is marked so."""
    assert OUTPUTS.page(ROOT / page) == TEXTS[page], "make pages writes it (contributing.md#pages)"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in RUN if any(one.mark("slow") for one in OUTPUTS.blocks(TEXTS[page]))]
)
def test_a_page_shows_what_takes_minutes(page):
    assert OUTPUTS.page(ROOT / page, slow=True) == TEXTS[page]


COMMANDS = sorted(
    {
        (page, command)
        for page, text in TEXTS.items()
        for block in OUTPUTS.blocks(text)
        if block.language in ("bash", "console")
        for command in block.commands()
        if command.startswith("fhecost ")
    }
)


PARSER = typer.main.get_command(app)


def parsed(command):
    """A command line as far as its parser takes it; nothing is run."""
    words = shlex.split(command)[1:]
    at = PARSER
    while hasattr(at, "commands"):
        at = at.commands[words.pop(0)]
    if ">" in words:
        words = words[: words.index(">")]
    return at.make_context("fhecost", words)


def test_every_command_on_a_page_is_one():
    for page, command in COMMANDS:
        try:
            parsed(command)
        except Exception as error:
            pytest.fail(f"{page}: {command}: {error}")


@pytest.mark.parametrize("command", ["fhecost estimate --hardwear h100", "fhecost backtest h100"])
def test_a_command_that_is_none_is_found(command):
    with pytest.raises(Exception, match=r"No such option|unexpected extra argument"):
        parsed(command)


def test_a_block_is_what_its_comment_says():
    text = (
        "<!-- slow: compiles; show: A | B, c -->\n\n```console\n$ one \\\n    two\nout\n```\n"
        "```bash\n# no command\nfhecost x  # why\nthree\n```\n"
        "<!-- not run: no -->\n```python\n1\n```\n"
    )
    console, bash, python = OUTPUTS.blocks(text)
    assert (console.mark("slow"), console.mark("show")) == ("compiles", "A | B, c")
    assert list(console.commands()) == ["one      two"]
    assert list(bash.commands()) == ["fhecost x", "three"]
    assert [one.may_run(slow=True) for one in (console, bash, python)] == [True, True, False]
    assert not console.may_run(slow=False)


def test_what_isnt_shown_is_said():
    printed = "A first\n\nB 2\n\nCOSTS\n\ntable\n\nnote\n\nOTHERS\n\nC\n"
    assert OUTPUTS.part_of(printed, ["A ", "COSTS"]) == (
        "A first\n[…]\n\nCOSTS\n\ntable\n\nnote\n[…]\n"
    )
    with pytest.raises(LookupError, match="nothing begins with 'Z'"):
        OUTPUTS.part_of(printed, ["A ", "Z"])


def test_each_job_takes_at_most_three_commands():
    jobs = TEXTS["docs/jobs.md"].split("\n## ")[1:]
    taken = {
        job.splitlines()[0]: sum(len(list(block.commands())) for block in OUTPUTS.blocks(job))
        for job in jobs
    }
    assert len(taken) == 3
    assert {job: number for job, number in taken.items() if not 1 <= number <= 3} == {}
    assert all(block.language == "console" for job in jobs for block in OUTPUTS.blocks(job))


@pytest.mark.parametrize("name", ["cli", "formulas"])
def test_a_page_that_is_made_is_made_anew(name):
    made = script(f"make_{name}").page()
    assert (ROOT / "docs" / f"{name}.md").read_text() == made, "run make pages"


NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def test_notebooks_show_what_their_cells_print():
    pytest.importorskip("nbclient", reason="needs the extra [docs]")
    ran = subprocess.run(
        [sys.executable, "docs/make_notebooks.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(NOTEBOOKS) == 2


class Loaded(HTMLParser):
    """What a browser loads for a page, and whether the page has a first heading."""

    def __init__(self, text):
        super().__init__()
        self.addresses = []
        self.headings = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.headings += tag == "h1"
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.addresses.append(named.get("src") or "")
        elif tag == "link" and named.get("rel") in ("stylesheet", "preload", "preconnect", "icon"):
            self.addresses.append(named.get("href") or "")


def test_a_page_without_a_line_of_its_own_is_in_the_site_too():
    pytest.importorskip("mkdocs", reason="needs the extra [docs]")
    config = SimpleNamespace(nav=[{"Home": "index.md"}, {"How to": [{"Read": "howto/read.md"}]}])
    script("site_hooks").on_config(config)
    (title, pages), *others = config.nav[-1].items()
    assert (title, others) == ("More", [])
    assert "tutorial.md" in pages
    assert not {"index.md", "howto/read.md"} & set(pages)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as strictly as can be."""
    pytest.importorskip("material", reason="needs the extra [docs]")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_has_every_page(site):
    for page in (ROOT / "docs").rglob("*.md"):
        place = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert Loaded((site / place).read_text()).headings == 1, place
    for notebook in NOTEBOOKS:
        assert (site / "examples" / f"{notebook.stem}.html").is_file()
    assert not list(site.glob("*.py"))


def test_a_file_that_a_page_links_to_is_in_the_site(site):
    page = (site / "variants.html").read_text()
    (link,) = set(re.findall(r'href="(repository/[^"]*attention\.json)"', page))
    assert (site / link).read_bytes() == (ROOT / link.removeprefix("repository/")).read_bytes()


def test_the_site_loads_nothing_from_elsewhere(site):
    elsewhere = {
        (str(path.relative_to(site)), address)
        for path in site.rglob("*.html")
        for address in Loaded(path.read_text()).addresses
        if re.match(r"(?:\w+:)?//", address)
    }
    assert elsewhere == set()
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"url\([\"']?(?:https?:)?//[^)]*", styles) == []
