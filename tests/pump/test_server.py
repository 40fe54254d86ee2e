"""Answers of GFIL: the pump waits, retries, splits a request, drops a row, reads the key again."""

import pytest

from tests.conftest import wait_for
from tests.pump.broker import Broker, recent_ticks
from tests.pump.conftest import Gfil
from tests.pump.pump_process import UNREACHABLE, PumpProcess, read_all, stop
from tests.pump.stub_gfil import OK, StubGfil, problem, serve


def test_rejected_key_is_read_again_and_no_tick_is_lost(
    broker: Broker, pump: PumpProcess, gfil: Gfil
) -> None:
    ticks = recent_ticks(200)
    broker.add_symbol("LOCKED", ticks)
    pump.key_file.write_text("gfil_wrong_key")
    process = pump.start("--every", "20")
    wait_for(lambda: sum(path.stat().st_size for path in pump.spool_files()) > 1000, "a spool")
    pump.key_file.write_text(gfil.key)
    wait_for(lambda: read_all(gfil.server, "ticks", "LOCKED") == ticks, "all ticks")
    wait_for(lambda: not pump.spool_files(), "an empty spool")
    output = stop(process)
    assert "401" in output
    assert "the pump reads the key again" in output
    assert "gfil_wrong_key" not in output


def test_too_large_body_is_split_until_each_part_fits(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    ticks = recent_ticks(500)
    broker.add_symbol("GOLD", ticks)
    refusal = problem(413, "too large", type="too_large", limit_bytes=3000)
    stub.answer_post = lambda path, body: refusal if len(body) > 3000 else OK
    with serve(stub.answer) as pump.url:
        pump.run()
    assert stub.tick_times() == [tick[0] for tick in ticks]
    assert pump.spool_files() == []


@pytest.mark.parametrize("status", [429, 503, 507])
def test_retry_after_is_respected_while_ticks_are_spooled(
    broker: Broker, pump: PumpProcess, stub: StubGfil, status: int
) -> None:
    ticks = recent_ticks(100)
    broker.add_symbol("GOLD", ticks)
    broker.release(0.5)
    document = {"type": "busy", "status": status, "detail": "come back"}
    answers = iter([(status, document, {"Retry-After": "1"})])
    stub.answer_post = lambda path, body: next(answers, OK)
    with serve(stub.answer) as pump.url:
        process = pump.start("--every", "20")
        wait_for(lambda: stub.posts, "a request")
        broker.release(1.0)
        wait_for(lambda: len(stub.tick_lines) >= len(ticks), "all ticks")
        output = stop(process)
    assert stub.tick_times() == [tick[0] for tick in ticks]
    (first_time, _, first_body), (second_time, _, second_body) = stub.posts[:2]
    assert second_time - first_time >= 0.9
    assert second_body == first_body
    assert f"{status} come back" in output


def test_refused_request_drops_only_the_rows_at_fault(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    ticks = recent_ticks(300)
    bad = b",%d," % ticks[77][0]
    broker.add_symbol("GOLD", ticks)
    refusal = problem(400, "a broken line", type="bad_request")
    stub.answer_post = lambda path, body: refusal if bad in body else OK
    with serve(stub.answer) as pump.url:
        output = pump.run()
        assert stub.tick_times() == [tick[0] for tick in ticks if tick[0] != ticks[77][0]]
        count = len(stub.posts)
        pump.run()
    assert "refused, not sent again" in output
    assert str(ticks[77][0]) in output
    assert not [body for _, _, body in stub.posts[count:] if bad in body]


def test_row_refused_in_a_successful_answer_is_logged_and_not_sent_again(
    broker: Broker, pump: PumpProcess, gfil: Gfil
) -> None:
    ticks = recent_ticks(50)
    ticks[20] = (*ticks[20][:1], -1e300, *ticks[20][2:])
    broker.add_symbol("BADROW", ticks)
    output = pump.run()
    assert read_all(gfil.server, "ticks", "BADROW") == [*ticks[:20], *ticks[21:]]
    assert output.count("refused, not sent again") == 1
    assert str(ticks[20][0]) in output
    assert "refused" not in pump.run()


def test_refused_parameter_drops_no_row(broker: Broker, pump: PumpProcess, stub: StubGfil) -> None:
    broker.add_symbol("GOLD", recent_ticks(20))
    stub.answer_post = lambda path, body: problem(400, "unknown parameter", type="bad_parameter")
    with serve(stub.answer) as pump.url:
        output = pump.run(status=1)
    assert "unknown parameter" in output
    assert len(pump.spool_files()) == 1


def test_key_without_scope_write_ends_once_and_keeps_the_spool(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    broker.add_symbol("GOLD", recent_ticks(20))
    stub.answer_post = lambda path, body: problem(403, "scope read")
    with serve(stub.answer) as pump.url:
        output = pump.run(status=1)
    assert "403 scope read" in output
    assert len(pump.spool_files()) == 1


def test_idempotency_key_of_a_batch_survives_a_restart(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    broker.add_symbol("GOLD", recent_ticks(20))
    stub.answer_post = lambda path, body: problem(503, "busy")
    keyed: list[tuple[str, bytes]] = []
    with serve(stub.answer, keyed) as pump.url:
        pump.run(status=1)
        (batch,) = pump.spool_files()
        first_run = set(keyed)
        pump.run(status=1)
        assert pump.spool_files()[0] == batch
    assert set(keyed) == first_run == {(batch.stem, stub.posts[0][2])}


def test_unreachable_server_ends_once_with_one_line(broker: Broker, pump: PumpProcess) -> None:
    broker.add_symbol("GOLD", recent_ticks(20))
    pump.url = UNREACHABLE
    output = pump.run(status=1)
    assert "Traceback" not in output
    assert output.splitlines()[-1].startswith("not everything was sent:")
