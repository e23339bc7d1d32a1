"""Files with one thing wrong: bytes changed, or one value of what they say replaced."""

import copy
import json
import random

import yaml

HOSTILE = [
    *(0, -1, 1, 2, 0.5, 1e308, -1e308, 1e-320, 2**31, 2**62, 2**63 - 1, 2**63, 10**30, 10**400),
    *(float("nan"), float("inf"), None, True, False, "", [], {}, [[]], "1e9", "yes", "33:43"),
    *("x" * 300, "\x1b[31mred", "\u202eover", "a\nb", "a|b", "=1+1", "<a href='//x'>b</a>", "../x"),
    *("\x00", "null", "0" * 5000, {"a": {"b": [1]}}, ["a", 1]),
]
"""What no reader may trip over, in the place of any value."""

BYTES = [
    *(b"\x00", b"\xff", b"\x1b[2J", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\\ud800", b"\n"),
    *(b"{", b"}", b"[", b'"', b",", b":", b"-", b"NaN", b"1e999", b"9" * 400),
    *(b"&a ", b"*a ", b"<<: ", b"!!python/name:os "),
]


def places(content, path=()):
    """The paths of all values in ``content``, of mappings and lists."""
    yield path
    if isinstance(content, dict):
        for key, value in content.items():
            yield from places(value, (*path, key))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from places(value, (*path, number))


def at(content, path):
    """What is at ``path``."""
    for step in path:
        content = content[step]
    return content


def replaced(chance: random.Random, content):
    """``content`` with one value replaced, left out, doubled, moved or put too deep."""
    content = copy.deepcopy(content)
    known = [path for path in places(content) if path]
    path = chance.choice(known)
    parent, last = at(content, path[:-1]), path[-1]
    value = parent[last]
    kind = chance.randrange(8)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == 0:
        del parent[last]
    elif kind == 1 and isinstance(parent, dict):
        parent["colour"] = "red"
    elif kind == 2 and isinstance(parent, list):
        parent.append(copy.deepcopy(value))
    elif kind == 3:
        parent[last] = copy.deepcopy(at(content, chance.choice(known)))
    elif kind == 4:
        deep = value
        for _ in range(chance.choice([1, 50, 2000])):
            deep = [deep]
        parent[last] = deep
    elif number and kind in (5, 6):
        factor = chance.choice([2, -1, 10, 1000, 1e6, 1e-6, 1e12, 0])
        parent[last] = type(value)(value * factor)
    else:
        parent[last] = chance.choice(HOSTILE)
    return content


def changed_bytes(chance: random.Random, data: bytes) -> bytes:
    """``data`` with bytes changed, cut, doubled or put in."""
    start, end = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    end = min(end, start + chance.choice([1, 10, 1000]))
    kind = chance.randrange(5)
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:end] + data[start:]
    if kind == 3:
        flipped = bytes(byte ^ (1 << chance.randrange(8)) for byte in data[start : start + 1])
        return data[:start] + flipped + data[start + 1 :]
    return data[:start] + chance.choice(BYTES) + data[start:]


def as_json(content) -> bytes:
    """JSON of any depth; numbers that are none as Python writes them."""
    try:
        return json.dumps(content).encode()
    except RecursionError:
        return b"[" * 5000
    except ValueError:
        return b'{"too": ' + b"9" * 5000 + b"}"


def as_yaml(content) -> bytes:
    """YAML of the same."""
    try:
        return yaml.safe_dump(content, allow_unicode=True).encode()
    except RecursionError:
        return b"[" * 5000
    except ValueError:
        return b"too: " + b"9" * 5000


def mutated(chance: random.Random, content, write) -> bytes:
    """A file of ``content`` with one thing wrong, as ``write`` writes it."""
    if chance.random() < 0.3:
        return changed_bytes(chance, write(content))
    return write(replaced(chance, content))
