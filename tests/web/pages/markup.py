"""The texts of a page as a reader sees them, and its inline JSON."""

import html
import json
import re

from flask.testing import FlaskClient


def text_of(client: FlaskClient, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status
    assert answer.content_type == "text/html; charset=utf-8"
    return answer.text


def block(text: str, name: str) -> object:
    found = re.search(
        rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL
    )
    assert found
    return json.loads(found[1])


def words(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def rows_of(text: str) -> list[str]:
    body = text[text.index("<tbody>") : text.index("</tbody>")]
    return [words(row) for row in body.split("</tr>") if words(row)]
