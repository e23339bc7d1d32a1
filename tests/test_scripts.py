"""``fhecost profile my_script.py:circuit``: right, or one line that says where."""

import json

import pytest

import fhecost
from fhecost.cli.parsing import parse_script

pytest.importorskip("concrete", reason="needs the extra [concrete]")

CIRCUITS = '''"""Three circuits as users write them."""
import sys

import numpy as np
from concrete import fhe
from weights import FIRST, SECOND

print("compiling", sys.argv)


@fhe.compiler({"x": "encrypted", "y": "encrypted"})
def distance(x, y):
    return np.sum((x ^ y) != 0)


@fhe.compiler({"x": "encrypted"})
def layers(x):
    with fhe.tag("first"):
        hidden = np.maximum(x @ FIRST, 0) // 4
    with fhe.tag("second"):
        return hidden @ SECOND


rng = np.random.default_rng(0)
hamming = distance.compile([tuple(rng.integers(0, 4, (2, 5))) for _ in range(50)])
network = layers.compile([rng.integers(0, 4, 3) for _ in range(50)])


class Holder:
    inner = network


if __name__ == "__main__":
    raise RuntimeError("not a program here")
'''

WEIGHTS = """import numpy as np

FIRST = np.array([[1, -2], [2, 1], [-1, 1]])
SECOND = np.array([1, -1])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("scripts")
    (place / "my_script.py").write_text(CIRCUITS)
    (place / "weights.py").write_text(WEIGHTS)
    return place


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("my_script.py:circuit", ("my_script.py", "circuit")),
        ("a/b.py:db.module.insert", ("a/b.py", "db.module.insert")),
        ("my_script.py", ("my_script.py", None)),
        (r"C:\scripts\mine.py", (r"C:\scripts\mine.py", None)),
        (r"C:\scripts\mine.py:circuit", (r"C:\scripts\mine.py", "circuit")),
    ],
)
def test_a_script_and_a_name_are_parsed(text, parsed):
    assert parse_script(text) == parsed


def test_a_saved_circuit_is_that_of_the_script(folder, tmp_path, run_fhecost):
    """The command keeps the profile, prints the stages, and lets the script print on stderr."""
    script = folder / "my_script.py"
    finished = run_fhecost("profile", f"{script}:network", "-o", "network.json")
    assert finished.returncode == 0, finished.stderr
    assert f"compiling ['{script}']" in finished.stderr
    assert "compiling" not in finished.stdout
    assert "first" in finished.stdout
    saved = fhecost.load_profile(tmp_path / "network.json")
    assert saved.name == "network"
    assert [stage.name for stage in saved.stages] == ["first", "second"]
    assert str(folder) not in (tmp_path / "network.json").read_text()
    assert saved == fhecost.profile_script(script, "network")
    estimated = run_fhecost("estimate", "--profile", "network.json", "--hardware", "h100")
    assert estimated.returncode == 0
    assert "network (compiled Concrete circuit, my_script.py)" in estimated.stdout


def test_stages_without_a_tag_are_lines_of_the_script(folder, capsys):
    profile = fhecost.profile_script(folder / "my_script.py", "hamming")
    assert {stage.name for stage in profile.stages} == {"my_script.py:13"}
    assert profile.pbs_count > 0
    assert "compiling" in capsys.readouterr().err


def test_json_is_the_profile_itself(folder, run_fhecost):
    finished = run_fhecost("profile", folder / "my_script.py:Holder.inner", "--format", "json")
    read = fhecost.CircuitProfile.model_validate_json(finished.stdout)
    assert read.name == "Holder.inner"
    network = fhecost.profile_script(folder / "my_script.py", "network")
    assert read.stages == network.stages


def test_running_a_script_leaves_nothing_behind(folder):
    import sys

    before = (list(sys.argv), list(sys.path))
    fhecost.profile_script(folder / "my_script.py", "network")
    assert (sys.argv, sys.path) == before


ONE = """from concrete import fhe
@fhe.module()
class Counter:
    @fhe.function({"x": "encrypted"})
    def inc(x):
        return (x + 1) % 20
    @fhe.function({"x": "encrypted"})
    def dec(x):
        return (x - 1) % 20
counter = Counter.compile({"inc": range(20), "dec": range(20)})
same_by_another_name = counter
number = 7
"""


def test_a_module_is_listed_and_saved_whole(tmp_path, run_fhecost):
    (tmp_path / "one.py").write_text(ONE)
    finished = run_fhecost("profile", "one.py", "-o", "counter.json", "--format", "csv")
    assert finished.returncode == 0, finished.stderr
    rows = [line.split(",")[0] for line in finished.stdout.splitlines()]
    assert rows == ["function", "dec", "inc"]
    module = fhecost.load_module(tmp_path / "counter.json")
    assert module.name == "counter"
    function = fhecost.profile_script(tmp_path / "one.py", "counter.inc")
    assert function.stages == module.functions["inc"].stages
    priced = run_fhecost(
        *("estimate", "--profile", "counter.json", "--calls", "inc=10,dec=3", "--format", "json")
    )
    report = fhecost.estimate_calls(module, {"inc": 10, "dec": 3})
    assert json.loads(priced.stdout) == report.model_dump(mode="json")


@pytest.mark.parametrize(
    ("script", "name", "said"),
    [
        ("x = 1\ny = x / 0\n", "c", "mine.py:2: ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError\n\nf()\n", "c", "mine.py:2: ValueError$"),
        ("a = 1\nb = = 2\n", "c", "mine.py:2: SyntaxError: invalid syntax"),
        ("import nothing_of_that_name\n", "c", "mine.py:1: ModuleNotFoundError: No module named"),
        ("import sys\n\nsys.exit(3)\n", "c", "mine.py:3: the script ends itself; put what is to"),
        (
            "c = 3\n",
            "c",
            "c must be a compiled .*Circuit.* not int; of compiled .* none",
        ),
        ("c = 3\n", "d", "mine.py: no 'd' in it; of compiled circuits, it has none at its top"),
        ("c = 3\n", None, "say which compiled circuit, as in .*mine.py:NAME; it has none"),
        ("class A: pass\n", "A.b.c", "mine.py: A has no 'b'"),
        (ONE, "counter.up", "mine.py: counter has no 'up'; it has dec, inc"),
        (ONE, "Counter", "Counter must be .* not ModuleCompiler, which isn't compiled.*counter"),
        (ONE, "number", "not int; of compiled circuits, it has counter, same_by_another_name"),
        (
            "from concrete import fhe\n\n"
            'c = fhe.Compiler(lambda x: x % 7, {"x": "encrypted"}).compile([0, 200_000])\n',
            "c",
            "mine.py:3: RuntimeError: this 18-bit value is used as.*only up to 16-bit",
        ),
        (
            "from concrete import fhe\n"
            'c = fhe.Compiler(lambda x: x, {"x": "encrypted"}).compile(range(4))\n',
            "c",
            "mine.py: circuit 'c' has no operation on encrypted data",
        ),
    ],
)
def test_a_fault_of_a_script_is_one_line(tmp_path, monkeypatch, script, name, said):
    # Concrete writes a folder where it stands when a compilation fails.
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(script)
    with pytest.raises(fhecost.FhecostError, match=said) as caught:
        fhecost.profile_script(path, name)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.py", None, "absent.py: can't be read: No such file"),
        ("note.ipynb", "{}", "note.ipynb: a notebook; export it as a Python script"),
        ("nul.py", "a = 1\0", "nul.py.*: SyntaxError: source code string cannot contain null"),
    ],
)
def test_what_is_no_script_is_one_line(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(fhecost.UsageError, match=said):
        fhecost.profile_script(path, "circuit")


def test_the_command_line_says_it_in_one_line_and_debug_shows_the_traceback(tmp_path, run_fhecost):
    (tmp_path / "mine.py").write_text("x = 1\ny = x / 0\n")
    finished = run_fhecost("profile", "mine.py:c", "-o", "c.json")
    assert finished.returncode == 2
    assert finished.stderr == "fhecost: mine.py:2: ZeroDivisionError: division by zero\n"
    assert not (tmp_path / "c.json").exists()
    shown = run_fhecost("--debug", "profile", "mine.py:c").stderr
    assert 'File "mine.py", line 2' in shown
    assert "y = x / 0" in shown
    helped = " ".join(run_fhecost("profile", "--help").stdout.split())
    assert "Its code is run" in helped
