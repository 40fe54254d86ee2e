"""Minimal Flask application that the chart page is compared with."""

from flask import Flask

app = Flask("hello")


@app.get("/")
def hello() -> str:
    """Return a constant text."""
    return "hello"
