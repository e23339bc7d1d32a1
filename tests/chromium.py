"""A headless Chromium that tests talk to over its DevTools protocol, by two pipes.

``look_at`` says what it finds in a page; ``chromium_page`` is one to work with.
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

_SETTINGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-quic"),
    *("--hide-scrollbars", "--remote-debugging-pipe"),
)
_LONGEST_S = 60


class Page:
    """One page: its console, its requests, and what can be done with it.

    ``console`` holds what it said and what went wrong, ``requests`` the addresses it asked for.
    """

    def __init__(self, send, receive):
        self._send, self._receive = send, receive
        self._number = 0
        self._buffer = b""
        self.console, self.requests = [], []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        """The answer to one call of the protocol."""
        return self._ask(method, session=self._session, **parameters)

    def _ask(self, method, session=None, **parameters):
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + _LONGEST_S
        while True:
            said = self._next(end)
            if said.get("id") == number:
                assert "error" not in said, (method, said["error"])
                return said["result"]

    def _next(self, end):
        """The next message; what a page says by itself is kept."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._receive], [], [], max(0, end - time.monotonic()))
            assert ready, "Chromium is silent"
            got = os.read(self._receive, 1 << 20)
            assert got, "Chromium has ended"
            self._buffer += got
        text, _, self._buffer = self._buffer.partition(b"\0")
        said = json.loads(text)
        method, about = said.get("method"), said.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append([about["type"], [one.get("value") for one in about["args"]]])
        elif method == "Runtime.exceptionThrown":
            self.console.append(["exception", about["exceptionDetails"]])
        elif method == "Log.entryAdded":
            self.console.append([about["entry"]["level"], about["entry"]["text"]])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        return said

    def show(self, width, height=900, dark=False):
        """As on a screen so wide, on light or dark paper."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, address):
        self.ask("Page.navigate", url=address)

    def value(self, expression):
        """What an expression of JavaScript gives."""
        got = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def wait_for(self, expression, seconds=60):
        """The value of ``expression`` as soon as it is something."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.value(expression):
                return found
            time.sleep(0.05)
        raise AssertionError(f"{expression} did not come about; console: {self.console}")

    def press(self, key, code=None, text=None, times=1):
        """A key, down and up, as from a keyboard."""
        codes = {
            "Tab": 9, "Enter": 13, " ": 32, "End": 35, "Home": 36,
            "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
        }  # fmt: skip
        about = {"key": key, "code": code or key, "windowsVirtualKeyCode": codes.get(key, 0)}
        if text is not None:
            about["text"] = text
        for _ in range(times):
            self.ask("Input.dispatchKeyEvent", type="keyDown", **about)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **about)


def _out_of_the_way(descriptor):
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


@contextmanager
def chromium_page(folder):
    """A page of a Chromium that keeps its things in ``folder`` and ends afterwards."""
    to_read, send = os.pipe()
    receive, to_write = os.pipe()
    # The protocol is on the descriptors 3 and 4; those here are out of their way.
    to_read, to_write = (_out_of_the_way(one) for one in (to_read, to_write))
    script = f'exec "$@" 3<&{to_read} 4>&{to_write} {to_read}<&- {to_write}>&-'
    command = ["bash", "-c", script, "-", CHROMIUM, *_SETTINGS, f"--user-data-dir={folder}"]
    running = subprocess.Popen(
        command,
        pass_fds=(to_read, to_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        yield Page(send, receive)
    finally:
        os.close(send)
        running.terminate()
        running.wait(20)
        os.close(receive)


def axe_source():
    """axe-core's code; where the package that carries it is missing, the test is skipped."""
    package = pytest.importorskip("axe_core_python", reason="needs axe-core: axe-core-python")
    return Path(package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def axe_faults(page):
    """What axe-core calls serious or worse: the rule, how bad, and what it is about."""
    page.value(f"{axe_source()}; 0")
    found = page.value("axe.run(document).then(found => JSON.stringify(found.violations))")
    return [
        (fault["id"], fault["impact"], [one["html"] for one in fault["nodes"]])
        for fault in json.loads(found)
        if fault["impact"] in ("serious", "critical")
    ]


_READY = """
  document.readyState === 'complete' && location.protocol === 'file:'
  && [...document.querySelectorAll('.js-plotly-plot')].every(one => one.querySelector('.main-svg'))
"""
_DRAWN = """[...document.querySelectorAll('.js-plotly-plot')].map(
  plot => plot.querySelectorAll('.trace, .point, .bars path, .hm').length)"""


def look_at(html, folder, *, width=1280, dark=False, judged=False):
    """What a browser finds in a page of ``html``; a console message fails.

    ``drawn`` are the traces of each figure, ``wide`` the width that the page takes, ``outside``
    what was asked for beyond files and, if it is ``judged``, ``findings`` axe-core's serious ones.
    """
    file = folder / "page.html"
    file.write_text(html, encoding="utf-8")
    with chromium_page(folder / "profile") as page:
        page.show(width, 900, dark)
        page.open(file.as_uri())
        page.wait_for(_READY)
        # What a drawn page still has to do, it does before it is idle.
        page.value("new Promise(done => requestIdleCallback(() => done(0), {timeout: 5000}))")
        assert page.value("matchMedia('(prefers-color-scheme: dark)').matches") == dark
        found = {
            "wide": page.value("document.documentElement.scrollWidth"),
            "drawn": page.value(_DRAWN),
        }
        if judged:
            found["findings"] = axe_faults(page)
        inside = ("file:", "data:", "blob:", "about:")
        found["outside"] = [one for one in page.requests if not one.startswith(inside)]
        assert page.console == [], page.console
    return found
