"""Disks as a power cut may leave them: unsynced operations kept, dropped or torn."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.disk import Op, Tape

SECTOR_BYTES = 512
Choice = tuple[int, ...]
"""The fate of each unsynced operation of one file: the sectors kept, as
bits, or -1 for all."""
Choices = tuple[Any, ...]


class Image(NamedTuple):
    """The files after a cut behind `ops` operations, when `promised` promises had been made."""

    files: dict[str, bytes]
    ops: int
    promised: int


LOOSE, LOST, FIRM = range(3)


class _File:
    def __init__(self, content: bytes | None) -> None:
        self.safe = content  # None: there is no such file
        self.done: list[Op] = []  # since then
        self.states: list[int] = []  # of each operation: unsynced, lost at a sync, synced
        self.synced = 0  # number of syncs

    def do(self, op: Op, *, syncs_hold: bool) -> None:
        if op.kind == "lose":
            self.states = [
                LOST if state == LOOSE and each.kind != "delete" else state
                for each, state in zip(self.done, self.states, strict=True)
            ]
        elif op.kind == "sync":
            if syncs_hold:
                self._sync()
        else:
            self.done.append(op)
            self.states.append(LOOSE)
            if op.kind == "delete" and op.at and syncs_hold:  # with its directory
                self._sync()

    def _sync(self) -> None:
        self.synced += 1
        self.states = [FIRM if state == LOOSE else state for state in self.states]
        deletions = [at for at, op in enumerate(self.done) if op.kind == "delete"]
        if deletions:  # the name is synced with the next file of that name
            self.safe = None
            del self.done[: deletions[-1] + 1], self.states[: deletions[-1] + 1]
        if LOST not in self.states:
            self.safe = self.content(tuple(-1 for _ in self.done))
            self.done, self.states = [], []

    def choose(self, rng: random.Random) -> Choice:
        fate = rng.choice(("keep", "drop", "mix", "mix", "tear"))
        done = zip(self.done, self.states, strict=True)
        return tuple(-1 if state == FIRM else _choose(rng, op, fate) for op, state in done)

    def content(self, choice: Choice) -> bytes | None:
        found = None if self.safe is None else bytearray(self.safe)
        for op, kept in zip(self.done, choice, strict=True):
            if op.kind == "delete":
                if not kept:
                    break  # the old file is back, and operations on a new one are lost
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
        content.extend(bytes(end - len(content)))  # a hole reads as zeros
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
    """Yield at least `count` different disks, equally many for each point of a tape.

    `syncs_hold=False` is a disk that lies: synced operations may be lost too.
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
            files.setdefault(op.file, _File(None)).do(op, syncs_hold=syncs_hold)
        while promised < len(tape.marks) and tape.marks[promised][0] <= done:
            promised += 1
        choices = {name: file.choose(rng) for name, file in files.items()}
        what = (promised, *((files[name].synced, kept) for name, kept in choices.items()))
        if what not in seen:
            seen.add(what)
            found = {name: files[name].content(kept) for name, kept in choices.items()}
            there = {name: content for name, content in found.items() if content is not None}
            yield Image(there, done, promised)


def lay(files: dict[str, bytes], folder: Path) -> None:
    """Replace the files of a folder, none of which may be open."""
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
