"""GFIL: makes the web application out of settings, routes and one error handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gfil import config

if TYPE_CHECKING:
    from flask import Flask

BODY_BYTES_MAX = 2 * 1024 * 1024  # the routes that take uploads raise it for themselves


def create_app(settings: config.Settings | None = None) -> Flask:
    """Return the application for these settings, or those of the environment and `gfil.env`.

    The settings are `app.config["SETTINGS"]`. Every route declares its scope.

    Raises:
        ConfigError: a setting has a wrong value.
    """
    # Imported here, so that a command does not wait for a web framework it will not use.
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    from gfil.store.engine.pool import Pool, Writer
    from gfil.web import jobs
    from gfil.web.api import candles, export, gaps, health, openapi, symbols, ticks
    from gfil.web.pages import chart, status
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
    access_log.init_app(app)  # first: its hooks stand around all others
    connections.init_app(app, Pool(settings.db), Writer(settings.db))
    problems.init_app(app)
    responses.init_app(app)
    for module in (jobs, body, idempotency, symbols, hourly_stats, routes):
        module.init_app(app)
    metrics.init_app()
    app.before_request(auth.check)
    readers = (candles, export, gaps, routes, symbols, ticks)
    for module in (auth, *readers, health, metrics, openapi, chart, status):
        app.register_blueprint(module.bp)
    if hops := settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    return app
