"""Power cuts while the application serves requests: acknowledged requests survive.

ACK-DURABLE, ATOMIC-REQUEST, DERIVED=BASE and EXACTLY-ONCE: a repeat gets the same answer.
"""

import random
from contextlib import closing
from pathlib import Path

import apsw
from werkzeug.test import TestResponse

from gfil.store.engine import connection
from tests.faults import workloads
from tests.faults.disk import recorded
from tests.faults.inprocess import head, post, serving
from tests.faults.power import IMAGES_MIN, cut_everywhere, promise
from tests.faults.senders import Job, candle_job, make_key, tick_job
from tests.faults.sizes import seeded

REQUESTS = 24


def make(rng: random.Random) -> list[Job]:
    """Return requests with ticks and candles, new and late ones."""
    jobs = []
    for number in range(REQUESTS):
        time = workloads.DAY + 60 * rng.randrange(300)
        if number % 3:
            jobs.append(tick_job(f"{number}", "TICKS", workloads.ticks_of(rng, time * 1000, 8)))
        else:
            rows = [(start, workloads.candle(rng)) for start in range(time, time + 180, 60)]
            jobs.append(candle_job(f"{number}", "CANDLES", rows))
    return jobs


def acknowledged(answer: TestResponse) -> bytes:
    """Return the body of a 200 answer."""
    assert answer.status_code == 200, answer.text
    return answer.data


def test_acknowledged_request_survives_a_power_cut_and_gets_its_answer_again(
    db_path: Path, folder: Path
) -> None:
    rng = seeded("requests")
    secret = make_key(db_path)
    jobs = make(rng)
    answers: dict[str, bytes] = {}
    with serving(db_path) as app:
        app.test_client().get("/api/v1/symbols", headers=head(secret))  # marks the key as used
    with (
        recorded(db_path) as tape,
        serving(db_path) as app,
        closing(connection.connect(db_path, readonly=True)) as seeing,
    ):
        promise(tape, seeing)
        for job in jobs:
            answers[job.name] = acknowledged(post(app, secret, job))
            promise(tape, seeing)

    def again(connection: apsw.Connection, done: int) -> None:
        with serving(Path(connection.filename)) as app:
            for job in jobs[max(0, done - 2) :]:
                assert acknowledged(post(app, secret, job)) == answers[job.name]

    cut_everywhere(tape, folder, rng, at_least=IMAGES_MIN // 2, again=again)
