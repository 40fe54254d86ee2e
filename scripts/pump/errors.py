"""Errors that the pump handles: each is retried or logged, none ends it."""


class TerminalUnavailable(Exception):
    """The terminal does not answer, or its newest price lies in the future by `--clock`."""


class RequestRefused(Exception):
    """GFIL refuses the request as it is; it may accept some of the rows."""


class ServerUnavailable(Exception):
    """GFIL does not answer, or asks for a retry; `retry_after_s` is 0 if it names no time."""

    def __init__(self, reason: str, retry_after_s: int = 0, is_key_rejected: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.is_key_rejected = is_key_rejected
