"""`/`: the overview of every symbol."""

import time

from flask import Response, request

from gfil import clocks
from gfil.store.engine.connection import read_state
from gfil.web.pages import overview_rows
from gfil.web.pages.page import page_blueprint, render_page
from gfil.web.request.connections import read_db
from gfil.web.request.route import route
from gfil.wording import format_age

bp = page_blueprint("overview")


@route(bp, "GET", "/", scope="read")
def show_overview() -> Response:
    """Every symbol: last price, change over the day, sparkline, age of its newest candle."""
    db, now = read_db(), time.time()
    epoch, change = read_state(db)
    return render_page(
        "overview.html",
        rows=overview_rows.list_rows(epoch),
        since=f"{epoch}-{change}",
        now=now,
        format_age=format_age,
        format_instant=clocks.format_instant,
        host=request.host_url,
    )
