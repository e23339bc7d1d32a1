"""The README's usage block: each line works, in its order, in a folder where nothing is yet."""

import re
import shlex
import subprocess

import pytest

from fhecost.cli import main
from fhecost.hardware.library import find_hardware, load_hardware
from fhecost.hardware.profile import Kind
from tests.conftest import ROOT, USERS_SMOLLM2, launcher

STATED = ("--no-compile", "--widths", "stated")


def usage():
    """The lines of the block, as they stand."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^## Use\n\n```bash\n(.*?)^```", text, re.M | re.S)
    return block.splitlines()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with what the repository's own has, and an empty cache."""
    for name in ("examples", "experiments"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FHECOST_CONFIG", str(tmp_path / "config"))
    return tmp_path


def in_closed_form(arguments):
    """The same command without torch and Concrete; None where that can't be."""
    command, own = arguments[0], "--profile" in arguments or "--scope" in arguments
    if command in ("estimate", "compare", "report"):
        return [*arguments, *(() if own else STATED)]
    return arguments if command in ("project", "hardware") else None


def test_the_lines_of_closed_form_work_in_their_order(place, capsys):
    """As they stand, but for the heads, which aren't compiled."""
    commands = [in_closed_form(shlex.split(line, comments=True)[1:]) for line in usage()]
    ran = [arguments for arguments in commands if arguments is not None]
    assert len(ran) >= 8
    for arguments in ran:
        main(arguments)
    written = {path.name for path in place.iterdir()}
    assert {"head.json", "machines.html", "my-machine.yaml", "projection.html"} <= written
    assert "report.html" in written
    said = capsys.readouterr().out
    assert "my-machine" in said


@pytest.mark.slow
def test_every_line_works_in_its_order(place):
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    (place / "bin").mkdir()
    if USERS_SMOLLM2.is_dir():
        # What was fetched before isn't fetched again.
        (place / "cache" / "models").mkdir(parents=True)
        (place / "cache" / "models" / USERS_SMOLLM2.name).symlink_to(USERS_SMOLLM2)
    environment = launcher(place / "bin")
    for line in usage():
        if line.startswith("fhecost models fetch") and not USERS_SMOLLM2.is_dir():
            continue
        ran = subprocess.run(
            ["bash", "-c", line], cwd=place, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert ran.returncode == 0, f"{line}\n{ran.stderr}"
        assert "Traceback" not in ran.stderr, line


def test_the_default_answers_on_a_machine_of_each_kind(place, capsys):
    main(["estimate", *STATED, "--format", "csv"])
    rows = capsys.readouterr().out.splitlines()
    names = [row.split(",")[0] for row in rows[1:] if row.endswith(",")]
    kinds = {find_hardware(name).kind for name in names if name != "here"}
    assert kinds == set(Kind.__args__)
    assert {machine.kind for machine in load_hardware("default")} == kinds
