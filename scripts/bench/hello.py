"""The smallest Flask application: the benchmark compares the chart page with it."""

from flask import Flask

app = Flask("hello")


@app.get("/")
def hello() -> str:
    """Answer hello."""
    return "hello"
