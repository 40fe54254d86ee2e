"""Symbols: names, settings, clocks, rename, delete."""

import apsw
import pytest

from gfil import clocks
from gfil.errors import BadParameter, Conflict, SymbolUnknown
from gfil.store import symbol_settings, symbols
from gfil.store.engine import connection
from gfil.store.symbols import BadSymbol, Symbol, SymbolCase
from tests.store.model import read, write

MINUTE = ((1_700_006_400, 1_700_006_460), (1.1, 1.3, 1.0, 1.25, 5.0))
DAY_OF_ATHENS = ((1_700_085_600, 1_700_172_000), (1.0, 2.0, 1.0, 1.0, 9.0))


def make(db: apsw.Connection, name: str) -> Symbol:
    with connection.transaction(db):
        return symbols.ensure(db, name)


@pytest.mark.parametrize(
    "name",
    ["XAUUSD", "EURUSD.r", "ETH_BTC", "a", "7", "#AAPL", "BRK.B", "EUR+", "x-1", "_x", "x" * 32],
)
def test_valid_symbol_names_are_accepted(db: apsw.Connection, name: str) -> None:
    assert make(db, name).name == name
    assert symbols.read(db, name).name == name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "_", "#+-", "x" * 33, "EUR/USD", "EUR USD", "EUR\x00", "EUR\n", "ÉUR",
     "EUR'; DROP TABLE symbol", "../etc/passwd", "<b>", "٣", "EURUSD\u202e", "a\\b", "EURUSD%"],
)  # fmt: skip
def test_invalid_symbol_names_are_refused(db: apsw.Connection, name: str) -> None:
    with pytest.raises(BadSymbol) as refused:
        make(db, name)
    assert (refused.value.status, refused.value.type) == (400, "bad_symbol")
    assert symbols.list_symbols(db) == []


def test_symbol_that_differs_only_in_case_is_refused(db: apsw.Connection) -> None:
    make(db, "EURUSD.r")
    with pytest.raises(SymbolCase) as refused:
        make(db, "EURUSD.R")
    assert refused.value.type == "symbol_case"
    assert [symbol.name for symbol in symbols.list_symbols(db)] == ["EURUSD.r"]


@pytest.mark.parametrize("name", ["EURUSD.r", "eurusd.R", "EURUSD.R"])
def test_symbol_is_found_in_any_case(db: apsw.Connection, name: str) -> None:
    made = make(db, "EURUSD.r")
    assert symbols.read(db, name) == made
    assert symbols.find(db, name) == made


def test_blank_in_symbol_name_means_plus(db: apsw.Connection) -> None:
    assert symbols.find(db, "EUR ") is None
    made = make(db, "EUR+")
    assert symbols.read(db, "EUR ") == made


def test_unknown_symbol_is_refused(db: apsw.Connection) -> None:
    assert symbols.find(db, "XAUUSD") is None
    with pytest.raises(SymbolUnknown) as refused:
        symbols.read(db, "XAUUSD")
    assert (refused.value.status, refused.value.symbol) == (404, "XAUUSD")


def test_new_symbol_has_default_settings(db: apsw.Connection) -> None:
    made = make(db, "XAUUSD")
    facts = made._replace(id=0)
    assert facts == Symbol(0, "XAUUSD", "UTC", "", None, 0, None, "XAU", "USD", 0)
    assert make(db, "XAUUSD") == made


@pytest.mark.parametrize(
    ("name", "base", "quote"),
    [
        ("EURUSD", "EUR", "USD"),
        ("EURUSD.r", "EUR", "USD"),
        ("ETH_BTC", "ETH", "BTC"),
        ("DOGE-USDT", "DOGE", "USDT"),
        ("#AAPL", "", ""),
        ("GER40", "", ""),
    ],
)
def test_currencies_are_guessed_from_symbol_name(
    db: apsw.Connection, name: str, base: str, quote: str
) -> None:
    made = make(db, name)
    assert (made.base, made.quote) == (base, quote)


def test_symbols_are_listed_by_name(db: apsw.Connection) -> None:
    for name in ("XAUUSD", "audusd", "EURUSD"):
        make(db, name)
    assert [symbol.name for symbol in symbols.list_symbols(db)] == ["audusd", "EURUSD", "XAUUSD"]


def test_update_stores_settings_and_logs_change(db: apsw.Connection) -> None:
    made = make(db, "XAUUSD")
    wanted = made._replace(description="Gold", digits=2, price="bid", base="XAU", quote="USD")
    with connection.transaction(db):
        updated = symbols.update(db, wanted)
    assert updated == wanted._replace(change=1)
    assert symbols.read(db, "XAUUSD") == updated
    assert connection.read_state(db)[1] == 1


@pytest.mark.parametrize("invalid", [{"digits": -1}, {"digits": 9}, {"price": "close"}])
def test_settings_out_of_range_are_refused(db: apsw.Connection, invalid: dict[str, object]) -> None:
    made = make(db, "XAUUSD")
    with pytest.raises(BadParameter), connection.transaction(db):
        symbols.update(db, made._replace(**invalid))
    assert symbols.read(db, "XAUUSD") == made
    assert connection.read_state(db)[1] == 0


def test_digits_shown_are_set_ones_or_most_seen(db: apsw.Connection) -> None:
    for price, digits in ((2.0, 0), (1.25, 2), (1.5, 2), (1.23456, 5), (0.1 + 0.2, 8)):
        start = 1_700_006_400 + digits * 60
        write(db, "EURUSD", "M1", [((start, start + 60), (price, price, price, price, 0.0))])
        assert symbols.read(db, "EURUSD").digits_shown == digits
    with connection.transaction(db):
        symbols.update(db, symbols.read(db, "EURUSD")._replace(digits=3))
    assert symbols.read(db, "EURUSD").digits_shown == 3


def test_each_symbol_has_its_own_last_change(db: apsw.Connection) -> None:
    assert write(db, "EURUSD", "M1", [MINUTE]).change == 1
    assert write(db, "XAUUSD", "M1", [MINUTE]).change == 2
    assert write(db, "EURUSD", "M1", [MINUTE]).change == 0
    changes = {symbol.name: symbol.change for symbol in symbols.list_symbols(db)}
    assert changes == {"EURUSD": 1, "XAUUSD": 2}


def test_rename_keeps_candles(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [MINUTE])
    with connection.transaction(db):
        renamed = symbols.rename(db, symbols.read(db, "EURUSD"), "EURUSD.r")
    assert (renamed.name, renamed.change) == ("EURUSD.r", 2)
    assert symbols.find(db, "EURUSD") is None
    assert read(db, "eurusd.R", "M1").candles == [(1_700_006_400, 1.1, 1.3, 1.0, 1.25, 5.0)]


def test_rename_can_change_case(db: apsw.Connection) -> None:
    make(db, "eurusd")
    with connection.transaction(db):
        symbols.rename(db, symbols.read(db, "eurusd"), "EURUSD")
    assert [symbol.name for symbol in symbols.list_symbols(db)] == ["EURUSD"]


@pytest.mark.parametrize(("name", "error"), [("XAUUSD", Conflict), ("xauusd", Conflict),
                                             ("", BadSymbol), ("a/b", BadSymbol)])  # fmt: skip
def test_rename_to_taken_or_invalid_name_is_refused(
    db: apsw.Connection, name: str, error: type[Exception]
) -> None:
    make(db, "EURUSD")
    make(db, "XAUUSD")
    with pytest.raises(error), connection.transaction(db):
        symbols.rename(db, symbols.read(db, "EURUSD"), name)
    assert [symbol.name for symbol in symbols.list_symbols(db)] == ["EURUSD", "XAUUSD"]


def test_deleted_symbol_frees_its_name_at_once(db: apsw.Connection) -> None:
    write(db, "EURUSD", "M1", [MINUTE])
    before = symbols.read(db, "EURUSD")
    epoch, change = connection.read_state(db)
    with connection.transaction(db):
        assert symbols.delete(db, before) == change + 1
    assert symbols.find(db, "EURUSD") is None
    assert connection.read_state(db)[0] != epoch
    again = make(db, "EURUSD")
    assert again.id != before.id
    assert read(db, "EURUSD", "M1").candles == []
    assert write(db, "EURUSD", "M1", [MINUTE]).inserted == 1


def test_h4_and_d1_are_materialised_on_utc_symbol_and_recorded_clocks(
    db: apsw.Connection,
) -> None:
    make(db, "XAUUSD")

    def kept() -> list[str]:
        return [clock.name for clock in symbols.materialised_clocks(db, symbols.read(db, "XAUUSD"))]

    assert kept() == ["UTC"]
    write(db, "XAUUSD", "D1", [DAY_OF_ATHENS], "Europe/Athens")
    assert kept() == ["UTC", "Europe/Athens"]
    with connection.transaction(db):
        symbol_settings.set_clock(db, symbols.read(db, "XAUUSD"), clocks.parse("nyclose"))
    assert kept() == ["UTC", "America/New_York+07:00", "Europe/Athens"]


@pytest.mark.parametrize("first", ["clock", "candle"])
def test_clock_with_stored_candles_stays_materialised_after_set_clock(
    db: apsw.Connection, first: str
) -> None:
    """The clock is recorded because of the stored day, not because of the symbol's setting."""
    make(db, "XAUUSD")

    def set_clock(name: str) -> None:
        with connection.transaction(db):
            symbol_settings.set_clock(db, symbols.read(db, "XAUUSD"), clocks.parse(name))

    if first == "clock":
        set_clock("Europe/Athens")
    write(db, "XAUUSD", "D1", [DAY_OF_ATHENS], "Europe/Athens")
    if first == "candle":
        set_clock("Europe/Athens")
    set_clock("UTC")
    assert [clock.name for clock in symbols.stored_clocks(db, symbols.read(db, "XAUUSD"))] == [
        "Europe/Athens"
    ]
    start, values = DAY_OF_ATHENS[0][0], DAY_OF_ATHENS[1]
    assert read(db, "XAUUSD", "D1", "Europe/Athens").candles == [(start, *values)]
    assert read(db, "XAUUSD", "D1", "UTC").candles == []


def test_days_equal_to_utc_days_record_no_clock(db: apsw.Connection) -> None:
    day = ((1_705_276_800, 1_705_363_200), (1.0, 2.0, 1.0, 1.0, 9.0))
    write(db, "FTSE", "D1", [day], "Europe/London")
    assert symbols.stored_clocks(db, symbols.read(db, "FTSE")) == []
    assert read(db, "FTSE", "D1", "UTC").candles == [(day[0][0], *day[1])]
