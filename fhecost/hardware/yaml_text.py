"""YAML as machines are written in it: numbers as in YAML 1.2, each key once, aliases of texts only.

PyYAML reads YAML 1.1, in which ``33:43`` is the number 2023 and ``no`` is false, takes the last of
two keys of one name, and copies what an alias or a merge key names: a few hundred bytes can name
more than any memory holds. A machine's file needs
aliases for the references that its figures share, and none of the rest.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from fhecost.errors import UsageError
from fhecost.files import has_half_characters, read_text

LARGEST_BYTES = 128 * 2**10
"""Of a machine's file; those that come with fhecost have up to a dozen KiB."""

_LONGEST_ALIAS = 1000
"""So that all aliases of a file together stay small."""

_RESOLVED = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]{1,308}", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "null": (r"~|null|Null|NULL|", "~nN\0"),
}
"""What a word without quotes can be besides a text, and how it begins."""


class _Loader(yaml.SafeLoader):
    """A SafeLoader of the above; ``yaml_implicit_resolvers`` are its own."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        alias = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if alias and not (isinstance(node, ScalarNode) and len(node.value) <= _LONGEST_ALIAS):
            fault = f"an alias may stand for a text of up to {_LONGEST_ALIAS} letters only"
            mark = None if node is None else node.start_mark
            raise yaml.composer.ComposerError(None, None, fault, mark)
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen or name == "<<":
                fault = "merge keys (<<) aren't read" if name == "<<" else f"{name[:40]!r} is twice"
                raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


for _tag, (_pattern, _first) in _RESOLVED.items():
    # An empty word has no first letter.
    letters = [*_first.replace("\0", ""), *([""] if "\0" in _first else [])]
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})$"), letters
    )


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    # YAML 1.1 takes 010 for eight.
    return int(str(loader.construct_scalar(node)))


_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def read_yaml(path: Path) -> Any:
    """What the YAML file at ``path`` holds.

    Raises:
        UsageError: the file can't be read, is larger than ``LARGEST_BYTES``, or isn't such YAML;
            the line is named.
    """
    try:
        content: Any = yaml.load(read_text(path, LARGEST_BYTES), _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise UsageError(f"{path}: not YAML: {where}{getattr(error, 'problem', error)}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: not YAML that can be read: it is nested too deeply") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: not YAML that can be read: {error}") from error
    if has_half_characters(content):
        raise UsageError(f"{path}: not YAML that can be read: half a character (a lone surrogate)")
    return content
