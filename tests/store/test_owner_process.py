import json
import shutil
import subprocess
import sys
import time
from dataclasses import astuple, replace

import pytest

from asapbench.store import OwnerProcess, owner_process

CHILD = """
import json, sys
from dataclasses import astuple
from asapbench.store import OwnerProcess
print(json.dumps(astuple(OwnerProcess.of_this_process())), flush=True)
sys.stdin.readline()
"""


LOOKS_AT = """
import json, os, sys
from dataclasses import astuple, replace
from asapbench.store import OwnerProcess
outer, me = OwnerProcess(*json.loads(sys.argv[1])), OwnerProcess.of_this_process()
dead = replace(me, pid=2**22 + 1)
print(json.dumps([astuple(me), outer.is_dead(), outer.shares_this_kernel(), bool(me.is_dead()), dead.is_dead()]))
"""


def test_this_process_is_alive():
    assert OwnerProcess.of_this_process().is_dead() is False


def test_a_process_of_another_host_is_neither_dead_nor_alive():
    assert replace(OwnerProcess.of_this_process(), host="another-host").is_dead() is None


@pytest.mark.parametrize("pid_started", [1.0, None], ids=["gone here", "with the number of a process here"])
def test_a_process_of_another_boot_may_live_on_another_machine_of_the_same_name(pid_started):
    me = OwnerProcess.of_this_process()
    other = replace(me, boot_id="another boot", pid_started=pid_started or me.pid_started)
    assert other.is_dead() is None
    assert not other.shares_this_kernel()


def test_a_process_that_an_earlier_version_recorded_without_its_pid_namespace_is_not_dead():
    me = OwnerProcess.of_this_process()
    earlier = replace(me, boot_id=me.boot_id.partition(" ")[0], pid_started=me.pid_started - 60)
    assert earlier.is_dead() is (None if me.boot_id else True)
    assert earlier.shares_this_kernel()


def test_a_later_process_with_the_same_number_is_another():
    me = OwnerProcess.of_this_process()
    assert replace(me, pid_started=me.pid_started - 60).is_dead() is True


@pytest.mark.parametrize("way", [owner_process._started, owner_process._started_by_psutil])
def test_a_killed_process_is_dead_even_before_it_is_reaped(monkeypatch, way):
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        monkeypatch.setattr(owner_process, "_started", way)
        other = replace(OwnerProcess.of_this_process(), pid=child.pid, pid_started=way(child.pid))
        assert other.is_dead() is False
        child.kill()
        deadline = time.monotonic() + 10
        while not other.is_dead() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert child.returncode is None  # a zombie: nobody has waited for it yet
        assert other.is_dead() is True
    assert other.is_dead() is True


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_process_whose_start_is_hidden_may_live_and_a_number_that_nobody_has_is_dead(monkeypatch):
    me = OwnerProcess.of_this_process()
    monkeypatch.setattr(owner_process, "_read_stat", lambda process: None)
    assert me.is_dead() is None
    assert replace(me, pid=2**22 + 1).is_dead() is True
    assert replace(me, pid=2**62).is_dead() is True


def test_a_process_is_reported_alike_by_itself_and_by_another():
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child_process = OwnerProcess(*json.loads(child.stdout.readline()))
        assert child_process.is_dead() is False
        child.communicate("\n")
    assert child.returncode == 0


@pytest.mark.parametrize("mount", [["--mount-proc"], []], ids=["with its own /proc", "with the outer one's"])
def test_a_process_of_another_pid_namespace_is_neither_dead_nor_alive(mount):
    inside = ["unshare", "--pid", "--fork", *mount, sys.executable, "-c"]
    if not shutil.which("unshare") or subprocess.run([*inside, ""], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a PID namespace")
    me = json.dumps(astuple(OwnerProcess.of_this_process()))
    done = subprocess.run([*inside, LOOKS_AT, me], capture_output=True, text=True, check=True)
    other, *said = json.loads(done.stdout)
    assert said == [None, True, False, True]
    other = OwnerProcess(*other)
    assert (other.is_dead(), other.shares_this_kernel()) == (None, True)


def test_another_users_process_is_not_dead_where_hidepid_hides_it():
    as_nobody = f"setpriv --reuid=65534 --regid=65534 --clear-groups {sys.executable} -c"
    script = f"mount -t proc -o hidepid=2 proc /proc && exec {as_nobody} "
    inside = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*inside, f"{script} 'import asapbench.store'"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount /proc, or not become another one")
    me = json.dumps(astuple(OwnerProcess.of_this_process()))
    code = (
        "import json, sys; from asapbench.store import OwnerProcess; "
        "print(OwnerProcess(*json.loads(sys.argv[1])).is_dead())"
    )
    done = subprocess.run([*inside, f"{script} '{code}' '{me}'"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
