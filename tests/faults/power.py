"""Power loss: what a disk may hold when the power goes at any moment of a recorded run.

`record` runs a program under strace and keeps every system call that changes a file or syncs one. `Disk` replays them
up to a moment and then forgets what the operating system was free to forget:

- The data of a file is safe up to its last fsync. Each write after it is lost or kept for itself, or torn: only some of
  its 512-byte sectors arrive.
- A name (created, renamed, removed) is safe once its directory was synced. Later ones arrive in the order in which they
  were made, up to some point: of the whole disk, as with a journal, or of each directory on its own, which is all that
  POSIX promises.

SQLite's -shm is written through memory and not seen here; SQLite writes it again.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from small_runs import environment

SECTOR = 512
_TRACED = (
    "open,openat,write,pwrite64,writev,pwritev,truncate,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat"
)
_KINDS = {
    "fsync": "sync",
    "fdatasync": "sync",
    "ftruncate": "truncate",
    "openat": "open",
    "renameat": "rename",
    "renameat2": "rename",
    "unlinkat": "unlink",
    "rmdir": "unlink",
    "mkdirat": "mkdir",
}
_LINE = re.compile(r"^(?P<pid>\d+) +(?P<name>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<pid>\d+) +<\.\.\. \w+ resumed>(?P<rest>.*)$")
_UNFINISHED = " <unfinished ...>"
_RETURNED = re.compile(r"^(?P<arguments>.*)\) += (?P<value>-?\d+)", re.DOTALL)
_ARGUMENT = re.compile(r'AT_FDCWD<(?P<cwd>[^>]*)>|\d+<(?P<fd>[^>]*)>|"(?P<string>[^"]*)"|(?P<other>[\w|]+)')


@dataclass(frozen=True)
class Call:
    """A system call that succeeded. `began`: how many calls of the recording had returned when it was made."""

    name: str
    began: int
    path: str
    to: str = ""
    flags: str = ""
    data: bytes = b""
    number: int = 0


def record(folder: Path, *command: str, trace: Path, also: str) -> list[Call]:
    """Runs Python with `command` in `folder` under strace: the calls on `folder` and what is below it, on pipes, and on
    the file `also`, whose name the program finds in $ACKNOWLEDGED.
    """
    strace = ["strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "100000000", "-e", f"trace={_TRACED}", "-o", trace]
    done = subprocess.run(
        [*strace, sys.executable, *command],
        cwd=folder,
        env=environment() | {"ACKNOWLEDGED": also},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = (f"{folder}/", also, "pipe:")
    with trace.open(encoding="ascii") as lines:
        return list(_calls(lines, folder, wanted))


def can_record() -> bool:
    """Whether strace is here and may trace."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "--seccomp-bpf", "true"], capture_output=True, check=False).returncode == 0


def _calls(lines: Iterator[str], folder: Path, wanted: tuple[str, ...]) -> Iterator[Call]:
    count = 0
    unfinished: dict[str, tuple[str, str, int]] = {}
    for line in lines:
        if resumed := _RESUMED.match(line):
            name, before, began = unfinished.pop(resumed["pid"])
            rest = before + resumed["rest"]
        elif started := _LINE.match(line):
            name, rest, began = started["name"], started["rest"], count
            if rest.endswith(_UNFINISHED):
                unfinished[started["pid"]] = name, rest.removesuffix(_UNFINISHED), began
                continue
        else:
            continue  # an exit or a signal
        returned = _RETURNED.match(rest)
        if returned is None or int(returned["value"]) < 0:
            continue
        call = _call(name, returned["arguments"], int(returned["value"]), began=began, folder=folder)
        if call.path == str(folder) or call.path.startswith(wanted):
            count += 1
            yield call


def _call(name: str, text: str, value: int, *, began: int, folder: Path) -> Call:
    found = list(_ARGUMENT.finditer(text))
    strings = [_bytes(match["string"]) for match in found if match["string"] is not None]
    files = [_bytes(match["fd"]).decode() for match in found if match["fd"] is not None]
    others = [match["other"] for match in found if match["other"] is not None]
    kind = _KINDS.get(name, name)  # what is not there, Disk does not know, and says so if it is asked to replay it
    if kind in ("write", "pwrite64"):
        assert value == len(strings[0]), "a write that was cut short"
    if kind in ("sync", "truncate", "write", "pwrite64"):
        return Call(kind, began, files[0], data=b"".join(strings), number=int(others[-1]) if others else 0)
    # The rest name paths, which are relative to the folder that all processes of the run work in.
    paths = [str(folder / path.decode()) for path in strings] or files
    return Call(kind, began, paths[0], to=paths[-1], flags="|".join(others))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass
class File:
    """`safe` survives; each of `pending`, (call, offset, data), may. Data None: cut or filled up to the offset."""

    safe: bytes = b""
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    appended: int = 0

    def size(self) -> int:
        return len(_changed(self.safe, self.pending))

    def sync(self, *, began: int) -> None:
        self.safe = _changed(self.safe, [change for change in self.pending if change[0] < began])
        self.pending = [change for change in self.pending if change[0] >= began]

    def survivor(self, chance: random.Random, keep: float) -> bytes:
        """The content after a power loss that keeps each unsynced write, or each sector of it, with this chance."""
        kept: list[tuple[int, int, bytes | None]] = []
        for call, offset, data in self.pending:
            if data is not None and chance.random() < 0.5:
                cuts = range(0, len(data), SECTOR)
                kept += [(call, offset + at, data[at : at + SECTOR]) for at in cuts if chance.random() < keep]
            elif chance.random() < keep:
                kept.append((call, offset, data))
        return _changed(self.safe, kept)


def _changed(content: bytes, changes: Sequence[tuple[int, int, bytes | None]]) -> bytes:
    found = bytearray(content)
    for _, offset, data in changes:
        end = offset if data is None else offset + len(data)
        found.extend(bytes(max(0, end - len(found))))
        if data is None:
            del found[offset:]
        else:
            found[offset:end] = data
    return bytes(found)


@dataclass
class Entry:
    """One change to the names of a directory: each is bound to a file, to a directory (True), or to nothing."""

    call: int
    directory: str
    names: dict[str, File | bool | None]
    safe: bool = False


class Disk:
    """What is below `folder`, as programs see it and as the disk holds it. The files there at `first` are safe."""

    def __init__(self, folder: Path, first: dict[str, bytes]) -> None:
        self.folder = str(folder)
        self.first = {f"{folder}/{name}": File(content) for name, content in first.items()}
        self.seen: dict[str, File | bool | None] = {self.folder: True, **self.first}
        self.entries: list[Entry] = []
        self.replayed = 0

    def replay(self, calls: Sequence[Call]) -> None:
        for call in calls:
            if call.path == self.folder or call.path.startswith(f"{self.folder}/"):
                getattr(self, f"_{call.name}")(call)
            self.replayed += 1

    def lose_power(self, into: Path, chance: random.Random) -> None:
        """Writes below `into` what the disk holds now."""
        keep = chance.choice((0.0, 0.5, 1.0))
        names: dict[str, File | bool | None] = dict(self.first)
        for entry in sorted(self._surviving_entries(chance), key=lambda entry: entry.call):
            names.update(entry.names)
        for path, node in sorted(names.items()):
            place = into / Path(path).relative_to(self.folder)
            if not place.parent.is_dir():
                continue  # the directory above it is lost
            if node is True:
                place.mkdir()
            elif isinstance(node, File):
                place.write_bytes(node.survivor(chance, keep))

    def _surviving_entries(self, chance: random.Random) -> Iterator[Entry]:
        groups: dict[str, list[Entry]] = {}
        journal = chance.random() < 0.5
        for entry in self.entries:
            groups.setdefault("" if journal else entry.directory, []).append(entry)
        for group in groups.values():
            safe = max((n for n, entry in enumerate(group, start=1) if entry.safe), default=0)
            yield from group[: chance.choice((safe, chance.randint(safe, len(group)), len(group)))]

    # System calls

    def _open(self, call: Call) -> None:
        node = self.seen.get(call.path)
        if node is None and "O_CREAT" in call.flags:
            node = self._bind(call.path, File())
        if isinstance(node, File):
            node.appended = node.size() if "O_APPEND" in call.flags else 0
            if "O_TRUNC" in call.flags and node.size():
                node.pending.append((self.replayed, 0, None))

    def _write(self, call: Call) -> None:
        node = self._file(call)
        self._put(node, node.appended, call.data)
        node.appended += len(call.data)

    def _pwrite64(self, call: Call) -> None:
        self._put(self._file(call), call.number, call.data)

    def _put(self, node: File, offset: int, data: bytes) -> None:
        node.pending.append((self.replayed, offset, data))

    def _truncate(self, call: Call) -> None:
        self._file(call).pending.append((self.replayed, call.number, None))

    def _sync(self, call: Call) -> None:
        node = self.seen[call.path]
        if isinstance(node, File):
            node.sync(began=call.began)
            return
        for entry in self.entries:
            entry.safe = entry.safe or (entry.directory == call.path and entry.call < call.began)

    def _rename(self, call: Call) -> None:
        directory = str(Path(call.path).parent)
        assert directory == str(Path(call.to).parent), f"{call}: from one directory into another is not modelled"
        node = self.seen[call.path]
        self.seen[call.path], self.seen[call.to] = None, node
        self.entries.append(Entry(self.replayed, directory, {call.path: None, call.to: node}))

    def _unlink(self, call: Call) -> None:
        self._bind(call.path, None)

    def _mkdir(self, call: Call) -> None:
        self._bind(call.path, True)

    def _bind(self, path: str, node: File | bool | None) -> File | bool | None:
        self.seen[path] = node
        self.entries.append(Entry(self.replayed, str(Path(path).parent), {path: node}))
        return node

    def _file(self, call: Call) -> File:
        node = self.seen.get(call.path)
        if isinstance(node, File):
            return node
        assert call.path.endswith(" (deleted)"), f"{call.path} is written to and was never opened"
        return File()  # whose last name is gone: nobody will miss it


def told(calls: Sequence[Call], path: str) -> Iterator[tuple[int, dict]]:
    """What was reported as durable: (how many calls had returned by then, what), from `path` and from workers."""
    for number, call in enumerate(calls, start=1):
        if call.path == path or (call.name == "write" and call.data.startswith(b'{"kind":"epoch"')):
            for line in call.data.splitlines():
                yield number, json.loads(line)
