"""What three frameworks need to start: CPU seconds until the first answer of a page with a slider.

    python experiments/explorer/start.py dash=v1/bin/python panel=v2/bin/python ...

Each in an environment of its own, with plotly. They take turns, so that a busy machine is busy for
all of them; what is printed are medians.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

FIGURE = "go.Figure(go.Bar(x=[v, 2 * v], y=['a', 'b']))"
APPS = {
    "dash": f"""
import sys
import plotly.graph_objects as go
from dash import Dash, Input, Output, dcc, html
app = Dash(__name__)
app.layout = html.Div([dcc.Slider(1, 10, value=3, id="s"), dcc.Graph(id="g")])
@app.callback(Output("g", "figure"), Input("s", "value"))
def show(v):
    return {FIGURE}
app.run(port=int(sys.argv[1]))
""",
    "panel": f"""
import plotly.graph_objects as go
import panel as pn
pn.extension("plotly")
s = pn.widgets.FloatSlider(start=1, end=10, value=3)
pn.Column(s, pn.bind(lambda v: pn.pane.Plotly({FIGURE}), s)).servable()
""",
    "streamlit": f"""
import plotly.graph_objects as go
import streamlit as st
v = st.slider("s", 1, 10, 3)
st.plotly_chart({FIGURE})
""",
}
ROUNDS = 5
LONGEST_S = 120


def command(name: str, python: str, port: int) -> tuple[list[str], str]:
    """How a page is served, and its path."""
    if name == "panel":
        return [python, "-m", "panel", "serve", "panel_app.py", "--port", f"{port}"], "/panel_app"
    if name == "streamlit":
        settings = ["--server.headless", "true", "--server.address", "127.0.0.1"]
        run = [python, "-m", "streamlit", "run", "streamlit_app.py", "--server.port", f"{port}"]
        return [*run, *settings], "/"
    return [python, f"{name}_app.py", f"{port}"], "/"


def cpu_s(process: int) -> float:
    """CPU seconds of a process, and of its children that ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def started_s(name: str, python: str, folder: Path) -> float:
    """CPU seconds until the page is answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run, path = command(name, python, port)
    running = subprocess.Popen(
        run,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end:
            try:
                address = f"http://127.0.0.1:{port}{path}"
                with urllib.request.urlopen(address, timeout=LONGEST_S) as answer:
                    answer.read()
                    return cpu_s(running.pid)
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{name} doesn't answer")
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def main() -> None:
    """Measure those that are named."""
    pythons = dict(argument.split("=", 1) for argument in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        for name, app in APPS.items():
            Path(folder, f"{name}_app.py").write_text(app)
        found: dict[str, list[float]] = {name: [] for name in pythons}
        # The first start writes byte code.
        for number in range(ROUNDS + 1):
            for name, python in pythons.items():
                seconds = started_s(name, str(Path(python).absolute()), Path(folder))
                if number:
                    found[name].append(seconds)
    for name, every in found.items():
        print(f"{name:10} {statistics.median(every):.2f} s  {[round(one, 2) for one in every]}")


if __name__ == "__main__":
    main()
