"""Facts about a symbol that the broker knows: currencies, digits, description."""

from typing import Any
from urllib.parse import quote

from scripts.pump.server import Server
from scripts.pump.symbols import Symbol
from scripts.pump.terminal import Terminal

DIGITS_MAX = 8
DESCRIPTION_MAX = 200


def send_facts(symbol: Symbol, terminal: Terminal, server: Server) -> None:
    """Send the facts if they have changed and GFIL knows the symbol."""
    facts = _read_facts(symbol.name, terminal)
    is_known = symbol.state["sent"] or symbol.state.get("acked")
    if is_known and facts != symbol.state.get("facts"):
        given = {name: fact for name, fact in facts.items() if fact != ""}
        server.patch(f"/api/v1/symbols/{quote(symbol.target)}", given)
        symbol.state["facts"] = facts


def _read_facts(name: str, terminal: Terminal) -> dict[str, Any]:
    info = terminal.call("symbol_info", name)
    description = "".join(filter(str.isprintable, info.description))
    return {
        "base": info.currency_base,
        "quote": info.currency_profit,
        "digits": min(info.digits, DIGITS_MAX),
        "description": description[:DESCRIPTION_MAX],
    }
