"""The explorer's server and process: who may ask, what is answered, how it starts."""

import json
import re
import signal
import socket
import subprocess
import sys

import pytest

from fhecost.cli import main
from fhecost.errors import UsageError
from fhecost.explore.address import query_of, state_of
from fhecost.explore.command import command_of
from fhecost.explore.server import make_server_app
from tests.conftest import launcher
from tests.test_explore import OFFER, PICKED, STATES, needs_dash


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("dash")
    return make_server_app(OFFER)


@pytest.fixture
def client(server):
    return server.test_client()


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("seq-len=six", "seq-len six: must be a whole number from 1"),
        ("seq-len=0", "seq-len 0: must be a whole number from 1"),
        ("bits=-4", "bits -4: must be a whole number from 1"),
        ("bits=4&bits=5", "bits: is there twice"),
        ("bit=4", "bit: no part of an address; there is model, scope, "),
        ("scope=everything", "scope everything: must be one of head, block, "),
        ("model=gpt22", "model gpt22: isn't offered here; there is embedded, "),
        ("model=/etc/passwd", "model /etc/passwd: isn't offered here"),
        ("variant=fats", "did you mean fast?"),
        ("heads=99", "heads 99: embedded has 4 a layer"),
        ("hardware=h100,h200", "hardware h200: isn't offered here"),
        ("machine=here", "hardware here: isn't offered here"),
        ("what-if=clock_hz", "what-if clock_hz: must be figures and positive numbers"),
        ("what-if=clock_hz=inf", "what-if clock_hz=inf: must be figures and positive numbers"),
        ("what-if=clock_hz=1,clock_hz=2", "what-if clock_hz: is set twice"),
        ("%ff%fe=1", "no part of an address"),
    ],
)
def test_what_is_no_address_is_one_line(client, query, line):
    for path, kind in (("/", "text/html"), ("/comparison.json", "text/plain")):
        got = client.get(f"{path}?{query}", headers={"Host": "127.0.0.1:8321"})
        assert (got.status_code, got.mimetype) == (400, kind)
        text = got.get_data(as_text=True).replace("&#x27;", "'")
        assert line in text
        assert "Traceback" not in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("model=gpt2&seq-len=2000", "seq-len 2000: gpt2 takes 1 to 1024"),
        ("bits=9", "bits 9: must be from 2 to 8"),
        ("machine=h100&what-if=wings=2", "what-if h100:wings: h100 has no such figure; "),
        ("machine=h100&what-if=power_w=1e30", "what-if h100:power_w: 1e+30 isn't plausible"),
    ],
)
def test_what_has_no_numbers_says_why(client, query, line):
    got = client.get(f"/comparison.json?{query}", headers={"Host": "localhost:8321"})
    assert got.status_code == 400
    assert got.get_data(as_text=True).startswith(f"fhecost: {line}")
    # The page is there, and says so below its controls.
    assert client.get(f"/?{query}", headers={"Host": "localhost:8321"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:8321"}, 200),
        ({"Host": "localhost:8321"}, 200),
        ({"Host": "127.0.0.1:8321", "Origin": "http://127.0.0.1:8321"}, 200),
        ({"Host": "rebound.example:8321"}, 403),
        ({"Host": "127.0.0.1.example"}, 403),
        ({"Host": "127.0.0.1:8321", "Origin": "https://rebound.example"}, 403),
        ({"Host": "127.0.0.1:8321", "Origin": "null"}, 403),
    ],
)
def test_who_may_ask(client, headers, status):
    for path in ("/", "/_dash-layout", "/comparison.csv"):
        got = client.get(path, headers=headers)
        assert got.status_code == status, path
        if status == 403:
            assert len(got.get_data(as_text=True).splitlines()) == 1


def test_pages_that_arent_there_and_what_all_pages_say(client):
    host = {"Host": "127.0.0.1:8321"}
    for path in ("/etc/passwd", "/_mcp", "/assets/x", "/%2e%2e/x"):
        assert client.get(path, headers=host).status_code == 404, path
    page = client.get("/", headers=host)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe-inline'" not in policy.partition("style-src")[0]
    text = page.get_data(as_text=True)
    assert '<html lang="en">' in text
    fetched = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert fetched
    assert not [one for one in fetched if not one.startswith("/")]


@pytest.mark.parametrize("query", STATES[1:])
def test_the_command_prints_the_same_numbers(client, tmp_path, query):
    """In a shell, as it stands on the page."""
    command = command_of(state_of(query, OFFER), OFFER)
    ran = subprocess.run(
        ["sh", "-c", f"{command} --format json"],
        env=launcher(tmp_path),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    got = client.get(f"/comparison.json?{query}", headers={"Host": "127.0.0.1"})
    assert got.get_data(as_text=True) == ran.stdout
    assert json.loads(ran.stdout)["rows"]


def test_the_browser_is_answered(client):
    """As Dash's script asks, when the form is there: first for the form, then for the numbers."""
    host = {"Host": "127.0.0.1:8321"}
    query = "?bits=2&hardware=h100&machine=strix&what-if=devices=2"

    def call(output, inputs):
        callbacks = client.get("/_dash-dependencies", headers=host).get_json()
        (one,) = [one for one in callbacks if output in one["output"]]
        several = one["output"].startswith("..")
        outputs = [
            dict(zip(("id", "property"), part.rsplit(".", 1), strict=True))
            for part in one["output"].strip(".").split("...")
        ]
        got = client.post(
            "/_dash-update-component",
            headers=host,
            json={
                "output": one["output"], "outputs": outputs if several else outputs[0],
                "inputs": inputs, "changedPropIds": [], "state": [],
            },
        )  # fmt: skip
        assert got.status_code == 200, got.get_data(as_text=True)
        return got.get_json()["response"]

    form = call("form.children", [{"id": "address", "property": "search", "value": query}])
    drawn = list(named(form["form"]["children"]))
    plain = {one["id"]: one["value"] for one in drawn if one["id"] in PICKED}
    inputs = [{"id": id, "property": "value", "value": plain[id]} for id in PICKED]
    dials = [one for one in drawn if isinstance(one["id"], dict)]
    inputs.append([{"id": one["id"], "property": "value", "value": one["value"]} for one in dials])
    shown = call("results.children", inputs)
    assert shown["query"]["data"] == query_of(state_of(query, OFFER))
    assert command_of(state_of(query, OFFER), OFFER) in json.dumps(shown["results"])


def named(tree):
    """The properties of all parts of a page, as the browser gets it, that have an id."""
    for part in tree if isinstance(tree, list) else [tree]:
        if isinstance(part, dict):
            if "id" in part["props"]:
                yield part["props"]
            yield from named(part["props"].get("children") or [])


WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "transformers", "concrete", "kaleido", "optuna"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
from fhecost.explore.server import make_server_app
from fhecost.explore.state import make_offer

client = make_server_app(make_offer()).test_client()
for path in {paths}:
    got = client.get(path, headers={{"Host": "127.0.0.1"}})
    assert got.status_code == 200, got.get_data(as_text=True)
"""


@needs_dash
@pytest.mark.parametrize(
    "paths",
    [
        ("/", "/_dash-layout", "/comparison.csv"),
        pytest.param(("/report.html",), marks=pytest.mark.slow),
    ],
)
def test_nothing_needs_torch(paths):
    program = WITHOUT_TORCH.format(paths=paths)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_without_dash_one_line_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "flask", None)
    with pytest.raises(UsageError, match=r"needs: pip install 'fhecost\[explore\]'"):
        make_server_app(OFFER)


def start(tmp_path, *arguments):
    """The explorer in a process of its own, and the first line that it says."""
    running = subprocess.Popen(
        [sys.executable, "-m", "fhecost", "explore", *arguments],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    return running, running.stdout.readline()


@needs_dash
def test_a_taken_port_and_an_interrupt(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running, line = start(tmp_path, "--port", str(port))
        try:
            found = re.fullmatch(
                rf"http://127\.0\.0\.1:(\d+)/ \(port {port} is taken\): Ctrl-C ends it\n", line
            )
            assert found, line
            assert int(found[1]) != port
            with socket.create_connection(("127.0.0.1", int(found[1]))):
                pass
        finally:
            running.send_signal(signal.SIGINT)
            out, errors = running.communicate(timeout=10)
    assert (out, errors) == ("", "fhecost: interrupted\n")
    assert running.returncode == 130


@needs_dash
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--port", "99999"), "--port 99999: must be from 0, any that is free, to 65535"),
        (("--port", "x"), "explore: invalid value for '--port': input should be"),
        (("--model", "nowhere"), "--model nowhere: no shape of that name"),
        (("--variant", "nowhere.json"), "nowhere.json: "),
        (("--hardware-path", "nowhere"), "--hardware-path nowhere: not a folder"),
    ],
)
def test_bad_usage_is_one_line(capsys, arguments, line):
    with pytest.raises(SystemExit) as ended:
        main(["explore", *arguments])
    out, errors = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert errors.startswith(f"fhecost: {line}"), errors
    assert len(errors.splitlines()) == 1
