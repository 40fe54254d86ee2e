"""Disks as they may look after a cut of the power: at any point, whatever was not synced yet."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.disk import Op, Tape

SECTOR_BYTES = 512
Choice = tuple[int, ...]
"""What became of the operations of one file that were not synced: of each the sectors kept, as
bits, or -1 for all."""
Choices = tuple[Any, ...]


class Image(NamedTuple):
    """Files as found after a cut behind the first `ops` operations, of which `promised` marks."""

    files: dict[str, bytes]
    ops: int
    promised: int


class _File:
    def __init__(self, content: bytes | None) -> None:
        self.safe = content  # None: there is no such file
        self.loose: list[Op] = []  # done, but not synced
        self.synced = 0  # so many times

    def do(self, op: Op, *, is_synced: bool) -> None:
        if op.kind == "sync" or (op.kind == "delete" and op.at):
            if is_synced:
                everything = tuple(-1 for _ in self.loose)
                self.safe = None if op.kind == "delete" else self.content(everything)
                self.loose, self.synced = [], self.synced + 1
        else:
            self.loose.append(op)

    def choose(self, rng: random.Random) -> Choice:
        fate = rng.choice(("keep", "drop", "mix", "mix", "tear"))
        return tuple(_choose(rng, op, fate) for op in self.loose)

    def content(self, choice: Choice) -> bytes | None:
        found = None if self.safe is None else bytearray(self.safe)
        for op, kept in zip(self.loose, choice, strict=True):
            if op.kind == "delete":
                if not kept:
                    break  # the old file came back; what was done to a new one is lost with it
                found = None
            elif op.kind == "truncate" and kept:
                found = (found or bytearray())[: op.at]
            elif op.kind == "write" and kept:
                found = bytearray() if found is None else found
                _write(found, op, kept)
        return None if found is None else bytes(found)


def _choose(rng: random.Random, op: Op, fate: str) -> int:
    if fate == "mix":
        fate = rng.choice(("keep", "drop", "tear"))
    if fate == "tear" and op.kind == "write":
        sectors = (op.at + len(op.data) - 1) // SECTOR_BYTES - op.at // SECTOR_BYTES + 1
        return rng.randrange(2**sectors)
    return 0 if fate == "drop" else -1


def _write(content: bytearray, op: Op, kept: int) -> None:
    end = op.at + len(op.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))  # what is missing between is zeros
    if kept == -1:
        content[op.at : end] = op.data
        return
    start, sector = op.at, 0
    while start < end:
        stop = min((start // SECTOR_BYTES + 1) * SECTOR_BYTES, end)
        if kept >> sector & 1:
            content[start:stop] = op.data[start - op.at : stop - op.at]
        start, sector = stop, sector + 1


def images(
    tape: Tape, rng: random.Random, count: int, *, syncs_hold: bool = True
) -> Iterator[Image]:
    """Yield at least `count` different disks, cut off at every point of a tape alike.

    `syncs_hold=False` is a disk that lies: what it says is synced may be lost all the same.
    """
    seen: set[Choices] = set()
    while len(seen) < count:
        yield from _once_at_each_point(tape, rng, seen, syncs_hold)


def _once_at_each_point(
    tape: Tape, rng: random.Random, seen: set[Choices], syncs_hold: bool
) -> Iterator[Image]:
    files = {name: _File(content) for name, content in tape.before.items()}
    promised = 0
    for done in range(len(tape.ops) + 1):
        if done:
            op = tape.ops[done - 1]
            files.setdefault(op.file, _File(None)).do(op, is_synced=syncs_hold)
        while promised < len(tape.marks) and tape.marks[promised][0] <= done:
            promised += 1
        choices = {name: file.choose(rng) for name, file in files.items()}
        what = (promised, *((files[name].synced, kept) for name, kept in choices.items()))
        if what not in seen:
            seen.add(what)
            found = {name: files[name].content(kept) for name, kept in choices.items()}
            there = {name: content for name, content in found.items() if content is not None}
            yield Image(there, done, promised)


def lay(image: Image, folder: Path) -> None:
    """Put the files of an image, and no others, into a folder."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in image.files.items():
        (folder / name).write_bytes(content)
