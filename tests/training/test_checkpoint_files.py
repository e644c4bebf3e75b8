"""A checkpoint is written whole or not at all, and a damaged one is named."""

import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from asapbench.errors import CheckpointError
from asapbench.training import checkpoint, saved


@pytest.fixture
def _numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint holds a number, its position."""
    monkeypatch.setattr(saved, "read", lambda path: SimpleNamespace(position=(checkpoint.read_file(path)["n"],)))


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for n in range(1, 6):
        checkpoint.write({"n": n, "w": torch.full((3,), float(n))}, tmp_path, number=n)
    assert [path.name for path in checkpoint.files(tmp_path)] == ["00000004.checkpoint", "00000005.checkpoint"]
    assert checkpoint.next_number(tmp_path) == 6


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda content: content[:-7], "cut short"),
        (lambda content: content[:10], "not a checkpoint"),
        (lambda content: b"", "not a checkpoint"),
        (lambda content: bytes(len(content)), "not a checkpoint"),
        (lambda content: content[:-40] + bytes([content[-40] ^ 4]) + content[-39:], "damaged"),
    ],
)
@pytest.mark.usefixtures("_numbers")
def test_damage_is_named_and_the_one_before_is_taken(damage, says: str, tmp_path: Path) -> None:
    for n in (1, 2):
        checkpoint.write({"n": n}, tmp_path, number=n)
    newest = tmp_path / "00000002.checkpoint"
    newest.write_bytes(damage(newest.read_bytes()))
    warnings: list[str] = []
    found = saved.newest([tmp_path], warn=warnings.append)
    assert found is not None
    assert found[1].position == (1,)
    assert len(warnings) == 1
    assert says in warnings[0]
    assert str(newest) in warnings[0]


@pytest.mark.usefixtures("_numbers")
def test_the_furthest_of_several_directories_is_taken(tmp_path: Path) -> None:
    checkpoint.write({"n": 7}, tmp_path / "old", number=1)
    checkpoint.write({"n": 3}, tmp_path / "new", number=9)
    folders = [tmp_path / "new", tmp_path / "old", tmp_path / "none"]
    found = saved.newest(folders, warn=print)
    assert found is not None
    assert found[1].position == (7,)


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.checkpoint"
    checkpoint.write_file({"n": 1}, path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.write_file({"n": 2}, path)
    monkeypatch.undo()
    assert checkpoint.read_file(path) == {"n": 1}
    assert os.listdir(tmp_path) == ["a.checkpoint"]


def test_file_then_directory_are_synced_before_write_returns(tmp_path: Path, monkeypatch) -> None:
    events: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: (events.append("dir" if os.path.isdir(f"/proc/self/fd/{fd}") else "file"), sync(fd))[1]
    )
    monkeypatch.setattr(os, "replace", lambda old, new: (events.append("rename"), replace(old, new))[1])
    checkpoint.write_file({"n": 1}, tmp_path / "a.checkpoint")
    assert events[:3] == ["file", "rename", "dir"]
    assert set(events[3:]) <= {"dir"}  # those above, whose entries may be new too


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/asapbench-evil",)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    import hashlib
    import io

    buffer = io.BytesIO()
    torch.save({"n": Evil()}, buffer, pickle_module=pickle)
    payload = buffer.getvalue()
    path = tmp_path / "evil.checkpoint"
    head = f"asapbench-checkpoint-1 {hashlib.sha256(payload).hexdigest()} {len(payload)}\n"
    path.write_bytes(head.encode() + payload)
    with pytest.raises(CheckpointError, match="cannot be loaded safely"):
        checkpoint.read_file(path)
    assert not os.path.exists("/tmp/asapbench-evil")
