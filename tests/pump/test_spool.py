"""The spool: a torn end, a full spool, a full disk, and files of an older pump."""

import resource
import zlib
from pathlib import Path

import pytest

from scripts.pump.spool import Batch, Spool
from tests.conftest import wait_for
from tests.pump.broker import Broker, recent_ticks
from tests.pump.pump_process import PumpProcess
from tests.pump.stub_gfil import OK, StubGfil, problem, serve


def test_torn_end_is_read_from_the_terminal_again(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    """A power cut during a write has this effect."""
    ticks = recent_ticks(200)
    broker.add_symbol("GOLD", ticks)
    stub.answer_post = lambda path, body: problem(401, "ends at once")
    with serve(stub.answer) as pump.url:
        pump.run(status=1)
    (batch,) = pump.spool_files()
    data = batch.read_bytes()
    batch.write_bytes(data + data[:40] + bytes(20))
    later = batch.with_name(f"{'9' * 13}-0.ticks")
    later.write_bytes(data[:-7])
    healthy = StubGfil()
    with serve(healthy.answer) as pump.url:
        output = pump.run()
    assert output.count("has a damaged end") == 2
    assert sorted(set(healthy.tick_times())) == sorted({tick[0] for tick in ticks})
    assert pump.spool_files() == []


def test_full_spool_is_logged_and_newer_ticks_stay_in_the_terminal(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    ticks = recent_ticks(400)
    broker.add_symbol("GOLD", ticks)
    broker.release(0.25)
    stub.answer_post = lambda path, body: problem(503, "busy")
    with serve(stub.answer) as pump.url:
        process = pump.start("--spool-mb", "0.01", "--every", "20")
        wait_for(pump.spool_files, "a spool")
        broker.release(1.0)
        log = pump.folder / "pump.log"
        wait_for(lambda: "the spool is full (--spool-mb 0.01)" in log.read_text(), "the warning")
        assert sum(path.stat().st_size for path in pump.spool_files()) <= 10_100
        process.kill()
        process.communicate()
        stub.answer_post = lambda path, body: OK
        pump.run("--once")
    assert set(stub.tick_times()) == {tick[0] for tick in ticks}


def test_backlog_larger_than_the_spool_is_sent_in_parts(
    broker: Broker, pump: PumpProcess, stub: StubGfil
) -> None:
    ticks = recent_ticks(400)
    broker.add_symbol("GOLD", ticks)
    with serve(stub.answer) as pump.url:
        output = pump.run("--once", "--spool-mb", "0.005", "--every", "20")
    assert stub.tick_times() == [tick[0] for tick in ticks]
    assert len(stub.posts) > 1
    assert "the spool is full" not in output


def test_full_disk_leaves_nothing_behind_and_all_is_written_once_there_is_room(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path, 10_000)
    lines = [b"GOLD,%d,1.5,1.6,0.0,0.0,6\n" % time_msc for time_msc in range(100)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for _ in range(10):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                spool.append(lines)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        spool.close_batch()
    assert (spool.size_bytes, spool.first(), len(list(tmp_path.iterdir()))) == (0, None, 1)
    spool.append(lines)
    batch = spool.first()
    assert batch is not None
    assert batch.lines == lines
    spool.drop_first(len(lines))
    assert (spool.size_bytes, spool.tick_count, list(tmp_path.iterdir())) == (0, 0, [])


def test_batch_of_an_older_pump_is_read(tmp_path: Path) -> None:
    """The format on the disk is fixed: an upgraded pump reads the spool of the old one."""
    records = [b"GOLD,1000,1.5,1.6,0.0,0.0,6\nGOLD,1001,1.5,1.7,0.0,0.0,4\n"]
    records += [b"EURUSD,900,1.1,1.2,0.0,3.0,2\n"]
    path = tmp_path / "1732800000000-0123456789ab.ticks"
    path.write_bytes(b"".join(b"%08x %08x\n" % (len(r), zlib.crc32(r)) + r for r in records))
    spool = Spool(tmp_path, 10_000)
    assert spool.newest_msc == {"GOLD": 1001, "EURUSD": 900}
    assert (spool.tick_count, spool.size_bytes) == (3, path.stat().st_size)
    lines = b"".join(records).splitlines(keepends=True)
    assert spool.first() == Batch("1732800000000-0123456789ab", lines)
