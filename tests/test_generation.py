"""``fhecost generate``: the tokens, where they part from the float model's, and what they cost."""

import csv
import io
import itertools
import json
from types import SimpleNamespace

import jsonschema
import pytest

from fhecost.errors import ImpossibleError, UsageError
from fhecost.generation import GenerationReport, first_difference, generate
from fhecost.gpt2.hybrid import MultiHeadsQGPT2Model
from fhecost.gpt2.model import find_model, load_gpt2
from fhecost.hardware.estimate import Refusal
from fhecost.hardware.estimator import estimate_all
from fhecost.hardware.library import load_hardware
from fhecost.heads.operators import ClearOperators
from fhecost.report.generation_document import generation_document
from fhecost.report.render import RENDERERS
from tests.llama_folders import write_llama

torch = pytest.importorskip("torch", reason="needs the extra [gpt2]")

PROMPT = "Cryptography is a"


def greedy(model, ids, tokens):
    """The token ids that transformers' own greedy generation adds."""
    return model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
    )[0, len(ids) :].tolist()


@pytest.fixture(scope="module")
def report():
    return generate(PROMPT, heads=(0, 1, 2, 3), tokens=6, hardware=["epyc-zen4-2", "h100"])


def test_tokens_are_those_of_greedy_generation(report):
    gpt2 = load_gpt2(find_model("embedded"))
    ids = gpt2.tokens(PROMPT)
    assert [token.token_id for token in report.float_tokens] == greedy(gpt2.model, ids, 6)
    model = MultiHeadsQGPT2Model(gpt2, variant="fast", calibration_length=len(ids) + 5)
    assert [token.token_id for token in report.tokens] == greedy(model, ids, 6)


def test_texts_of_tokens_add_up(report):
    gpt2 = load_gpt2(find_model("embedded"))
    for tokens, text in ((report.tokens, report.text), (report.float_tokens, report.float_text)):
        assert "".join(token.text for token in tokens) == text
        assert gpt2.tokenizer.decode([token.token_id for token in tokens]) == text


def test_the_report_knows_where_they_part(report):
    ids = [token.token_id for token in report.tokens]
    floats = [token.token_id for token in report.float_tokens]
    assert report.parted_at == first_difference(ids, floats)
    if report.parted_at is not None:
        assert ids[: report.parted_at] == floats[: report.parted_at]
    assert first_difference([1, 2, 3], [1, 5, 3]) == 1
    assert first_difference([1, 2], [1, 2, 3]) is None
    assert first_difference([], [1]) is None


def test_without_a_circuit_the_closed_form_says_what_tokens_cost(report):
    assert [token.seq_len for token in report.tokens] == [
        report.prompt_tokens + index for index in range(6)
    ]
    for one, other in itertools.pairwise(report.tokens):
        assert 0 < one.pbs_count < other.pbs_count
        assert [each.hardware for each in one.estimates] == ["epyc-zen4-2", "h100"]
        for before, after in zip(one.estimates, other.estimates, strict=True):
            assert before.low_s < before.latency_s < min(before.high_s, after.latency_s)
        assert one.measured_s is one.keys_s is None
    assert (report.bits, report.variant, report.compiled_for) == (3, "fast", None)
    # They are no run of the heads.
    assert report.inputs == 256 * sum(token.seq_len for token in report.tokens)
    assert report.exceeded == 0
    text = RENDERERS["table"](generation_document(report))
    assert "by closed form" in text
    assert f"{sum(token.pbs_count for token in report.tokens):,}" in text


def test_a_single_token_is_no_circuit():
    finished = generate("a", heads=[0], tokens=2, hardware=["h100"])
    assert [token.seq_len for token in finished.tokens] == [1, 2]
    alone, two = finished.tokens
    assert (alone.pbs_count, alone.estimates) == (None, ())
    assert two.pbs_count > 0


def test_circuits_that_are_none_are_said_and_stop_nothing(monkeypatch):
    monkeypatch.setattr(
        "fhecost.generation.predict_lengths",
        lambda _, lengths: [ImpossibleError("no parameters")] * len(lengths),
    )
    finished = generate(PROMPT, heads=[0], tokens=2, hardware=["h100", "strix"])
    assert len(finished.tokens) == 2
    assert finished.stopped is None
    text = RENDERERS["table"](generation_document(finished))
    assert "strix: no estimate at 7 tokens: no parameters." in text


def test_an_interrupt_leaves_what_was_written(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fhecost.generation.predict_lengths", interrupted)
    finished = generate(PROMPT, heads=[0], tokens=2)
    assert finished.interrupted
    assert len(finished.tokens) == 2
    assert finished.stopped == "interrupted before it was known what the tokens cost"


def test_a_token_that_no_machine_runs_is_there_all_the_same():
    """In the clear: text is what was asked for."""
    finished = generate("The ship", heads=[0], bits=8, tokens=1, hardware=["strix"])
    (token,) = finished.tokens
    assert token.estimates == ()
    assert [no.hardware for no in token.refusals] == ["strix"]
    assert "strix: no estimate at 2 tokens: " in RENDERERS["table"](generation_document(finished))


def test_tokens_are_told_as_they_come():
    told, steps = [], []
    finished = generate(PROMPT, heads=[0], tokens=2, progress=steps.append, on_token=told.append)
    # What they cost is known last: nobody waits for a text's second word because of it.
    assert [token.text for token in told] == [token.text for token in finished.tokens]
    assert {token.pbs_count for token in told} == {None}
    assert steps == ["loading the model", "calibrating the heads", "estimating the circuits"]


def test_generation_ends_with_the_text(monkeypatch, report):
    """The second token of the float model taken for the end of the text."""
    end = report.float_tokens[1].token_id

    def loaded(folder):
        gpt2 = load_gpt2(folder)
        gpt2.tokenizer.eos_token = gpt2.tokenizer.convert_ids_to_tokens(end)
        return gpt2

    monkeypatch.setattr("fhecost.generation.load_gpt2", loaded)
    finished = generate(PROMPT, heads=(0, 1, 2, 3), tokens=6)
    assert finished.float_tokens == report.float_tokens[:2]
    assert finished.stopped is None


def test_a_character_of_several_tokens_comes_whole(monkeypatch):
    gpt2 = load_gpt2(find_model("embedded"))
    ids = gpt2.tokens("é…")
    assert len(ids) > 2
    following = iter([*ids, *ids])
    monkeypatch.setattr("fhecost.generation._next_token", lambda *_: next(following))
    finished = generate(PROMPT, heads=[0], tokens=len(ids))
    assert finished.text == gpt2.tokenizer.decode(ids)
    assert "".join(token.text for token in finished.tokens) == finished.text
    assert not any("\N{REPLACEMENT CHARACTER}" in token.text for token in finished.tokens)


@pytest.fixture(scope="module")
def simulated():
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    asked = {"bits": 3, "heads": [0], "variant": "compact", "tokens": 2, "hardware": "all"}
    return generate("The ship", mode="simulate", **asked)


def test_a_simulation_compiles_once_for_the_longest(monkeypatch):
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    lengths, compile_heads = [], MultiHeadsQGPT2Model.compile

    def compiling(self, input_ids, **options):
        lengths.append(len(input_ids[0]))
        return compile_heads(self, input_ids, **options)

    monkeypatch.setattr(MultiHeadsQGPT2Model, "compile", compiling)
    finished = generate("The ship", heads=[0], bits=2, mode="simulate", tokens=3)
    assert lengths == [finished.compiled_for] == [4]
    assert len(finished.tokens) == 3
    assert "one circuit for 4 tokens" in RENDERERS["table"](generation_document(finished))


def test_each_token_costs_what_a_circuit_of_its_own_does(simulated):
    clear = generate("The ship", bits=3, heads=(0,), variant="compact", tokens=2)
    assert [token.token_id for token in simulated.tokens] == [
        token.token_id for token in clear.tokens
    ]
    model = MultiHeadsQGPT2Model.from_pretrained(n_bits=3, heads=(0,), calibration_length=3)
    assert simulated.compiled_for == 3
    for token in simulated.tokens:
        model.compile([[0] * token.seq_len])
        profile = model.profile()
        assert token.pbs_count == profile.pbs_count
        wanted = estimate_all(profile, load_hardware("all"), skip_impossible=True)
        # Counts and sets are the same; what loops and tensors do to many threads is near.
        assert [(each.hardware, each.latency_s) for each in token.estimates] == [
            (each.hardware, pytest.approx(each.latency_s, rel=0.05)) for each in wanted.estimates
        ]
        for each, exact in zip(token.estimates, wanted.estimates, strict=True):
            assert each.low_s <= exact.latency_s <= each.high_s
    first, second = simulated.tokens
    assert second.seq_len == first.seq_len + 1
    assert second.pbs_count > first.pbs_count
    for one, other in zip(first.estimates, second.estimates, strict=True):
        assert one.low_s <= one.latency_s <= one.high_s
        assert one.latency_s < other.latency_s
    assert (simulated.exceeded, simulated.stopped, first.measured_s) == (None, None, None)


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_a_report_shows_each_machine(simulated, format):
    text = RENDERERS[format](generation_document(simulated))
    assert max(map(len, text.splitlines())) <= 80 or format == "markdown"
    # Long names are folded in a table.
    for machine in ("epyc-zen4", "h100", "strix"):
        assert machine in text
    assert f"{sum(token.pbs_count for token in simulated.tokens):,}" in text


def test_many_machines_take_several_tables(simulated):
    token = simulated.tokens[0]
    many = tuple(
        token.estimates[0].model_copy(update={"hardware": f"a-machine-of-mine-{number}"})
        for number in range(12)
    )
    refusal = Refusal(hardware="tiny", reason="too small")
    token = token.model_copy(update={"estimates": many, "refusals": (refusal,)})
    wide = simulated.model_copy(update={"tokens": (token,), "parted_at": None})
    text = RENDERERS["table"](generation_document(wide))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("token ") >= 3
    assert "tiny: no estimate at 2 tokens: too small." in text


def test_csv_has_a_line_for_each_token_and_machine(simulated, report):
    rows = list(csv.DictReader(io.StringIO(RENDERERS["csv"](generation_document(simulated)))))
    tokens = simulated.tokens
    assert len(tokens) == 2
    assert len(rows) == sum(len(token.estimates) + len(token.refusals) for token in tokens)
    assert float(rows[0]["latency_s"]) == simulated.tokens[0].estimates[0].latency_s
    clear = list(csv.DictReader(io.StringIO(RENDERERS["csv"](generation_document(report)))))
    assert [row["text"] for row in clear[::2]] == [token.text for token in report.tokens]
    assert {row["hardware"] for row in clear} == {"epyc-zen4-2", "h100"}


def test_json_can_be_read_again(simulated, report):
    for made in (simulated, report):
        content = json.loads(RENDERERS["json"](generation_document(made)))
        jsonschema.validate(content, GenerationReport.model_json_schema(mode="serialization"))
        assert GenerationReport.model_validate(content) == made


def test_a_token_that_cant_be_compiled_ends_the_generation(monkeypatch, saved_profile):
    lengths = []

    def compile_once(self, input_ids):
        lengths.append(len(input_ids[0]))
        if len(lengths) > 1:
            raise ImpossibleError("no parameters")
        clear = self.quantized.run
        self._circuit_length = lengths[0]
        self._circuit = SimpleNamespace(
            keygen=lambda: None,
            encrypt_run_decrypt=lambda values: clear(values, ClearOperators()),
        )
        return self._circuit

    monkeypatch.setattr(MultiHeadsQGPT2Model, "compile", compile_once)
    monkeypatch.setattr(MultiHeadsQGPT2Model, "profile", lambda _: saved_profile)
    asked = {"bits": 3, "heads": [0], "mode": "execute", "tokens": 3, "hardware": "hpc7a-96xlarge"}
    finished = generate("The ship", **asked)
    assert len(finished.tokens) == 1
    assert len(finished.float_tokens) == 3
    assert finished.stopped == "token 2 of 3: no parameters"
    assert "stopped: token 2 of 3: no parameters." in RENDERERS["table"](
        generation_document(finished)
    )
    with pytest.raises(ImpossibleError, match="no parameters"):
        generate("The ship", **asked)


def test_a_llama_goes_on_too(tmp_path):
    """Each token's circuit, of heads with rotary positions, on its own length."""
    folder = write_llama(tmp_path / "small", "llama")
    finished = generate(
        PROMPT, str(folder), layer=1, heads=[0, 4], variant="fast", tokens=3, hardware=["h100"]
    )
    assert finished.model == "small"
    counts = [token.pbs_count for token in finished.tokens]
    assert counts == sorted(set(counts))
    table = RENDERERS["table"](generation_document(finished))
    assert "small: layer 1, heads 0, 4 at 3 bits, variant fast, mode disable" in table
    for token in finished.tokens:
        assert f"{token.pbs_count:,}" in table


def test_an_interrupt_leaves_the_tokens_that_were_there():
    so_far = []

    def interrupt(token):
        so_far.append(token)
        if len(so_far) == 2:
            raise KeyboardInterrupt

    made = generate(PROMPT, heads=[0], tokens=5, on_token=interrupt)
    assert made.interrupted
    assert made.tokens == tuple(so_far)
    assert made.text == "".join(token.text for token in so_far)
    assert made.stopped == "interrupted at token 3 of 5"

    def at_once(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(PROMPT, heads=[0], tokens=5, progress=at_once)


@pytest.mark.parametrize("variant", ["reference", "compact-attention"])
def test_other_variants_generate_too(variant):
    assert len(generate(PROMPT, bits=6, variant=variant, tokens=3).tokens) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ""}, "the text is empty"),
        ({"text": "a", "mode": "simulate"}, "the text has one token; a circuit needs at least 2"),
        ({"tokens": 0}, "tokens 0: must be at least 1"),
        ({"tokens": 255}, "tokens 255: with the 7 of the text more than the model's context"),
        ({"heads": (4,)}, "heads 4: the layer has heads 0 to 3"),
        ({"layer": 9}, "layer 9: the model has layers 0 to 3"),
        ({"bits": 9}, "bits 9: must be from 2 to 8"),
        ({"variant": "tiny"}, "variant tiny: unknown"),
        ({"model": "/nowhere"}, "model /nowhere: not a folder"),
    ],
)
def test_a_request_that_doesnt_fit_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        generate(**{"text": PROMPT, "heads": [0], **change})


def test_the_command_prints_both_continuations(run_fhecost, tmp_path):
    finished = run_fhecost("generate", PROMPT, "--heads", "0,2", "--tokens", "3", "-o", "out.json",
                           "--format", "json")  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == finished.stderr == ""
    made = GenerationReport.model_validate_json((tmp_path / "out.json").read_text())
    assert made.heads == (0, 2)
    assert len(made.tokens) == len(made.float_tokens) == 3
    table = run_fhecost("generate", PROMPT, "--heads", "0,2", "--tokens", "3")
    assert f"quantized  “{made.text}”" in table.stdout
    assert f"float      “{made.float_text}”" in table.stdout
    for machine in ("zen4-2", "h100", "v80", "strix"):
        assert machine in table.stdout
    assert f"{sum(token.pbs_count for token in made.tokens):,}" in table.stdout
    assert table.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "the text is empty"),
        ((PROMPT, "--tokens", "0"), "--tokens 0: must be at least 1"),
        ((PROMPT, "--tokens", "250"), "more than the model's context of 256"),
        ((PROMPT, "--heads", "0,7"), "--heads 7: the layer has heads 0 to 3"),
        ((PROMPT, "--hardware", "abacus"), "abacus: unknown machine"),
        ((PROMPT, "--mode", "fast"), "invalid value for '--mode'"),
        ((PROMPT, "-o", "missing/out.json"), "there is no folder missing"),
    ],
)
def test_bad_input_is_one_line(run_fhecost, arguments, message):
    finished = run_fhecost("generate", *arguments)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


def test_a_circuit_that_no_machine_runs_is_status_1(run_fhecost, tmp_path):
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    finished = run_fhecost("generate", "The ship", "--heads", "0", "--bits", "8", "--tokens", "1",
                           "--mode", "simulate", "--hardware", "strix")  # fmt: skip
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert len(finished.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_token_is_really_generated_encrypted():
    """One head at 3 bits on a prompt of 2 tokens."""
    pytest.importorskip("concrete", reason="needs the extra [concrete]")
    asked = {"bits": 3, "heads": [0], "tokens": 1}
    finished = generate("The ship", mode="execute", hardware=["epyc-zen4-2"], **asked)
    clear = generate("The ship", **asked)
    assert finished.prompt_tokens == 2
    (token,) = finished.tokens
    assert token.token_id == clear.tokens[0].token_id
    assert token.measured_s > 1
    assert token.keys_s > 1
    assert token.estimates[0].latency_s > 1
    assert "measured" in RENDERERS["table"](generation_document(finished))
