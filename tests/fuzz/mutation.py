"""Small mutations of a corpus: bits, octets, stretches, numbers at their bounds, words of other inputs. Seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
MOST_BYTES = 4096
_BOUNDS = (b"\0", b"\xff", b"-1", b"1e999", b"null", b'"', b"[", b"{", b"\\ud800", b"9" * 40, b"\x7f\xff\xff\xff", b"")

Change = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def corpus(name: str) -> Mapping[str, bytes]:
    """The inputs of a harness by their file's name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


def mutants(inputs: Sequence[bytes], rng: random.Random) -> Iterator[bytes]:
    """Ever new inputs, each some steps away from one of these."""
    while True:
        data = bytearray(rng.choice(inputs))
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            rng.choice(_CHANGES)(data, rng, inputs)
        yield bytes(data[:MOST_BYTES])


def _flip(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _replace(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = rng.randint(0, len(data))
    data[at : at + rng.choice((0, 1, 2, 4))] = rng.choice(_BOUNDS)


def _cut(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = rng.randint(0, len(data))
    del data[at : at + rng.choice((1, 2, 8, 64, len(data)))]


def _repeat(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = rng.randint(0, len(data))
    data[at:at] = data[at : at + rng.randint(1, 64)] * rng.choice((1, 2, 20))


def _splice(data: bytearray, rng: random.Random, inputs: Sequence[bytes]) -> None:
    other = rng.choice(inputs)
    at, start = rng.randint(0, len(data)), rng.randint(0, len(other))
    data[at : at + rng.randint(0, 32)] = other[start : start + rng.randint(1, 64)]


_CHANGES: Sequence[Change] = (_flip, _replace, _cut, _repeat, _splice)
