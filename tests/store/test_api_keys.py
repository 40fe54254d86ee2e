"""API keys: only digests are stored, and only valid keys are found."""

from pathlib import Path

import pytest

from gfil.errors import BadParameter, NotFound
from gfil.store import api_keys
from gfil.store.engine import connection

NOW = 1_700_000_000
DAY = 86400


def test_key_is_found_by_secret_only(db_path: Path) -> None:
    """The file does not contain the secret in any readable form."""
    db = connection.connect(db_path)
    with connection.transaction(db):
        key, secret = api_keys.create(db, "pump", "write", now=NOW)
    assert api_keys.check(db, secret, now=NOW) == key
    assert secret.startswith(f"gfil_{key.id}_")
    db.close()
    raw = b"".join(path.read_bytes() for path in db_path.parent.glob("gfil.db*"))
    assert secret[14:].encode() not in raw


@pytest.mark.parametrize(
    "change",
    [
        lambda secret: "",
        lambda secret: secret[:-1],
        lambda secret: secret + "A",
        lambda secret: secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        lambda secret: secret.upper(),
        lambda secret: "gfil_zzzzzzzz_" + secret[14:],
        lambda secret: secret + "\n",
        lambda secret: "\ud800" * 57,
    ],
)
def test_wrong_secret_finds_no_key(db_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    """Not even with one character changed."""
    db = connection.connect(db_path)
    with connection.transaction(db):
        _, secret = api_keys.create(db, "pump", "write", now=NOW)
    assert api_keys.check(db, change(secret), now=NOW) is None


def test_key_is_invalid_after_expiry_or_revocation(db_path: Path) -> None:
    """To the second; a second revocation keeps the first time."""
    db = connection.connect(db_path)
    with connection.transaction(db):
        key, secret = api_keys.create(db, "me", "read", now=NOW, expires=NOW + DAY)
    assert api_keys.check(db, secret, now=NOW + DAY - 1) == key
    assert api_keys.check(db, secret, now=NOW + DAY) is None
    for now in (NOW + 5, NOW + 9):
        with connection.transaction(db):
            assert api_keys.revoke(db, key.id, now=now).revoked == NOW + 5
    assert api_keys.check(db, secret, now=NOW + 6) is None
    assert [each.revoked for each in api_keys.list_keys(db)] == [NOW + 5]


def test_scopes_include_narrower_ones(db_path: Path) -> None:
    """read < write < admin."""
    db = connection.connect(db_path)
    with connection.transaction(db):
        keys = [api_keys.create(db, s, s, now=NOW)[0] for s in api_keys.SCOPES]
    assert [[key.allows(scope) for scope in api_keys.SCOPES] for key in keys] == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "", "scope": "read"},
        {"name": " ", "scope": "read"},
        {"name": "x" * 65, "scope": "read"},
        {"name": "a\nb", "scope": "read"},
        {"name": "me", "scope": "root"},
        {"name": "me", "scope": "read", "expires": NOW},
    ],
)
def test_invalid_key_arguments_are_refused(db_path: Path, arguments: dict[str, object]) -> None:
    """No key is created."""
    db = connection.connect(db_path)
    with pytest.raises(BadParameter), connection.transaction(db):
        api_keys.create(db, now=NOW, **arguments)  # type: ignore[arg-type]
    assert api_keys.list_keys(db) == []


def test_revoke_of_unknown_key_is_refused(db_path: Path) -> None:
    """With an error."""
    db = connection.connect(db_path)
    with pytest.raises(NotFound, match="no key 'abcdefgh'"), connection.transaction(db):
        api_keys.revoke(db, "abcdefgh", now=NOW)
