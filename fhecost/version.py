"""The version of fhecost."""

VERSION = "0.1.0"
