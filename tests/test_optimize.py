"""The search: its arithmetic, a tiny study that goes on, and the command as a user calls it."""

import json
import shlex
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import jsonschema
import pytest

import fhecost
from fhecost.accuracy.float_side import loaded_model
from fhecost.cli import main
from fhecost.errors import FieldError, ImpossibleError, UsageError
from fhecost.heads.fast import SHIPPED
from fhecost.heads.parameter_rules import UNRESTRICTED
from fhecost.heads.saved_setting import SavedSetting, load_setting
from fhecost.quantization import largest_integer
from fhecost.report.optimization_document import optimization_document, optimization_plot
from fhecost.report.pages import figure_page
from fhecost.report.render import RENDERERS
from fhecost.schemas import schema_path
from fhecost.search import optimize as search
from fhecost.search.front import Candidate, Limits, pareto, spread_evenly
from fhecost.search.objective import PAYS, Objective
from fhecost.search.records import Figures, Latency, OptimizationReport
from fhecost.search.space import Space, most_shift
from fhecost.search.study import Study, Subject

optuna = pytest.importorskip("optuna", reason="needs the extra [search]")
pytest.importorskip("transformers", reason="needs the extra [gpt2]")


def optimize(**options):
    """On the machine that comes with fhecost, so that figures are the same everywhere."""
    return fhecost.optimize(**{"hardware": "epyc-zen4-2", **options})


def test_latencies_are_of_this_machine_where_none_is_named(monkeypatch):
    class AskedError(Exception):
        pass

    def find_hardware(name, paths):
        raise AskedError(name)

    monkeypatch.setattr(search, "find_hardware", find_hardware)
    with pytest.raises(AskedError, match=r"^here$"):
        fhecost.optimize()


@pytest.fixture(scope="module", autouse=True)
def _few_marked():
    """Shipped variants take as long to judge as trials do; two show what more would."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "MARKED", (("compact", 4), ("fast", 2)))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def report(folder):
    return optimize(
        trials=4, seed=1, verify=0, study=folder / "study.db", save_heads=folder / "heads"
    )


def judged(top1, latency_s, error=0.1):
    figures = Figures(
        top1=top1, top1_low=0.0, top1_high=1.0, error=error, exceeded=0, pbs_count=1,
        complexity=1.0, latency=Latency(latency_s=latency_s, low_s=0.0, high_s=1e9),
    )  # fmt: skip
    setting, rules = SHIPPED[4]
    return Candidate(SavedSetting(settings=(setting,), rules=rules), figures)


def test_the_front_is_what_nothing_beats():
    found = [judged(0.9, 3), judged(0.95, 5), judged(0.94, 6), judged(0.95, 7), judged(0.8, 3)]
    assert pareto(found, Limits()) == [found[0], found[1]]
    assert pareto(found, Limits(min_top1=0.92)) == [found[1]]
    assert pareto([judged(0.9, 1, error=0.5)], Limits(max_error=0.4)) == []


@pytest.mark.parametrize(
    ("count", "most", "places"),
    [(5, 3, [0, 2, 4]), (2, 3, [0, 1]), (7, 1, [0]), (7, 0, []), (0, 3, []), (9, 2, [0, 8])],
)
def test_points_are_spread_along_the_front(count, most, places):
    assert spread_evenly(count, most) == places


@pytest.mark.parametrize("bits", sorted(SHIPPED))
@pytest.mark.parametrize("heads", [(0,), (0, 2)])
def test_shipped_settings_are_in_the_space(bits, heads):
    space = Space(heads, dimension=64)
    trial = optuna.trial.FixedTrial(space.parameters(*SHIPPED[bits]))
    found = space.setting(trial)
    assert (found.settings, found.rules) == ((SHIPPED[bits][0],), SHIPPED[bits][1])


def test_heads_have_ranks_of_their_own():
    space = Space((0, 2), dimension=64)
    fixed = space.parameters(*SHIPPED[4]) | {"value_rank_2": 12}
    one, two = space.setting(optuna.trial.FixedTrial(fixed)).settings
    assert (one.value_rank, two.value_rank) == (32, 12)
    assert one.product_bits == two.product_bits


@pytest.mark.parametrize("bits", range(2, 7))
def test_something_is_left_of_every_square(bits):
    square = largest_integer(bits) ** 2
    assert square / 2 ** most_shift(bits) > 0.5 >= square / 2 ** (most_shift(bits) + 1)


def test_a_tiny_study_gives_a_front(report):
    assert report.trials == report.judged == 4
    assert report.stopped_by == "trials"
    latencies = [point.figures.latency.latency_s for point in report.points]
    shares = [point.figures.top1 for point in report.points]
    assert latencies == sorted(latencies)
    assert shares == sorted(set(shares))
    assert [one.variant for one in report.marked] == ["compact", "fast"]
    for beaten in report.beaten:
        assert any(
            point.figures.top1 >= beaten.top1
            and point.figures.latency.latency_s <= beaten.latency_s
            for point in report.points
        )
    for point in report.points:
        assert point.figures.latency.low_s < point.figures.latency.latency_s
        assert point.figures.top1_low < point.figures.top1 < point.figures.top1_high
        assert 0 < point.figures.error < 1


def test_parameters_are_restricted_where_that_pays(report, folder):
    restricted = [one for one in report.points if one.setting.rules.restriction != UNRESTRICTED]
    # Four small polynomials have a larger bootstrap key than one of their size together.
    assert restricted
    for point in restricted:
        assert point.figures.restriction == point.setting.rules.restriction
        assert point.figures.latency.latency_s < PAYS * point.figures.unrestricted_s
        assert load_setting(point.file) == point.setting
    assert all(one.figures.restriction == UNRESTRICTED for one in report.marked)
    printed = RENDERERS["table"](optimization_document(report))
    assert "PARAMETERS FOR THE MACHINE" in printed
    assert f"{restricted[0].setting.rules.restriction}" in printed


def test_a_budget_that_is_spent_before_leaves_one_trial(monkeypatch):
    """Of a large model the shipped variants alone took longer, and nothing was found."""
    study = SimpleNamespace(begin=lambda _: None, trials=0, judged=[])
    tried = []
    monkeypatch.setattr(
        search._Search, "_try", lambda _: tried.append(1) or study.judged.append(None)
    )
    monkeypatch.setattr(search._Search, "front", [])
    spent = search._Search(None, study, None)
    told = (None, 0.0, lambda _: None, lambda _: None)
    assert [spent.run(0.0, *told), spent.run(0.0, *told)] == ["budget", "budget"]
    assert len(tried) == 1


def test_writing_the_text_says_how_far_it_is():
    """Of a real model it takes minutes, before the search begins."""
    said = []
    written = loaded_model("embedded").written(2, 3, progress=said.append)
    assert said == [f"writing text to judge on: token {done} of 3" for done in (1, 2, 3)]
    assert written == loaded_model("embedded").written(2, 3)


def test_a_study_goes_on_and_judges_nothing_twice(report, folder, monkeypatch):
    seen = []
    really = Objective.judged
    monkeypatch.setattr(
        Objective,
        "judged",
        lambda self, variant, *more: seen.append(variant.name) or really(self, variant, *more),
    )
    more = optimize(trials=2, seed=1, verify=0, study=folder / "study.db")
    names = {point.name for point in report.points}
    assert len(seen) <= 2
    assert not names & set(seen)
    assert report.trials < more.trials <= report.trials + 2
    again = optimize(trials=0, verify=0, study=folder / "study.db")
    assert again.points == more.points
    assert len(seen) <= 2


def test_limits_filter_the_front(report, folder):
    best = max(point.figures.top1 for point in report.points)
    asked = {"trials": 0, "verify": 0, "study": folder / "study.db"}
    strict = optimize(min_top1=best, **asked)
    assert all(point.figures.top1 >= best for point in strict.points)
    with pytest.raises(ImpossibleError, match="is within the limits; the best keeps 0"):
        optimize(min_top1=1.0, **asked)


def test_what_a_limit_gave_up_is_tried_again_under_a_wider_one(tmp_path):
    asked = {"verify": 0, "study": tmp_path / "study.db"}
    narrow = optimize(trials=3, max_error=0.1, **asked)
    assert narrow.judged < narrow.trials == 3
    wide = optimize(trials=2, max_error=0.4, **asked)
    assert wide.judged == wide.trials == 3


def test_an_interrupt_gives_what_is_there(folder, report, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fhecost.search.objective.judge", interrupted)
    found = optimize(study=folder / "study.db")
    assert found.stopped_by == "interrupt"
    assert found.points
    assert found.trials >= report.trials
    assert not any(point.verified for point in found.points)
    monkeypatch.undo()
    # What was broken off is tried first.
    more = optimize(trials=1, verify=0, study=folder / "study.db")
    assert more.trials == found.trials + 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layer": 1}, "layer 0, not 1"),
        ({"heads": (1,)}, "heads 0, not 1"),
        ({"seq_len": 4}, "seq len 6, not 4"),
        ({"hardware": "h100"}, "machine epyc-zen4-2, not h100"),
        ({"sentences": ["It rained all day on the harbour."]}, "other sentences"),
    ],
)
def test_a_study_of_something_else_is_refused(report, folder, changed, said):
    with pytest.raises(FieldError, match=f"it is of {said}; name another file"):
        optimize(trials=0, study=folder / "study.db", **changed)


def test_a_file_that_is_no_study_is_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no database, but long enough to look at: " * 40)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE songs (name TEXT)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(FieldError, match="study"):
            optimize(trials=0, study=path)
        assert path.read_bytes() == before


HALF_WRITTEN = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size=1")
database.execute("BEGIN")
database.executemany("INSERT INTO trials (study_id, state) VALUES (?, 'FAIL')", [(1,)] * 20000)
os.kill(os.getpid(), signal.SIGKILL)
"""


def new_study(path):
    subject = Subject(
        model_sha256="a", layer=0, heads=(0,), seq_len=6, sentences_sha256="b",
        hardware="any", hardware_hash="c", code="d",
    )  # fmt: skip
    return Study(Space((0,), 16), subject, path, seed=0)


def test_a_study_goes_on_that_was_killed_while_it_was_written(tmp_path):
    path = tmp_path / "study.db"
    study = new_study(path)
    for _ in range(3):
        study.give_up(study.ask()[0])
    tried = study.trials
    assert tried > 0
    subprocess.run([sys.executable, "-c", HALF_WRITTEN, path], check=False)
    assert path.with_name("study.db-journal").stat().st_size > 0
    assert new_study(path).trials == tried


def test_a_study_is_made_whole_or_not_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr("fhecost.search.study.write_atomically", lambda *_: sys.exit("killed"))
    with pytest.raises(SystemExit):
        new_study(tmp_path / "study.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"min_top1": 96.0}, "min_top1"),
        ({"max_error": 0.0}, "max_error"),
        ({"budget_s": -1.0}, "budget_s"),
        ({"trials": -1}, "trials"),
        ({"verify": -1}, "verify"),
        ({"heads": (7,)}, "heads"),
        ({"seq_len": 1}, "seq_len"),
    ],
)
def test_errors_name_the_field(wrong, field):
    with pytest.raises(FieldError) as raised:
        optimize(**wrong)
    assert raised.value.field == field


def test_without_optuna_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'fhecost\[search\]'"):
        optimize()


def test_a_saved_point_is_estimated_alike(report, capsys):
    for point in report.points:
        assert load_setting(point.file) == point.setting
    point = report.points[0]
    program, *arguments = shlex.split(point.command)
    assert program == "fhecost"
    main([*arguments, "--format", "json"])
    (made,) = json.loads(capsys.readouterr().out)["estimates"]
    assert made["latency_s"] == pytest.approx(point.figures.latency.latency_s)
    assert made["low_s"] == pytest.approx(point.figures.latency.low_s)


def test_the_report_in_every_format(report):
    document = optimization_document(report)
    assert max(map(len, RENDERERS["table"](document).splitlines())) <= 80
    text = RENDERERS["json"](document)
    jsonschema.validate(json.loads(text), json.loads(schema_path("optimization").read_text()))
    assert OptimizationReport.model_validate_json(text) == report
    lines = RENDERERS["csv"](document).splitlines()
    assert len(lines) == 1 + len(report.points) + len(report.marked)
    page = figure_page(optimization_plot(report))
    assert "shipped: compact" in page
    ((_, figure),) = optimization_plot(report).figures
    (star,) = [one for one in figure.data if one.marker.symbol == "star"]
    assert star.x[0] == min(
        latency for one in figure.data if one.name == "the front" for latency in one.x
    )
    assert report.points[0].name in page


def test_the_front_is_verified_by_compiling(report, folder):
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    asked = {"trials": 0, "verify": 2, "study": folder / "study.db"}
    found = optimize(**asked)
    verified = [point for point in found.points if point.verified]
    assert [verified[0], verified[-1]] == [found.points[0], found.points[-1]]
    for point in verified:
        assert point.verified.pbs_count == point.figures.pbs_count
        assert point.verified.complexity == pytest.approx(point.figures.complexity, rel=0.2)
    # At 1e-2 a lookup, a few sentences that go far off make most of the simulated error.
    exact = verified[-1]
    assert exact.setting.rules.p_error <= 1e-3
    assert exact.verified.error == pytest.approx(exact.figures.error, rel=0.5)
    # Once is enough.
    assert optimize(**asked).points == found.points


def test_the_command_line(run_fhecost, tmp_path):
    asked = ("optimize", "--trials", 1, "--verify", 0, "--seq-len", 4, "--budget", "10m")
    asked += ("--hardware", "epyc-zen4-2")
    files = ("--study", "s.db", "--save-heads", "heads", "--plot", "front.html")
    ran = run_fhecost(*asked, *files)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert max(map(len, ran.stdout.splitlines())) <= 80
    (file,) = (tmp_path / "heads").iterdir()
    assert file.stem in ran.stdout
    assert (tmp_path / "front.html").stat().st_size > 1e6
    for arguments, said in (
        (("--min-top1", "2"), "--min-top1 2.0: must be a share from 0 to 1"),
        (("--budget", "soon"), "--budget soon: must be a positive number and a unit"),
        (("--save-heads", "nowhere/heads"), "there is no folder nowhere"),
        (("--layer", "1", "--study", "s.db"), "--study s.db: it is of layer 0, not 1"),
    ):
        ran = run_fhecost(*asked, *arguments)
        assert ran.returncode == 2
        assert len(ran.stderr.splitlines()) == 1
        assert said in ran.stderr
