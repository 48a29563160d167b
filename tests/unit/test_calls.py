"""Calls: off the loop's thread, one a key, answered on it."""

import subprocess
import sys
import threading
from typing import Any

import pytest

from labwright.control.calls import Calls


class Log:
    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.errors: list[Exception] = []


@pytest.fixture
def wake() -> threading.Event:
    return threading.Event()


def run(calls: Calls, wake: threading.Event) -> None:
    calls.launch()
    while len(calls):
        assert wake.wait(10)
        wake.clear()
        calls.settle()


def test_an_answer_is_taken_up_on_the_asking_thread_and_wakes_it(wake: threading.Event) -> None:
    calls, log, here = Calls(wake), Log(), threading.get_ident()
    calls.start(
        "k", threading.get_ident, lambda there: log.answers.append((there, threading.get_ident())), log.errors.append
    )
    run(calls, wake)
    ((there, taken_up),) = log.answers
    assert there != here == taken_up
    calls.close()


def test_an_error_goes_to_whom_it_concerns(wake: threading.Event) -> None:
    calls, log = Calls(wake), Log()
    calls.start("k", lambda: 1 / 0, log.answers.append, log.errors.append)
    run(calls, wake)
    assert [type(error) for error in log.errors] == [ZeroDivisionError]
    assert log.answers == []
    calls.close()


def test_nothing_goes_off_before_launch_and_what_is_dropped_never_does(wake: threading.Event) -> None:
    calls, log = Calls(wake), Log()
    calls.start("k", lambda: log.answers.append("ran"), lambda _: None, log.errors.append)
    assert calls.busy("k")
    calls.drop()
    assert not calls.busy("k")
    run(calls, wake)
    assert log.answers == []
    calls.close()


def test_a_key_is_busy_until_its_answer_is_taken_up(wake: threading.Event) -> None:
    calls, log, gate = Calls(wake), Log(), threading.Event()
    calls.start("k", lambda: gate.wait(10), log.answers.append, log.errors.append)
    calls.start("other", lambda: 1, log.answers.append, log.errors.append)
    calls.launch()
    with pytest.raises(RuntimeError, match="under way already"):
        calls.start("k", lambda: 2, log.answers.append, log.errors.append)
    gate.set()
    while len(calls):
        assert wake.wait(10)
        wake.clear()
        calls.settle()
    assert sorted(log.answers) == [True, 1]
    assert not calls.busy("k")
    calls.close()


def test_an_answer_may_start_the_next_call_of_its_key(wake: threading.Event) -> None:
    calls, log = Calls(wake), Log()
    calls.start(
        "k", lambda: 1, lambda _: calls.start("k", lambda: 2, log.answers.append, log.errors.append), log.errors.append
    )
    calls.launch()
    assert wake.wait(10)
    wake.clear()
    calls.settle()
    run(calls, wake)
    assert log.answers == [2]
    calls.close()


def test_a_call_that_may_be_left_is_not_waited_for_and_its_error_is_told(wake: threading.Event) -> None:
    calls, log, gate = Calls(wake), Log(), threading.Event()
    calls.start("long", lambda: gate.wait(60), log.answers.append, log.errors.append, left=True)
    calls.start("broken", lambda: 1 / 0, log.answers.append, log.errors.append, left=True)
    calls.launch()
    while calls.busy("broken"):
        assert wake.wait(10)
        wake.clear()
        calls.settle()
    assert [type(error) for error in log.errors] == [ZeroDivisionError]
    calls.close()
    assert calls.busy("long")
    gate.set()


def test_a_process_ends_though_a_call_that_may_be_left_goes_on() -> None:
    code = (
        "import threading; from labwright.control.calls import Calls\n"
        "calls = Calls(threading.Event())\n"
        "calls.start('k', threading.Event().wait, print, print, left=True); calls.launch(); calls.close()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
