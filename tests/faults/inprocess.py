"""The application in this very process, where the disk below it can be made to fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from werkzeug.test import TestResponse

from gfil import config, create_app
from tests.faults.senders import Job


@contextmanager
def serving(database: Path) -> Iterator[Flask]:
    """The application, whose connections are closed in the end."""
    environment = {"GFIL_DB": str(database), "GFIL_READ": "public", "GFIL_MIN_FREE_MB": "0"}
    app = create_app(config.read(environment, database.parent))
    try:
        yield app
    finally:
        for connection in app.extensions["pool"]._idle:
            connection.close()
        app.extensions["writer"]._close()


def head(secret: str) -> dict[str, str]:
    """What shows the key."""
    return {"Authorization": f"Bearer {secret}"}


def post(app: Flask, secret: str, job: Job) -> TestResponse:
    """Send one request."""
    headers = head(secret) | {"Idempotency-Key": job.name}
    return app.test_client().post(job.path, data=job.body, headers=headers)
