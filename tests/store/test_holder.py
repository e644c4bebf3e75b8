import subprocess
import sys
import time
from dataclasses import replace

import pytest

from asapbench.store import Holder, holder

CHILD = """
from asapbench.store import Holder
h = Holder.of_this_process()
print(h.host, h.boot_id or "-", h.pid, repr(h.pid_started), flush=True)
input()
"""


def test_this_process_is_alive():
    assert Holder.of_this_process().is_dead() is False


def test_a_process_of_another_host_is_neither_dead_nor_alive():
    assert replace(Holder.of_this_process(), host="elsewhere").is_dead() is None


def test_a_process_of_an_earlier_boot_is_dead():
    assert replace(Holder.of_this_process(), boot_id="earlier").is_dead() is True


def test_a_later_process_with_the_same_number_is_another():
    me = Holder.of_this_process()
    assert replace(me, pid_started=me.pid_started - 60).is_dead() is True


@pytest.mark.parametrize("way", [holder._started, holder._started_elsewhere])
def test_a_killed_process_is_dead_even_before_it_is_reaped(monkeypatch, way):
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        _, _, pid, _ = child.stdout.readline().split()
        started = way(int(pid))
        monkeypatch.setattr(holder, "_started", way)
        other = replace(Holder.of_this_process(), pid=int(pid), pid_started=started)
        assert other.is_dead() is False
        child.kill()
        deadline = time.monotonic() + 10
        while not other.is_dead() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert child.returncode is None  # a zombie: nobody has waited for it yet
        assert other.is_dead() is True
    assert other.is_dead() is True


def test_a_process_is_told_alike_by_itself_and_by_another():
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        host, boot, pid, started = child.stdout.readline().split()
        assert Holder(host, "" if boot == "-" else boot, int(pid), float(started)).is_dead() is False
        child.communicate("\n")
    assert child.returncode == 0
