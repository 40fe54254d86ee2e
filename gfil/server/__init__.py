"""The gunicorn server: its settings and its worker class."""
