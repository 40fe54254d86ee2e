"""Tests of the parsers: blocks read at once and rows read one by one give the same result."""

import gzip
import os
import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gfil.errors import GfilError
from tests.ingest.reading import one_by_one, read_rows

EXAMPLES = 20_000 if os.environ.get("GFIL_LONG") else 300

CSV = b"".join(
    [
        b"time,open,high,low,close,volume\n",
        b"2024-03-01 00:00:00,1.1,1.25,1.05,1.2,10\n",
        b"2024-03-01 00:01:00,1.2,1.35,1.15,1.3,20.5\n",
        b"2024-03-01 00:02:00,1.3,1.35,1.15,1.2,0\n",
        b"2024-03-01 00:03:00,1.2,1.25,1.05,1.1,7\n",
    ]
)
SEEDS = {
    "header": CSV,
    "windows": CSV.replace(b"\n", b"\r\n"),
    "iso": CSV.replace(b":00,", b":00Z,").replace(b"01 00", b"01T00"),
    "quoted": CSV.replace(b"2024", b'"2024').replace(b":00,", b':00",'),
    "symbols": b"symbol,tf,time,open,high,low,close\nEURUSD,M1,2024-03-01 00:00,1,2,0.5,1.5\n"
    b"ETH_BTC,M1,2024-03-01 00:00,1,2,0.5,1.5\nEURUSD,M1,2024-03-01 00:01,1,2,0.5,1.5\n",
    "mt5": b"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\r\n"
    b"2024.01.02\t00:00:00\t1.1\t1.2\t1.0\t1.15\t167\t0\t15\r\n"
    b"2024.01.02\t01:00:00\t1.15\t1.2\t1.0\t1.1\t1670\t0\t5\r\n",
    "histdata": b"20170102 020000;1.05155;1.05197;1.05155;1.0519;0\n"
    b"20170102 020100;1.05209;1.05209;1.05177;1.05179;0\n",
    "epochs": b"1704067200,1,2,0.5,1.5,10\n1704067260,1.5,2,0.5,1,10\n1704067320,1,1,1,1,0\n",
    "objects": b'[{"t":1704067200000,"o":1,"h":2,"l":0.5,"c":1.5,"v":3},\n'
    b'{"t":1704067260000,"o":1.5,"h":2,"l":1,"c":1.25,"v":4},\n'
    b'{"t":1704067320000,"o":1.25,"h":2,"l":1,"c":1.75,"v":5}]',
    "arrays": b'[[1704067200000,"1","2","0.5","1.5","3"], [1704067260000,"1","2","0.5","1.5","3"]]',
    "wrapped": b'{"symbol":"EURUSD","candles":[["2024-01-01T00:00:00Z",1,2,0.5,1.5,3],\n'
    b'["2024-01-01T00:01:00Z",1,2,0.5,1.5,3]]}',
    "ticks": b"time_msc,bid,ask,last,volume,flags\n1398902400043,1291.5,1292,0,0,6\n"
    b"1398902400045,1291.6,,0,0,4\n1398902400045,1291.75,1292.5,1,2,6\n",
    "ticks_of_mt5": b"<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\r\n"
    b"2014.05.05\t00:00:00.040\t1300.335\t1300.799\t\t\t6\r\n"
    b"2014.05.05\t00:00:00.042\t\t1300.814\t\t\t4\r\n"
    b"2014.05.05\t00:00:01.043\t1300.125\t\t\t\t2\r\n",
    "ticks_with_stamps": b"symbol,time,bid,ask\nEURUSD,2024-03-01T00:00:00.043Z,1,2\n"
    b"ETH_BTC,2024-03-01T00:00:00.9Z,1,2.5\nEURUSD,2024-03-01T00:00:01Z,1.5,2\n",
    "ticks_of_json": b'{"ticks":[{"symbol":"X","time_msc":1398902400043,"bid":1,"ask":2},\n'
    b'{"symbol":"X","time_msc":1398902400044,"bid":1.5,"ask":2}],"clock":"+02:00"}',
    "tick_arrays": b'{"symbol":"X","ticks":[[1398902400043,1,2,0,0,6],[1398902400043,1,5,0,0,6]]}',
    "tick_lines": b'{"time_msc":1398902400043,"bid":1,"ask":2,"last":0.0,"volume":0.0,"flags":6}\n'
    b'{"time_msc":1398902400044,"bid":1,"ask":2.5,"last":0.0,"volume":0.0,"flags":6}\n',
    "ndjson": b'{"time":"2024-01-01 00:00","open":1,"high":2,"low":0.5,"close":1.5}\n'
    b'{"time":"2024-01-01 00:01","open":1,"high":2,"low":0.5,"close":1.5}\n',
}
TOKENS = [
    *(b"", b",", b",,", b"\n", b"\r\n", b"\n\n", b";", b"\t", b" ", b'"', b"''", b"\0", b"\xff"),
    *(b"nan", b"inf", b"-", b"+1", b"1_0", b".5", b"5.", b"1e999", b"1e-5", b"0x1f", b"abc", b"-7"),
    *(
        b"9" * 30,
        b"\xd9\xa1",
        b"true",
        b"null",
        b"NaN",
        b"[",
        b"]",
        b"{",
        b"}",
        b"},{",
        b"],[",
        b":",
    ),
    *(
        b"2024-02-30",
        b"2024-03-01",
        b"24:00",
        b"00:60",
        b"T",
        b"Z",
        b"+02:00",
        b"20240301",
        b"1e12",
        b".040",
        b"4294967296",
    ),
]


def outcome(data: bytes, **how: int) -> object:
    try:
        return read_rows(data, **how)  # type: ignore[arg-type]
    except GfilError as error:
        return type(error), error.detail


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(sorted(SEEDS.values())))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.one_of(st.just(start), st.integers(start, min(len(data), start + 12))))
        data = data[:start] + draw(st.sampled_from(TOKENS)) + data[stop:]
    return data


@pytest.mark.parametrize("name", SEEDS)
def test_good_file_keeps_all_rows_in_both_ways(name: str) -> None:
    rows, refused = read_rows(SEEDS[name])
    with one_by_one():
        assert read_rows(SEEDS[name]) == (rows, refused)
    assert refused == []
    assert len(rows) >= 2


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(broken_files())
@example(b"1704067200,1,2,0.5,1.5,10\n1704067260,1.5,2,0.5\n1,10,1704067320,1,1,1,1,0\n")
def test_broken_file_reads_the_same_at_once_and_one_by_one(data: bytes) -> None:
    at_once = outcome(data)
    with one_by_one():
        assert outcome(data) == at_once


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(broken_files(), st.integers(1, 60), st.booleans())
def test_rows_do_not_depend_on_the_split_into_chunks(
    data: bytes, chunk_bytes: int, packed: bool
) -> None:
    whole = outcome(data)
    sent = gzip.compress(data, mtime=0) if packed and data else data
    assert outcome(sent, chunk_bytes=chunk_bytes) == whole


def test_long_file_keeps_row_numbers_across_pieces() -> None:
    seed = random.Random(7)
    lines = [b"time,open,high,low,close,volume"]
    lines += [b"%d,1,2,0.5,1.5,%d" % (1_600_000_000 + 60 * n, n % 1000) for n in range(60_000)]
    broken = sorted(seed.sample(range(1, 60_001), 40))
    for place in broken:
        lines[place] = b"oops," + lines[place]
    rows, refused = read_rows(b"\n".join(lines))
    assert [row for row, _, _ in refused] == [place + 1 for place in broken]
    assert {reason for _, reason, _ in refused} == {"missing_field"}
    assert [row[0] for row in rows] == [n for n in range(2, 60_002) if n - 1 not in set(broken)]
    assert all(row[1] == 1_600_000_000 + 60 * (row[0] - 2) for row in rows)


def test_long_array_keeps_row_numbers_across_pieces() -> None:
    values = [
        b'{"ts":%d,"o":1,"h":2,"l":0.5,"c":1.5}' % (60_000 * n + 10**12) for n in range(20_000)
    ]
    for place in (0, 5000, 5001, 19_999):
        values[place] = values[place].replace(b"0.5", b"NaN")
    rows, refused = read_rows(b"[" + b", ".join(values) + b"]")
    assert [(row, reason) for row, reason, _ in refused] == [
        (0, "not_finite"),
        (5000, "not_finite"),
        (5001, "not_finite"),
        (19_999, "not_finite"),
    ]
    assert [row[0] for row in rows] == [
        n for n in range(20_000) if n not in (0, 5000, 5001, 19_999)
    ]
    assert all(row[1] == 60 * row[0] + 10**9 for row in rows)
