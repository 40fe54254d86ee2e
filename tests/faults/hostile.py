"""Bodies that no honest program sends: made by hand, each with a name."""

import gzip
import io
import zipfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

TIME = 1_700_000_040
MB = 1024 * 1024


class Hostile(NamedTuple):
    """One hostile body; no row of it may be stored."""

    name: str
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


# In the place of a price: as JSON, and as a cell of CSV.
VALUES = {
    "NaN": (b"NaN", b"NaN"),
    "nan in a text": (b'"nan"', b'"nan"'),
    "Infinity": (b"Infinity", b"Infinity"),
    "-Infinity": (b"-Infinity", b"-inf"),
    "1e999": (b"1e999", b"1e999"),
    "-1e999": (b"-1e999", b"-1e999"),
    "1e999 in a text": (b'"1e999"', b'"1e999"'),
    "an int of 30 digits": (b"9" * 30, b"9" * 30),
    "an int of 5000 digits": (b"9" * 5000, b"9" * 5000),
    "1e12": (b"1e12", b"1e12"),
    "-1e12": (b"-1e12", b"-1e12"),
    "words": (b'"abc"', b"abc"),
    "digits of another script": ('"١٢"'.encode(), "١٢".encode()),
    "full width digits": ('"１．５"'.encode(), "１．５".encode()),
    "hexadecimal": (b'"0x10"', b"0x10"),
    "underscores": (b'"1_0"', b"1_0"),
    "two points": (b'"1.2.3"', b"1.2.3"),
    "a lone surrogate": (b'"\\ud800"', b"\xed\xa0\x80"),
    "NUL": (b'"1\\u0000"', b"1\x00"),
    "a right-to-left mark": ('"\u202e1"'.encode(), "\u202e1".encode()),
    "an object": (b'{"__proto__":1}', b"{}"),
    "an array": (b"[1]", b"[1]"),
    "true": (b"true", b"true"),
    "no UTF-8": (b'"\xff\xfe1"', b"\xff\xfe1"),
}

TIMES = {
    "a time before all": (b"-99999999999", b"-99999999999"),
    "a time of 30 digits": (b"1" * 30, b"1" * 30),
    "2**63": (b"9223372036854775808", b"9223372036854775808"),
    "time Infinity": (b"1e999", b"1e999"),
    "the 31st of February": (b'"2024-02-31T00:00:00Z"', b"2024-02-31T00:00:00Z"),
    "the year 0": (b'"0000-00-00"', b"0000-00-00"),
    "the year 9999": (b'"9999-12-31T00:00:00Z"', b"9999-12-31T00:00:00Z"),
    "hour 25": (b'"2024-01-01 25:00"', b"2024-01-01 25:00"),
    "no time": (b"null", b""),
}

SYMBOLS = ("'; DROP TABLE candle;--", "../../etc/passwd", "</script>", "\u202eX", "x" * 100_000)


def candle_json(time: bytes = b"%d" % TIME, price: bytes = b"1.5") -> bytes:
    """Return one candle, as JSON."""
    return b'[{"time":%s,"open":%s,"high":1.6,"low":1.4,"close":1.5,"volume":1}]' % (time, price)


def candle_csv(time: bytes = b"%d" % TIME, price: bytes = b"1.5") -> bytes:
    """Return one candle, as CSV."""
    return b"time,open,high,low,close,volume\n%s,%s,1.6,1.4,1.5,1\n" % (time, price)


def tick_json(time: bytes = b"%d000" % TIME, price: bytes = b"1.5") -> bytes:
    """Return one tick, as JSON."""
    return b'{"ticks":[{"symbol":"HOSTILE","time_msc":%s,"bid":%s,"ask":1.6}]}' % (time, price)


def tick_csv(time: bytes = b"%d000" % TIME, price: bytes = b"1.5") -> bytes:
    """Return one tick, as CSV."""
    return b"time_msc,bid,ask\n%s,%s,1.6\n" % (time, price)


def bodies(kind: str) -> list[Hostile]:
    """Return all hostile bodies for `candles` or `ticks`."""
    as_json, as_csv = (candle_json, candle_csv) if kind == "candles" else (tick_json, tick_csv)
    made = []
    for name, (json, cell) in VALUES.items():
        made.append(Hostile(f"{name}, JSON", as_json(price=json)))
        made.append(Hostile(f"{name}, CSV", as_csv(price=cell)))
    for name, (json, cell) in TIMES.items():
        made.append(Hostile(f"{name}, JSON", as_json(time=json)))
        made.append(Hostile(f"{name}, CSV", as_csv(time=cell)))
    for symbol in SYMBOLS:
        row = as_csv().split(b"\n")
        body = b"symbol,%s\n%s,%s\n" % (row[0], symbol.encode(), row[1])
        made.append(Hostile(f"symbol {symbol[:10]}", body))
    return [*made, *_shapes(as_json(), as_csv(), kind), *_packed(as_json(), as_csv())]


def _shapes(json: bytes, csv: bytes, kind: str) -> list[Hostile]:
    key = kind.encode()
    shapes = {
        "nothing": b"",
        "blanks": b" \r\n\t\n" * 100,
        "a byte order mark alone": b"\xef\xbb\xbf",
        "UTF-16 marks alone": b"\xff\xfe",
        "NULs": b"\0" * 5000,
        "all bytes": bytes(range(256)) * 20,
        "one bracket": b"[",
        "one brace": b"{",
        "brackets, 100 000 deep": b"[" * 100_000,
        "brackets, closed again": b"[" * 100_000 + b"]" * 100_000,
        "objects, 100 000 deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "deep rows": b'{"%s":%s1%s}' % (key, b"[" * 100_000, b"]" * 100_000),
        "a deep price": json.replace(b"1.5", b"[" * 50_000 + b"]" * 50_000, 1),
        "broken off": json[:-3],
        "broken off in a text": json[:-2] + b',"x":"' + b"y" * 1000,
        "a text without an end": b'["' + b"x" * 100_000,
        "rows that are no rows": b'{"%s":[5,null,"x",[],{},true]}' % key,
        "rows that are a number": b'{"%s":5}' % key,
        "rows that are an object": b'{"%s":{}}' % key,
        "__proto__": b'{"__proto__":{"%s":[]}}' % key,
        "a number alone": b"5",
        "null": b"null",
        "a clock of Mars": b'{"clock":"Mars/Base","%s":[{"time":1}]}' % key,
        "a clock that is long": b'{"clock":"%s","%s":[{"time":1}]}' % (b"x" * 100_000, key),
        "UDF with uneven columns": b'{"s":"ok","t":[1,2],"o":[],"h":[1],"l":[1],"c":[1],"v":[1]}',
        "a header alone, of other things": b"name,street,city,phone,age\n",
        "cells of other things": b"name,street,city,phone,age\nA,B,C,D,E\n",
        "100 000 columns": b",".join([b"1"] * 100_000) + b"\n",
        "the same column twice": b"time,time,open,open,high,low,close\n1,2,1,1,0,9,1\n",
        "a quote without an end": csv.split(b"\n")[0] + b'\n"' + b"x" * 10_000,
        "commas": b",,,,,\n" * 1000,
        "a line of 7 MB": csv.split(b"\n")[0] + b"\n" + b"x" * 7 * MB,
        "a text of 7 MB": json[:-3] + b',"x":"' + b"y" * 7 * MB,
        "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        "HTML": b"<html><script>alert(1)</script></html>",
        "SQLite": b"SQLite format 3\0" + b"\0" * 4096,
        "PNG": b"\x89PNG\r\n\x1a\n" + bytes(1000),
        "UTF-16 with half a character": b"\xff\xfe"
        + csv.decode().encode("utf-16-le")[:-1]
        + b"\xd8",
        "UTF-32": csv.decode().encode("utf-32"),
        "Latin-1": "Zeit;Öffnung;Höchst;Tiefst;Schluß\n1;1;1;1;1\n".encode("latin-1"),
    }
    return [Hostile(name, body) for name, body in shapes.items()]


def _packed(json: bytes, csv: bytes) -> list[Hostile]:
    packed = gzip.compress(csv)
    damaged = packed[:-10] + bytes(2) + packed[-8:]
    declared = {"Content-Encoding": "gzip"}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.csv", csv)
    once = bomb(600 * MB)
    return [
        Hostile("a gzip bomb", once, declared),
        Hostile("a gzip bomb that is not declared", once),
        Hostile("a gzip bomb in gzip", gzip.compress(once), declared),
        Hostile("gzip in gzip in gzip", gzip.compress(gzip.compress(packed))),
        Hostile("gzip cut", packed[:-5], declared),
        Hostile("gzip damaged", damaged, declared),
        Hostile("gzip with something behind", packed + b"and more", declared),
        Hostile("the beginning of gzip", b"\x1f\x8b"),
        Hostile("declared as gzip and none", csv, declared),
        Hostile("brotli", csv, {"Content-Encoding": "br"}),
        Hostile("two encodings", packed, {"Content-Encoding": "gzip, gzip"}),
        Hostile("zip", archive.getvalue()),
        Hostile("a key of 300 characters", json, {"Idempotency-Key": "x" * 300}),
        Hostile("a key that is blank", json, {"Idempotency-Key": ""}),
        Hostile("a key in Latin-1", json, {"Idempotency-Key": "\xe9"}),
    ]


def bomb(size: int) -> bytes:
    """Return gzip that unpacks to `count` NULs, made in flat memory."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, mtime=0) as file:
        for _ in range(size // MB):
            file.write(bytes(MB))
    return packed.getvalue()
