"""`create_app()`: the web application from settings, blueprints and error handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gfil import config

if TYPE_CHECKING:
    from flask import Flask

BODY_BYTES_MAX = 2_000_000  # routes that take uploads have their own limit


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the application for these settings (default: the environment and `gfil.env`).

    The settings are `app.config["SETTINGS"]`.

    Raises:
        ConfigError: a setting has a wrong value.
    """
    # Imported here, so that commands that need no web framework start faster.
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    from gfil.store.engine.pool import Pool, Writer
    from gfil.web import jobs
    from gfil.web.api import candles, export, gaps, health, openapi, symbols, ticks
    from gfil.web.api import metrics as metrics_route
    from gfil.web.pages import assets, chart, docs, login, overview, status
    from gfil.web.request import (
        access_log,
        auth,
        body,
        connections,
        hourly_stats,
        idempotency,
        metrics,
        problems,
        responses,
    )
    from gfil.web.stream import routes

    settings = settings or config.read()
    app = Flask("gfil", root_path=str(config.ROOT), static_folder=None)
    app.config.update(SETTINGS=settings, MAX_CONTENT_LENGTH=BODY_BYTES_MAX)
    access_log.init_app(app)  # first: its hooks enclose all others
    connections.init_app(app, Pool(settings.db), Writer(settings.db))
    problems.init_app(app)
    responses.init_app(app)
    for module in (jobs, body, idempotency, symbols, hourly_stats, routes):
        module.init_app(app)
    metrics.init_app()
    app.before_request(auth.check_scope)
    api = (candles, export, gaps, health, metrics_route, openapi, routes, symbols, ticks)
    pages = (assets, chart, docs, login, overview, status)
    for module in (*api, *pages):
        app.register_blueprint(module.bp)
    if hops := settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    return app
