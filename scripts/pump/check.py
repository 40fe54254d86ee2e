"""The report of `--check`: terminal, symbols, the time on three machines, and clocks that fit."""

import argparse
import time
from datetime import timedelta

from scripts.pump.broker_clock import BrokerClock
from scripts.pump.errors import ServerUnavailable
from scripts.pump.future_guard import AHEAD_MAX_S
from scripts.pump.server import Server
from scripts.pump.terminal import Terminal
from scripts.pump.times import QUARTER_S, format_time

KNOWN_CLOCKS = ("UTC", "nyclose", "Europe/Athens", "EET", "Europe/London", "Europe/Moscow")
WATCH_S = 5.0
WATCH_EVERY_S = 0.25
OFFSET_MAX_MINUTES = 14 * 60


def check(options: argparse.Namespace, terminal: Terminal, server: Server) -> None:
    """Print the report; send nothing."""
    server_state = _ask_server(server)
    info = terminal.call("terminal_info")
    broker = terminal.call("account_info").server
    print(f"terminal  {info.name} build {info.build}, {info.maxbars} max bars in chart")
    names = terminal.choose_symbols(options.symbols, options.map)
    for name, target in names.items():
        symbol = terminal.call("symbol_info", name)
        print(f"symbol    {name} as {target}: {symbol.description}, {symbol.digits} digits")
    newest_wall, is_live = _watch_prices(terminal, list(names))
    print(f"GFIL      {format_time(server.now)} UTC by its clock; it {server_state}")
    print(f"this PC   {format_time(time.time())} UTC")
    print(f"broker    {format_time(newest_wall)} on its clock at the newest tick; {broker}")
    candidates = [options.clock or "nyclose", *KNOWN_CLOCKS]
    if is_live:
        candidates.append(_nearest_offset(newest_wall, server.now))
    for candidate in dict.fromkeys(candidates):
        _print_clock(candidate, newest_wall, is_live, server.now)
    if is_live:
        print("Most brokers use nyclose: their day ends when New York's trading day ends.")
    else:
        print("No tick came during the check: run --check again while the market is open.")


def _ask_server(server: Server) -> str:
    try:
        answer = server.get("/api/v1/symbols")
    except ServerUnavailable as error:
        return f"fails: {error.reason}"
    return "answers" if answer else "refuses"


def _watch_prices(terminal: Terminal, names: list[str]) -> tuple[int, bool]:
    first = newest = 0
    deadline = time.monotonic() + WATCH_S
    while newest == first and time.monotonic() < deadline:
        newest = _newest_price(terminal, names)
        first = first or newest  # 0 while the terminal has no price
        time.sleep(WATCH_EVERY_S)
    return newest, newest > first


def _newest_price(terminal: Terminal, names: list[str]) -> int:
    return max(int(terminal.call("symbol_info", name).time) for name in names)


def _nearest_offset(newest_wall: int, now: float) -> str:
    quarters = round(abs(newest_wall - now) / QUARTER_S)
    hours, minutes = divmod(min(quarters * 15, OFFSET_MAX_MINUTES), 60)
    sign = "+" if newest_wall >= now else "-"
    return f"{sign}{hours:02}:{minutes:02}"


def _print_clock(candidate: str, newest_wall: int, is_live: bool, now: float) -> None:
    newest = BrokerClock(candidate).to_utc([newest_wall], 1, 0)[0] or 0
    age_s = int(now - newest)
    if age_s < -AHEAD_MAX_S or (is_live and age_s > AHEAD_MAX_S):
        answer = "no"
    elif is_live:
        answer = "fits"
    else:
        answer = "perhaps"
    distance = f"{timedelta(seconds=abs(age_s))} {'old' if age_s >= 0 else 'ahead'}"
    print(f"clock     {candidate:<24}{answer:<9}the newest tick would be {distance}")
