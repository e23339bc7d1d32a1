"""What is kept between runs: what doesn't verify is said and made anew, and there is a bound."""

import json
import os

import jsonschema
import pytest

import fhecost
from fhecost.caches import CACHES, Cache, cache_named
from fhecost.circuits.cache import through_cache
from fhecost.frozen import Frozen
from fhecost.schemas import schema_path

KEY, OTHER = "a" * 64, "b" * 64


class Kept(Frozen):
    """Something to keep."""

    number: int
    text: str = ""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("FHECOST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cache():
    return Cache("things", 10_000)


def test_what_is_kept_comes_back(cache):
    assert cache.get(KEY, Kept) is None
    cache.put(KEY, Kept(number=7, text="é\u2028"))
    assert cache.get(KEY, Kept) == Kept(number=7, text="é\u2028")
    assert cache.get(OTHER, Kept) is None


def _changed(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


DAMAGE = {
    "another number": (lambda c: c["content"].update(number=1), "sha256: not that of its content"),
    "no hash": (lambda c: c.pop("sha256"), "sha256: field required"),
    "an empty hash": (lambda c: c.update(sha256=""), "sha256: not that of its content"),
    "no key": (lambda c: c.pop("key"), "key: field required"),
    "another's key": (lambda c: c.update(key=OTHER), "key: that of another entry"),
    "another version": (lambda c: c.update(schema_version=9), "schema_version"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_does_not_verify_is_said_and_not_used(cache, folder, what):
    change, message = DAMAGE[what]
    cache.put(KEY, Kept(number=7))
    _changed(folder / "things" / f"{KEY}.json", change)
    with pytest.warns(UserWarning, match=f"made anew: .*{message}"):
        assert cache.get(KEY, Kept) is None
    cache.put(KEY, Kept(number=7))
    assert cache.get(KEY, Kept) == Kept(number=7)


def test_anothers_entry_under_the_key_is_not_used(cache, folder):
    cache.put(KEY, Kept(number=7))
    cache.put(OTHER, Kept(number=8))
    (folder / "things" / f"{KEY}.json").write_bytes(
        (folder / "things" / f"{OTHER}.json").read_bytes()
    )
    with pytest.warns(UserWarning, match="key: that of another entry"):
        assert cache.get(KEY, Kept) is None


@pytest.mark.filterwarnings("error")
def test_no_byte_can_be_changed(cache, folder):
    """Every single byte in turn: the entry is what was kept, or isn't used."""
    cache.put(KEY, Kept(number=7))
    path = folder / "things" / f"{KEY}.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for byte in (0xFF, whole[place] ^ 1):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            try:
                found = cache.get(KEY, Kept)
            except UserWarning:
                continue
            # The last byte ends the line and may be any blank.
            assert found == Kept(number=7)
            assert place == len(whole) - 1


def test_an_entry_of_something_else_is_not_used(cache):
    cache.put(KEY, Kept(number=7))
    with pytest.warns(UserWarning, match="made anew"):
        assert cache.get(KEY, fhecost.CircuitProfile) is None


def test_a_cache_that_can_not_be_written_or_read_is_a_warning(cache, folder):
    folder.write_text("no folder")
    with pytest.warns(UserWarning, match="not kept in the cache"):
        cache.put(KEY, Kept(number=7))
    assert cache.get(KEY, Kept) is None


def test_what_was_used_longest_ago_goes_first(cache, folder):
    keys = [f"{number:064}" for number in range(8)]
    for age, key in enumerate(keys[:6]):
        cache.put(key, Kept(number=1, text="x" * 1200))
        os.utime(folder / "things" / f"{key}.json", (1000 + age, 1000 + age))
    assert cache.get(keys[0], Kept)  # the oldest, but used just now
    cache.put(keys[6], Kept(number=1, text="x" * 3000))
    left = [key for key in keys if cache.get(key, Kept)]
    assert keys[0] in left
    assert keys[6] in left
    assert keys[1] not in left
    assert cache.use().size_bytes <= cache.most_bytes


def test_circuits_are_made_once_and_anew_when_changed(folder, saved_profile):
    made = []

    def make():
        made.append(1)
        return saved_profile

    for _ in range(2):
        assert through_cache({"said": "x"}, make) == saved_profile
    assert len(made) == 1
    (path,) = (folder / "circuits").iterdir()

    def cheaper(content):
        content["content"]["bsk_bytes"] = 1
        content["content"]["hash"] = ""

    _changed(path, cheaper)
    with pytest.warns(UserWarning, match="made anew"):
        assert through_cache({"said": "x"}, make) == saved_profile
    assert len(made) == 2
    assert through_cache({"said": "x"}, make) == saved_profile
    assert len(made) == 2


def test_info_verify_and_clear(run_fhecost, folder, saved_profile):
    through_cache({"said": "x"}, lambda: saved_profile)
    cache_named("accuracy").put(KEY, Kept(number=7))
    (folder / "mine.txt").write_text("not the cache's")
    (folder / "circuits" / "mine.txt").write_text("nor this")
    environment = {"FHECOST_CACHE": str(folder)}

    def ran(*arguments):
        return run_fhecost("cache", *arguments, environment=environment)

    told = ran("info", "--format", "json")
    assert told.returncode == 0, told.stderr
    info = json.loads(told.stdout)
    jsonschema.validate(info, json.loads(schema_path("cache").read_text()))
    assert [(one["name"], one["entries"]) for one in info["caches"]] == [
        ("circuits", 1), ("accuracy", 1), ("calibration", 0),
    ]  # fmt: skip
    assert [one["most_bytes"] for one in info["caches"]] == [one.most_bytes for one in CACHES]
    assert str(folder) in ran("info").stdout
    assert ran("verify").returncode == 0
    _changed(folder / "accuracy" / f"{KEY}.json", lambda content: content.pop("sha256"))
    verified = ran("verify")
    assert verified.returncode == 1
    assert f"accuracy/{KEY}.json" in verified.stdout
    assert verified.stderr == "fhecost: 1 entry doesn't verify; it is never used\n"
    assert ran("clear").returncode == 0
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["mine.txt", "mine.txt"]
    assert fhecost.cache_info().caches[0].entries == 0
