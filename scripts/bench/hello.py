"""The least a Flask application can do: what the chart page is measured against."""

from flask import Flask

app = Flask("hello")


@app.get("/")
def hello() -> str:
    """Say hello."""
    return "hello"
