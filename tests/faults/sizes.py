"""Sizes of the proofs, and their seed.

GFIL_LONG=1 chooses the long size. GFIL_SEED is a number or `random` (tests/conftest.py).
"""

import os
import random

LONG = os.environ.get("GFIL_LONG") == "1"
SEED = int(os.environ["GFIL_SEED"])


def seeded(name: str) -> random.Random:
    """Return the random numbers of one proof, and print the seed that repeats them."""
    print(f"GFIL_SEED={SEED}")
    return random.Random(f"{SEED} {name}")
