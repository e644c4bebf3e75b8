"""A checkpoint may come from any person: it is used, skipped or refused by name, and it never runs code."""

from __future__ import annotations

import copy
import hashlib
import io
import math
import os
import pickle
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from fuzzing import fuzz
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_cell import Recorder, cell, noise_images, trainer

from asapbench.errors import CheckpointError
from asapbench.training import saved, weights

CELL = cell(epochs=2)
IMAGES = noise_images()
MAGIC = b"asapbench-checkpoint-1"


def with_head(payload: bytes, *, length: str | None = None) -> bytes:
    """A file whose first line is right for `payload`."""
    head = f"{hashlib.sha256(payload).hexdigest()} {length or len(payload)}"
    return MAGIC + b" " + head.encode() + b"\n" + payload


def packed(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


@cache
def whole() -> bytes:
    """The checkpoint of a cell stopped inside its second epoch."""
    with TemporaryDirectory() as name:
        assert trainer(CELL, IMAGES, Path(name), Recorder(stop_after=5)).fit() == "interrupted"
        return max(Path(name).glob("*.checkpoint")).read_bytes()


@cache
def content() -> dict[str, Any]:
    """What it holds."""
    return torch.load(io.BytesIO(whole().partition(b"\n")[2]), weights_only=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place") / "00000001.checkpoint"


def refusal(use: Callable[[], object], path: Path) -> str:
    """What is said of the file at `path`; empty if it is taken."""
    said = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about archives of other kinds
            use()
    except CheckpointError as error:
        said = str(error)
    assert not said or (said.startswith(f"{path}: ") and "\n" not in said), said
    return said


def refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return refusal(lambda: saved.read(path), path)


@fuzz(60)
@given(st.binary(max_size=400))
@example(b"")
@example(MAGIC)
@example(MAGIC + b" x 1\nx")
def test_any_bytes_are_refused(place: Path, noise: bytes) -> None:
    assert refused(place, noise)


@fuzz(60)
@given(st.data())
def test_bytes_changed_anywhere_are_noticed(place: Path, data: st.DataObject) -> None:
    damaged = bytearray(whole())
    start = data.draw(st.integers(0, len(whole()) - 1))
    match data.draw(st.sampled_from(("flip", "zero", "cut", "longer", "shift"))):
        case "flip":
            damaged[start] ^= 1 << data.draw(st.integers(0, 7))
        case "zero":
            damaged[start : start + 512] = bytes(len(damaged[start : start + 512]))
        case "cut":
            del damaged[start:]
        case "longer":
            damaged += b"\0"
        case "shift":
            del damaged[start : start + 1]
    assert refused(place, bytes(damaged)) or damaged == whole()


@fuzz(60)
@given(st.data())
def test_an_archive_changed_under_a_right_checksum_is_taken_or_refused(place: Path, data: st.DataObject) -> None:
    payload = bytearray(whole().partition(b"\n")[2])
    # Headers, directory and pickle lie at both ends; between are weights.
    ends = st.one_of(st.integers(0, 6000), st.integers(len(payload) - 6000, len(payload) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(ends)] = data.draw(st.integers(0, 255))
    refused(place, with_head(bytes(payload)))


BEGINNINGS = (b"", b"\x80\x02", b"\x80\x02l\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"PK\x03\x04")
"""Of nothing, a pickle, torch's old archive and its new one."""


@fuzz(40)
@given(st.binary(max_size=200), st.sampled_from(BEGINNINGS))
def test_any_pickle_or_archive_under_a_right_checksum_is_refused(place: Path, noise: bytes, begin: bytes) -> None:
    assert refused(place, with_head(begin + noise))


class Payload:
    """Unpickled by pickle itself it would make a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("kind", ["archive", "legacy", "pickle", "script"])
def test_no_checkpoint_runs_code(kind: str, place: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evil = content() | {"rule": Payload(mark)}
    match kind:
        case "archive":
            payload = packed(evil)
        case "legacy":
            payload = packed(evil, _use_new_zipfile_serialization=False)
        case "pickle":
            payload = pickle.dumps(evil)
        case "script":
            buffer = io.BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
            payload = buffer.getvalue()
    assert refused(place, with_head(payload))
    assert refusal(lambda: weights.load(place), place)
    assert not mark.exists()
    if kind != "script":  # the payload is a real one
        (pickle.loads if kind == "pickle" else lambda p: torch.load(io.BytesIO(p), weights_only=False))(payload)
        assert mark.exists()


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from((-1, 2**31, 2**63, 10**30)),
    st.floats(),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just({"bp": 1}),
    st.builds(lambda *shape: torch.full(shape, math.nan), st.integers(0, 3), st.integers(0, 3)),
    st.just(torch.zeros((), dtype=torch.complex64)),
    st.just(torch.eye(2).to_sparse()),
    st.just(torch.zeros(1).expand(10**12)),
)


def places(content: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The path of every value that is held."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def changed(content: dict[str, Any], path: tuple[Any, ...], value: object) -> object:
    """A copy of `content` with another value at `path`; without it for `...`."""
    if not path:
        return value
    whole = copy.copy(content)
    held = whole
    for key in path[:-1]:
        held[key] = copy.copy(held[key])
        held = held[key]
    if value is ...:
        del held[path[-1]]
    else:
        held[path[-1]] = value
    return whole


def resumed(folder: Path, content: object) -> str:
    """What a cell does with `content` as its only checkpoint: `refused`, `from scratch` or `resumed`."""
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    path = folder / "00000001.checkpoint"
    path.write_bytes(with_head(packed(content)))
    recorder = Recorder()
    if refusal(lambda: trainer(CELL, IMAGES, folder, recorder), path):
        return "refused"
    assert all(warning.startswith(f"{path}: ") for warning in recorder.warnings)
    return "from scratch" if recorder.warnings else "resumed"


def test_the_unchanged_checkpoint_resumes(place: Path) -> None:
    assert resumed(place.parent / "cell", content()) == "resumed"


@fuzz(15)
@given(st.integers(0, 10**6), st.one_of(ODD, st.just(...)))
def test_an_odd_value_anywhere_is_skipped_or_refused(place: Path, number: int, value: object) -> None:
    everywhere = places(content())[1:]
    resumed(place.parent / "cell", changed(content(), everywhere[number % len(everywhere)], value))


@pytest.mark.parametrize(
    ("path", "value", "becomes"),
    [
        (("epoch",), math.nan, "from scratch"),
        (("epoch",), 10**30, "from scratch"),
        (("epoch",), -1, "from scratch"),
        (("epoch",), 2, "from scratch"),  # its history has one
        (("batch",), 1000, "refused"),
        (("batch",), ..., "from scratch"),
        (("seconds",), math.inf, "from scratch"),
        (("history",), [], "from scratch"),
        (("history", 0, "test_accuracy"), "high", "from scratch"),
        (("environment", "threads"), 10**9, "from scratch"),
        (("environment",), ..., "from scratch"),
        (("cell",), "0" * 64, "refused"),
        (("feedback_digest",), "0" * 64, "refused"),
        (("tally", "hits"), torch.zeros(3), "refused"),
        (("tally", "hits"), 3, "refused"),
        (("tally", "seen"), ..., "refused"),
        (("model",), {}, "refused"),
        (("model", "fc.0.weight"), torch.zeros(1).expand(10**12), "refused"),
        (("rule", "recursion.s"), torch.zeros(2), "refused"),
        (("optimizer", "state", 0, "momentum_buffer"), torch.zeros(1), "refused"),
        (("optimizer", "state"), [], "refused"),
        (("optimizer",), ..., "from scratch"),
        ((), [], "from scratch"),
    ],
)
def test_what_does_not_fit_is_reported_by_name(path: tuple[Any, ...], value: object, becomes: str, place: Path) -> None:
    assert path in [*places(content()), ("model", "fc.0.weight")]
    assert resumed(place.parent / "cell", changed(content(), path, value)) == becomes


def test_the_settings_of_the_optimizer_are_the_cells_and_not_the_files(place: Path) -> None:
    folder = place.parent / "cell"
    assert resumed(folder, changed(content(), ("optimizer", "param_groups", 0, "momentum"), 1e9)) == "resumed"
    assert trainer(CELL, IMAGES, folder, Recorder()).state.optimizer.param_groups[0]["momentum"] == 0.9


def test_a_pipe_is_not_waited_for(place: Path) -> None:
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    with pytest.raises(CheckpointError, match="not a file"):
        saved.read(place)
    place.unlink()


@fuzz(15)
@given(st.integers(0, 10**6), ODD)
def test_odd_weights_are_taken_or_refused(place: Path, number: int, value: object) -> None:
    kept = {"cell": CELL.to_json(), "model": content()["model"]}
    everywhere = places(kept)
    place.write_bytes(with_head(packed(changed(kept, everywhere[number % len(everywhere)], value))))
    refusal(lambda: weights.load(place), place)
