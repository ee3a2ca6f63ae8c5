"""Each decoder takes its corpus, and some mutants of it. Longer: `python -m tests.fuzz`."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.mutation import corpus, mutants

MUTANTS = 200


@pytest.mark.parametrize("name", HARNESSES)
def test_a_decoder_takes_anything(name: str) -> None:
    inputs = [*corpus(name).values()]
    assert inputs
    for data in itertools.chain(inputs, itertools.islice(mutants(inputs, random.Random(name)), MUTANTS)):
        HARNESSES[name](data)
