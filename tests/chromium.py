"""A headless Chromium that tests talk to over its DevTools protocol, by two pipes."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode
from contextlib import contextmanager

CHROMIUM = next(
    (found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)

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

    def screenshot(self, path, whole=True):
        got = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(b64decode(got["data"]))


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
