"""Modules: each function is a circuit that shares the module's keys; calls cost what each costs."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

import fhecost
from fhecost.circuits.profile import LINEAR_OPERATIONS
from fhecost.circuits.work import stage_units
from fhecost.cli import main
from fhecost.concrete.compilation import import_concrete
from fhecost.report.calls_document import calls_document
from fhecost.report.profile_document import profile_document
from fhecost.report.render import RENDERERS
from fhecost.units import price

pytest.importorskip("concrete", reason="needs the extra [concrete]")

fhe = import_concrete()


@fhe.module()
class Counter:
    @fhe.function({"x": "encrypted"})
    def inc(x):
        return (x + 1) % 20

    @fhe.function({"x": "encrypted"})
    def dec(x):
        return (x - 1) % 20

    @fhe.function({"x": "encrypted"})
    def passed_on(x):
        return x


@fhe.module()
class Collatz:
    """One step of 3x + 1, and whether it is the last one."""

    @fhe.function({"x": "encrypted"})
    def step(x):
        half, more = x // 2, 3 * x + 1
        odd = fhe.bits(x)[0]
        found = fhe.multivariate(lambda bit, y: bit * y)(odd, more - half) + half
        return found, found == 1


@fhe.module()
class Levenshtein:
    """What a table of distances is filled with: of equal letters, and of the three neighbours."""

    @fhe.function({"x": "encrypted", "y": "encrypted"})
    def equal(x, y):
        return x == y

    @fhe.function(dict.fromkeys(("same", "diagonal", "left", "above"), "encrypted"))
    def mix(same, diagonal, left, above):
        nearest = np.minimum(diagonal, np.minimum(left, above))
        return fhe.if_then_else(same, diagonal, nearest + 1)

    composition = fhe.AllComposable()


@fhe.module()
class Database:
    """Keys and values in rows of encrypted 2-bit chunks."""

    @fhe.function({"state": "encrypted", "key": "encrypted"})
    def query(state, key):
        found = np.sum(state[:, :2] == key, axis=1) == 2
        return fhe.hint(
            np.sum(fhe.multivariate(lambda hit, value: hit * value)(found, state[:, 2])),
            bit_width=3,
        )

    @fhe.function({"state": "encrypted", "row": "encrypted"})
    def insert(state, row):
        return fhe.refresh(state + row.reshape((1, 3)))

    composition = fhe.NotComposable()


@dataclass(frozen=True)
class Case:
    """A module and its inputs, as a user compiles it."""

    module: object
    inputs: dict
    p_error: float | None = None

    def compile(self):
        return self.module.compile(self.inputs, p_error=self.p_error)


def _inputs(*shapes, high, size=30):
    rng = np.random.default_rng(3)
    return [tuple(rng.integers(0, high, shape) for shape in shapes) for _ in range(size)]


CASES = {
    "counter": Case(Counter, {name: range(20) for name in ("inc", "dec", "passed_on")}),
    "collatz": Case(Collatz, {"step": list(range(63))}),
    "levenshtein": Case(
        Levenshtein,
        {
            "equal": _inputs((), (), high=4),
            "mix": [(s, d, a, b) for s in (0, 1) for d in (0, 3) for a in (0, 3) for b in (0, 3)],
        },
        p_error=1e-6,
    ),
    "database": Case(
        Database,
        {"query": _inputs((4, 3), (2,), high=4), "insert": _inputs((4, 3), (3,), high=4)},
    ),
}


@pytest.fixture(scope="module")
def compiled():
    """Each module, compiled once."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = CASES[name].compile()
        return made[name]

    return of


@pytest.fixture(scope="module")
def counter(compiled):
    return fhecost.profile_module(compiled("counter"), name="counter")


@pytest.mark.parametrize("name", CASES)
def test_each_function_has_concretes_counts_and_all_together_its_complexity(compiled, name):
    module = compiled(name)
    profile = fhecost.profile_module(module, name=name)
    for function, read in profile.functions.items():
        theirs = getattr(module, function)
        assert read.name == f"{name}.{function}"
        assert read.pbs_count == theirs.programmable_bootstrap_count
        assert read.key_switch_count == theirs.key_switch_count
        assert [read.linear_count(one) for one in LINEAR_OPERATIONS] == [
            theirs.clear_addition_count,
            theirs.encrypted_addition_count,
            theirs.clear_multiplication_count,
            theirs.encrypted_negation_count,
        ]
        assert (read.input_bytes, read.output_bytes) == (
            theirs.size_of_inputs,
            theirs.size_of_outputs,
        )
        # A call is handed the keys of all functions.
        assert read.ksk_bytes == module.size_of_keyswitch_keys
        # One call errs no more often than the module, in which each function is called once.
        assert read.p_error == module.p_error
        assert read.global_p_error <= module.global_p_error
    work = sum(stage_units(s) for one in profile.functions.values() for s in one.stages)
    assert work == pytest.approx(module.complexity, rel=1e-9)
    if len(module.graphs) > 1:
        assert sum(one.complexity for one in profile.functions.values()) == pytest.approx(work)


def test_the_shared_keys_are_those_that_concrete_makes(compiled, counter):
    module = compiled("counter")
    module.keygen()
    serialized = len(module.client.evaluation_keys.serialize())
    assert counter.bsk_bytes + counter.ksk_bytes == pytest.approx(serialized, rel=1e-3)


def test_a_function_alone_is_its_circuit():
    circuit = fhe.Compiler(lambda x: (x + 1) % 20, {"x": "encrypted"}).compile(range(20))
    whole = fhecost.profile_circuit(circuit)
    assert fhecost.profile_circuit(circuit._function) == whole
    assert fhecost.profile_circuit(circuit._module) == whole


def test_a_function_of_a_module_is_profiled_by_itself(compiled, counter):
    read = fhecost.profile_circuit(compiled("counter").inc, name="counter.inc")
    assert read.stages == counter.functions["inc"].stages
    assert read.complexity < compiled("counter").complexity


def test_a_function_that_does_nothing_is_named_and_left_out(counter):
    assert set(counter.functions) == {"inc", "dec"}
    assert "no operation on encrypted data" in counter.uncosted["passed_on"]
    with pytest.raises(fhecost.UsageError, match="no operation on encrypted data"):
        fhecost.estimate_calls(counter, {"passed_on": 1})


@fhe.compiler({"x": "encrypted"})
def _uncompiled(x):
    return x + 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda module: None, "not None$"),
        (lambda module: 7, "not int$"),
        (lambda module: fhe.Compiler(lambda x: x, {"x": "encrypted"}), "not Compiler.*compile()"),
        (lambda module: _uncompiled, "not Compilable, which isn't compiled"),
        (lambda module: Counter, "not ModuleCompiler, which isn't compiled"),
        (lambda module: Counter.inc, "not FunctionDef, which isn't compiled"),
        (lambda module: module.server, "not Server, which has no graph: give the circuit"),
        (lambda module: module.client, "not Client, which has no graph"),
        (lambda module: module, "functions dec, inc, passed_on: give one of them, such as "),
    ],
)
def test_what_is_no_circuit_is_one_line(compiled, given, said):
    with pytest.raises(fhecost.UsageError, match=said) as caught:
        fhecost.profile_circuit(given(compiled("counter")))
    assert str(caught.value).startswith("circuit: ")
    assert "\n" not in str(caught.value)


def test_counts_that_miss_operations_are_refused(compiled, monkeypatch):
    # The counter has a function that does nothing, and so takes no part of the work.
    for name in ("counter", "database"):
        module = compiled(name)
        stated = module.complexity
        with monkeypatch.context() as patched:
            patched.setattr(type(module), "complexity", 2 * stated)
            with pytest.raises(fhecost.ImpossibleError, match="operations are missing"):
                fhecost.profile_module(module)


def test_what_is_no_module_is_one_line(compiled):
    with pytest.raises(fhecost.UsageError, match=r"module: must be a compiled fhe\.module, not"):
        fhecost.profile_module(compiled("counter").inc)


def test_calls_cost_what_each_call_costs(counter):
    calls = {"inc": 10, "dec": 3}
    report = fhecost.estimate_calls(counter, calls, ["epyc-zen4-2", "h100", "strix"])
    assert report.pbs_count == 13
    for made in report.estimates:
        machine = fhecost.find_hardware(made.hardware)
        for end in ("latency_s", "low_s", "high_s"):
            each = {
                name: getattr(fhecost.estimate(one, machine), end)
                for name, one in counter.functions.items()
            }
            assert getattr(made, end) == pytest.approx(10 * each["inc"] + 3 * each["dec"])
        assert made.low_s <= made.latency_s <= made.high_s
    title, *lines = str(report).splitlines()
    assert title == "counter: 10 times inc, 3 times dec; 13 PBS"
    assert [line.split()[0] for line in lines] == [made.hardware for made in report.estimates]
    assert all(f"<td>{made.hardware}</td>" in report._repr_html_() for made in report.estimates)


def test_many_calls_are_likely_to_go_wrong(counter):
    """One call errs once in some hundred thousand; of as many calls some do."""
    few = fhecost.estimate_calls(counter, {"inc": 10, "dec": 3}, ["h100"])
    errors = {name: one.global_p_error for name, one in counter.functions.items()}
    right = (1 - errors["inc"]) ** 10 * (1 - errors["dec"]) ** 3
    assert few.global_p_error == pytest.approx(1 - right, rel=1e-6)
    assert few.unsure is None
    assert f"p_error {few.global_p_error:.1e} for all" in RENDERERS["table"](calls_document(few))
    many = fhecost.estimate_calls(counter, {"inc": 100_000}, ["h100"])
    assert many.global_p_error == pytest.approx(1 - (1 - errors["inc"]) ** 100_000)
    assert many.unsure.global_p_error == many.global_p_error > 0.1
    text = " ".join(RENDERERS["table"](calls_document(many)).split())
    assert text.startswith("WARNING, all calls as one run: some lookup goes wrong in ")


def test_a_function_that_is_likely_to_go_wrong_is_warned_of_in_its_profile(counter):
    plain = RENDERERS["table"](profile_document(counter))
    assert plain.startswith("MODULE")
    wrong = counter.functions["inc"].changed(p_error=0.3, global_p_error=0.3)
    assert RENDERERS["table"](profile_document(wrong)).startswith(
        "WARNING: some lookup goes wrong in 30 % of all runs; "
    )
    module = counter.changed(functions={**counter.functions, "inc": wrong})
    assert RENDERERS["table"](profile_document(module)).startswith(
        "WARNING, inc: some lookup goes wrong in 30 % of all runs; "
    )


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ({}, "calls: says of no function of"),
        ({"inc": 0}, "calls inc=0: must be a whole number from 1"),
        ({"inc": True}, "calls inc=True: must be a whole number"),
        ({"inc": 1.5}, "calls inc=1.5: must be a whole number"),
        ({"dec": 1, "up": 2}, "calls up: module counter has dec, inc"),
    ],
)
def test_calls_that_cant_be_are_one_line(counter, calls, said):
    with pytest.raises(fhecost.UsageError, match=said):
        fhecost.estimate_calls(counter, calls)


def test_a_machine_that_cant_hold_a_function_is_a_refusal(counter):
    report = fhecost.estimate_calls(counter, {"dec": 1}, "all")
    (refused,) = {no.reason for no in report.refusals if no.hardware == "matcha"}
    assert "can't hold the parameter set" in refused
    with pytest.raises(fhecost.ImpossibleError, match="matcha: can't hold"):
        fhecost.estimate_calls(counter, {"dec": 1}, "matcha")


def test_calls_begin_with_the_answer(counter):
    report = fhecost.estimate_calls(counter, {"inc": 10, "dec": 3}, ["h100", "epyc-zen4-2"])
    text = " ".join(RENDERERS["table"](calls_document(report)).split())
    by_name = {made.hardware: made for made in report.estimates}
    fastest = min(by_name.values(), key=lambda made: made.latency_s)
    assert text.startswith(f"Fastest of all calls: {fastest.hardware}, ")
    each = by_name["h100"].by_function
    usd = 10 * each["inc"].price_usd + 3 * each["dec"].price_usd
    assert f"Cheapest: h100, {price(usd)} (" in text


@pytest.mark.parametrize("form", RENDERERS)
def test_calls_are_printed_in_every_format(counter, form):
    report = fhecost.estimate_calls(counter, {"inc": 10, "dec": 3}, ["h100"])
    text = RENDERERS[form](calls_document(report))
    assert "inc" in text
    assert "h100" in text


def test_a_saved_module_comes_back_and_is_no_circuit(tmp_path, counter, capsys):
    path = tmp_path / "counter.json"
    fhecost.save_profile(counter, path)
    assert fhecost.load_module(path) == counter
    with pytest.raises(fhecost.UsageError, match=r"module of several functions.*inc=1"):
        fhecost.load_profile(path)
    arguments = ["--profile", str(path), "--hardware", "h100", "--format", "json"]
    main(["estimate", *arguments, "--calls", "inc=10, dec=3"])
    printed = json.loads(capsys.readouterr().out)
    report = fhecost.estimate_calls(path, {"inc": 10, "dec": 3}, ["h100"])
    assert printed == report.model_dump(mode="json")


def test_functions_with_other_keys_are_no_module(counter):
    with pytest.raises(ValueError, match="share their keys"):
        counter.changed(
            functions={
                "inc": counter.functions["inc"],
                "dec": counter.functions["dec"].changed(bsk_bytes=2 * counter.bsk_bytes),
            }
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--calls", "inc=1"], "--calls: goes with --profile of a module"),
        (["--calls", "inc", "--profile", "FILE"], "--calls inc: must be functions once each"),
        (["--calls", "inc=-1", "--profile", "FILE"], "--calls inc=-1: must be"),
        (["--calls", "inc=1,inc=2", "--profile", "FILE"], "--calls inc=2: must be functions once"),
        (["--calls", "inc=0", "--profile", "FILE"], "--calls inc=0: must be a whole number from 1"),
        (["--calls", "up=1", "--profile", "FILE"], "--calls up: module counter has dec, inc"),
        (["--calls", "inc=1", "--profile", "FILE", "--bits", "3"], "--bits: the functions are"),
        (
            ["--calls", "inc=1", "--profile", "FILE", "--save-profile", "x.json"],
            "--save-profile: the functions are those of --profile",
        ),
    ],
)
def test_bad_calls_on_the_command_line_are_one_line(tmp_path, counter, arguments, said, capsys):
    path = tmp_path / "counter.json"
    fhecost.save_profile(counter, path)
    given = [str(path) if argument == "FILE" else argument for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["estimate", *given])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
