"""WSGI entry point: `app`."""

from gfil import create_app

app = create_app()
