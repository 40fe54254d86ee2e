"""Pacing of batched writes: how many rows keep the write lock for a few milliseconds."""

BATCH_S = 0.015  # of the 20 ms that other writers may have to wait for the lock


def fit_batch(rows: int, took_s: float, *, size: int, size_min: int, size_max: int) -> int:
    """Return the size of the next batch, so that it takes `BATCH_S`.

    `rows` took `took_s` in the last batch. The next batch has at most twice `size`, the limit of
    the last one, and lies within `size_min` and `size_max`.
    """
    fitting = int(rows * BATCH_S / max(took_s, 1e-6))
    return max(size_min, min(fitting, 2 * size, size_max))
