"""The engine: many tasks in processes that may be killed, and how many there is memory for."""

import os
import signal
import time
from pathlib import Path

import pytest

from fhecost.engine.here import Here
from fhecost.engine.local_pool import LocalPool
from fhecost.engine.memory import pool_size
from fhecost.engine.outcome import Finished, Lost, Raised
from fhecost.engine.places import runner
from fhecost.errors import FieldError, UsageError
from fhecost.processes import temporary_folder


def squared(number):
    return number**2


def of(pool, work, tasks):
    return dict(pool.outcomes(work, tasks))


@pytest.mark.parametrize("pool", [Here(), LocalPool(1), LocalPool(3)])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_each_task_has_its_outcome(pool, count):
    assert of(pool, squared, list(range(count))) == {n: Finished(n**2) for n in range(count)}


def no_even(number):
    if number % 2 == 0:
        raise FieldError("number", "must be odd", number)
    return number


class OddError(Exception):
    """One that does not come out of a pickle."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def odd(_):
    raise OddError("one", "two")


def no_memory(_):
    raise MemoryError


@pytest.mark.parametrize("pool", [Here(), LocalPool(2)])
def test_an_error_is_an_outcome(pool):
    found = of(pool, no_even, [1, 2, 3])
    assert (found[0], found[2]) == (Finished(1), Finished(3))
    assert isinstance(found[1], Raised)
    assert str(found[1].error) == "number 2: must be odd"


def test_an_error_that_can_not_travel_is_told_in_words():
    (outcome,) = of(LocalPool(1), odd, [0]).values()
    # Where Dask has been loaded in this process, even such an error travels.
    told = f"{type(outcome.error).__name__}: {outcome.error}"
    assert told.endswith("OddError: one two")


def test_want_of_memory_is_an_error_as_any_other():
    (outcome,) = of(LocalPool(1), no_memory, [0]).values()
    assert isinstance(outcome.error, MemoryError)


def killed(task):
    """A worker that ends itself at task 2, as often as it is tried; once only at task 4."""
    folder, number = task
    (folder / f"{number} {time.monotonic_ns()}").touch()
    tries = len(list(folder.glob(f"{number} *")))
    if number == 2 or (number == 4 and tries == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("size", [1, 2])
def test_a_killed_worker_stops_no_other_and_its_task_is_tried_once_more(tmp_path, size):
    found = of(LocalPool(size), killed, [(tmp_path, number) for number in range(8)])
    assert found.pop(2) == Lost("its process was killed (SIGKILL), perhaps for its memory")
    assert found == {n: Finished(n) for n in range(8) if n != 2}
    tries = [path.name.split()[0] for path in sorted(tmp_path.iterdir())]
    assert (tries.count("2"), tries.count("4"), tries.count("3")) == (2, 2, 1)


def ends(_):
    os._exit(3)


def test_a_worker_that_ends_is_told_with_its_status():
    assert of(LocalPool(1), ends, [0]) == {0: Lost("its process ended with status 3")}


def at_the_same_time(task):
    """How many tasks are at work while this one is."""
    folder, number, first = task
    (folder / f"at {number}").touch()
    if number == first and not (folder / "tried").exists():
        (folder / "tried").touch()
        (folder / f"at {number}").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    count = len(list(folder.glob("at *")))
    (folder / f"at {number}").unlink()
    return count


def test_what_is_tried_once_more_is_alone(tmp_path):
    found = of(LocalPool(2), at_the_same_time, [(tmp_path, number, 0) for number in range(4)])
    assert found[0] == Finished(1)


def pid(_):
    time.sleep(0.05)
    return os.getpid()


def test_workers_end_with_the_tasks():
    pids = {outcome.result for outcome in of(LocalPool(2), pid, list(range(6))).values()}
    assert 1 <= len(pids) <= 2
    assert not any(Path(f"/proc/{one}").exists() for one in pids)


def test_who_stops_to_listen_ends_the_workers():
    outcomes = LocalPool(2).outcomes(first_then_sleep, [0, 1, 2])
    _, outcome = next(outcomes)
    begun = time.monotonic()
    outcomes.close()
    assert time.monotonic() - begun < 5
    assert not Path(f"/proc/{outcome.result}").exists()


def first_then_sleep(number):
    if number:
        time.sleep(600)
    return os.getpid()


def makes_folders(_):
    return temporary_folder("of-a-task-")


def test_folders_of_a_task_go_with_it():
    for outcome in of(LocalPool(1), makes_folders, [0, 1]).values():
        assert not outcome.result.exists()


@pytest.mark.parametrize(
    ("tasks", "threads", "task_bytes", "available", "size"),
    [
        (100, 8, 1e9, 64e9, 8),
        (3, 8, 1e9, 64e9, 3),
        # Nine tenths of the memory, so that others have some.
        (100, 8, 2.5e9, 10e9, 3),
        (100, 8, 2.5e9, 1e9, 1),
        (0, 8, 1e9, 64e9, 1),
    ],
)
def test_a_pool_is_as_large_as_threads_and_memory_hold(tasks, threads, task_bytes, available, size):
    assert pool_size(tasks, threads, task_bytes, available) == size


def test_one_place_is_named():
    with (
        pytest.raises(UsageError, match="name one of them"),
        runner(1, dask=2, scheduler="tcp://x"),
    ):
        pass
