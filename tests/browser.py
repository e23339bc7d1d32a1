"""Pages in a headless Chromium: what they log, what they ask for, and what axe-core finds."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))),
    None,
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


def axe_source():
    """axe-core's code; where the package that carries it is missing, the test is skipped."""
    package = pytest.importorskip("axe_core_python", reason="needs axe-core: axe-core-python")
    return Path(package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def look_at(page, folder, *, width=1280, dark=False, axe=None):
    """What a browser finds in ``page``, which is HTML.

    ``drawn`` are the traces of each figure, ``outside`` what was asked for beyond files, ``wide``
    the width that the page takes, ``findings`` axe-core's serious ones. A console message fails,
    and so does a page that axe-core should judge and can't.
    """
    file, frame = folder / "page.html", folder / "frame.html"
    code = "" if axe is None else "<script>" + axe.replace("</script", "<\\/script") + "</script>"
    file.write_text(page.replace("</body>", f"{code}</body>"))
    frame.write_text(
        f'<iframe id="page" src="page.html" width="{width}" height="800"></iframe>'
        "<pre id='found'></pre><script>addEventListener('load', () => setTimeout(async () => {"
        "const inside = document.getElementById('page').contentWindow, page = inside.document;"
        "const plots = [...page.querySelectorAll('.js-plotly-plot')];"
        "const judged = inside.axe ? await inside.axe.run(page, {resultTypes: ['violations']})"
        " : {violations: []};"
        "document.getElementById('found').textContent = JSON.stringify({"
        "dark: inside.matchMedia('(prefers-color-scheme: dark)').matches,"
        "judged: Boolean(inside.axe),"
        "wide: page.documentElement.scrollWidth,"
        "drawn: plots.map(plot => plot.querySelectorAll('.trace, .point, .bars path, .hm').length),"
        "findings: judged.violations.filter(one => ['serious', 'critical'].includes(one.impact))"
        ".map(one => one.id + ': ' + one.nodes.map(node => node.html).join(' ').slice(0, 400)),"
        "outside: inside.performance.getEntriesByType('resource').map(entry => entry.name)"
        ".filter(name => !name.startsWith('file:'))});}, 2500));</script>"
    )
    ran = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-quic", "--allow-file-access-from-files", "--enable-logging=stderr",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--user-data-dir={folder / 'profile'}",
            "--virtual-time-budget=20000", f"--window-size={width + 40},900", "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "CONSOLE" not in ran.stderr, ran.stderr
    found = json.loads(
        html.unescape(re.search(r"<pre id=\"found\">(.*?)</pre>", ran.stdout, re.DOTALL)[1])
    )
    assert found["dark"] == dark
    assert found["judged"] == (axe is not None)
    return found
