"""The version of fhecost, as it was installed: that of its tag, see ``release/version.py``."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("fhecost")
except PackageNotFoundError:
    # Its folder alone, which nobody installed.
    VERSION = "0+unknown"
