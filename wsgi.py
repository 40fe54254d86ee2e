"""What a WSGI server runs: `app`."""

from gfil import create_app

app = create_app()
