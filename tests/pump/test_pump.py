"""The loop of the pump: how long it waits before a retry."""

from scripts.pump.pump import RETRY_MAX_S, retry_wait_s


def test_retry_wait_doubles_to_its_limit_and_never_overflows() -> None:
    assert [retry_wait_s(failures) for failures in (1, 2, 3, 6)] == [0.5, 1.0, 2.0, 16.0]
    assert [retry_wait_s(failures) for failures in (7, 100, 10**6)] == [RETRY_MAX_S] * 3
