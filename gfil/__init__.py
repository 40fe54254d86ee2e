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

    from gfil import web
    from gfil.store.pool import Pool, Writer
    from gfil.web import (
        auth,
        background,
        bodies,
        candles,
        export,
        figures,
        gaps,
        health,
        logs,
        metrics,
        openapi,
        pages,
        requests,
        status,
        stream,
        symbols,
        ticks,
    )

    settings = settings or config.read()
    app = Flask("gfil", root_path=str(config.ROOT), static_folder=None)
    app.config.update(SETTINGS=settings, MAX_CONTENT_LENGTH=BODY_BYTES_MAX)
    logs.prepare(app)  # first: its hooks stand around all others
    web.prepare(app, Pool(settings.db), Writer(settings.db))
    for module in (background, bodies, requests, symbols, figures, stream):
        module.prepare(app)
    metrics.prepare()
    app.before_request(auth.check)
    readers = (candles, export, gaps, stream, symbols, ticks)
    for module in (auth, *readers, health, metrics, openapi, pages, status):
        app.register_blueprint(module.bp)
    if hops := settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    return app
