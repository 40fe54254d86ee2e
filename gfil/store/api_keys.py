"""API keys and their scopes: read, write, admin."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import apsw

from gfil.errors import BadParameter, NotFound
from gfil.store.engine import connection
from gfil.timeframes import DAY

SCOPES = ("read", "write", "admin")  # each includes those before it
NAME_LENGTH_MAX = 64
SECRET_BYTES = 32
ID_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
KEY = re.compile(r"gfil_([a-z2-9]{8})_[A-Za-z0-9_-]{43}")


class ApiKey(NamedTuple):
    """An API key without its secret. Times are UNIX seconds; `last_used` is the start of a day."""

    id: str
    name: str
    scope: str
    created: int
    expires: int | None
    revoked: int | None
    last_used: int | None

    def is_valid(self, now: float) -> bool:
        """Return whether the key is neither revoked nor expired."""
        return self.revoked is None and (self.expires is None or now < self.expires)

    def allows(self, scope: str) -> bool:
        """Return whether the key's scope includes `scope`."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


CREATE = """
INSERT INTO api_key (id, name, scope, digest, created, expires)
VALUES (:id, :name, :scope, :digest, :created, :expires)
"""


def create(
    db: apsw.Connection, name: str, scope: str, *, now: int, expires: int | None = None
) -> tuple[ApiKey, str]:
    """Create a key; return it and its secret, which is not stored. Inside a transaction.

    Raises:
        BadParameter: the name is blank or too long, the scope unknown, or the expiry in the past.
    """
    if not 1 <= len(name.strip()) <= NAME_LENGTH_MAX or not name.isprintable():
        raise BadParameter(f"a key's name has 1 to {NAME_LENGTH_MAX} printable characters")
    if scope not in SCOPES:
        raise BadParameter(f"scope must be one of {' '.join(SCOPES)}")
    if expires is not None and expires <= now:
        raise BadParameter("a key cannot expire before it is created")
    key_id = "".join(secrets.choice(ID_ALPHABET) for _ in range(8))
    random = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).decode().rstrip("=")
    secret = f"gfil_{key_id}_{random}"
    key = ApiKey(key_id, name.strip(), scope, now, expires, None, None)
    db.execute(CREATE, key._asdict() | {"digest": _digest(secret)})
    return key, secret


LIST = """
SELECT id, name, scope, created, expires, revoked, last_used
FROM api_key
ORDER BY created, id
"""


def list_keys(db: apsw.Connection) -> Sequence[ApiKey]:
    """Return all keys, also revoked and expired ones, the oldest first."""
    return [ApiKey(*row) for row in connection.query_all(db, LIST)]


REVOKE = "UPDATE api_key SET revoked = :now WHERE id = :id AND revoked IS NULL"


def revoke(db: apsw.Connection, key_id: str, *, now: int) -> ApiKey:
    """Revoke a key; a revoked key stays as it is. Inside a transaction.

    Raises:
        NotFound: no key has this id.
    """
    db.execute(REVOKE, {"id": key_id, "now": now})
    key = find(db, key_id)
    if key is None:
        raise NotFound(f"no key {key_id[:32]!r}")
    return key


FIND = """
SELECT id, name, scope, created, expires, revoked, last_used, digest
FROM api_key
WHERE id = :id
"""


def find(db: apsw.Connection, key_id: str) -> ApiKey | None:
    """Return a key by its id, valid or not."""
    row = connection.query_one(db, FIND, {"id": key_id})
    return ApiKey(*row[:-1]) if row else None


def check(db: apsw.Connection, secret: str, *, now: float) -> ApiKey | None:
    """Return the valid key of a secret, or None."""
    match = KEY.fullmatch(secret)
    row = connection.query_one(db, FIND, {"id": match[1]}) if match else None
    if row is None or not hmac.compare_digest(row[-1], _digest(secret)):
        return None
    key = ApiKey(*row[:-1])
    return key if key.is_valid(now) else None


MARK_USED = "UPDATE api_key SET last_used = :day WHERE id = :id"


def mark_used(db: apsw.Connection, key: ApiKey, *, now: float) -> None:
    """Store the day of a key's last use; inside a transaction."""
    db.execute(MARK_USED, {"id": key.id, "day": used_on(now)})


def used_on(now: float) -> int:
    """Return the day of an instant, as its first second."""
    return int(now) // DAY * DAY


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
