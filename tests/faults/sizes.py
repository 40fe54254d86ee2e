"""How large the proofs are, and the seed from which everything random in them is made.

GFIL_SEED chooses the seed, GFIL_LONG=1 the long size.
"""

import os
import random

LONG = os.environ.get("GFIL_LONG") == "1"
SEED = int(os.environ.get("GFIL_SEED", random.SystemRandom().randrange(10**6)))


def seeded(name: str) -> random.Random:
    """Return the random numbers of one proof, and print what makes them again."""
    print(f"GFIL_SEED={SEED}")
    return random.Random(f"{SEED} {name}")
