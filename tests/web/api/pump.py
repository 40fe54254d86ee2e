"""A client that posts with a key of the scope write."""

from typing import Any

import orjson
from flask.testing import FlaskClient

OLD = (
    "1 day older than the retention, 2023-11-14 to 2023-11-14: "
    "kept as imported until `gfil prune --imported`"
)


class Pump:
    """A client with a key of the scope write."""

    def __init__(self, client: FlaskClient, secret: str) -> None:
        self.client = client
        self.headers = {"X-API-Key": secret}

    def post(
        self, path: str, body: bytes | str | Any, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Send a body, JSON unless it is bytes; return the status and the JSON of the answer."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.post(path, data=data, headers=self.headers | named)
        assert answer.json is not None
        return answer.status_code, answer.json

    def candles(self, tf: str = "M1", symbol: str = "EURUSD") -> list[Any]:
        """Return what is stored."""
        answer = self.client.get(f"/api/v1/candles?symbol={symbol}&tf={tf}&limit=10000")
        return (answer.json or {}).get("candles", [])
