"""Error classes: status, exit status, fields and sentences."""

from pathlib import Path

import pytest

from gfil import errors
from gfil.errors import GfilError, Option


def kinds(kind: type[GfilError] = GfilError) -> list[type[GfilError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in kinds(child))]


HERE = [kind for kind in kinds() if kind.__module__ == errors.__name__]


@pytest.mark.parametrize(
    ("error", "status", "exit_status", "slug", "detail"),
    [
        (errors.BadRequest("cut short"), 400, 1, "bad_request", "cut short"),
        (errors.BadParameter("limit is 0"), 400, 2, "bad_parameter", "limit is 0"),
        (errors.Unauthorized("no such key"), 401, 1, "unauthorized", "no such key"),
        (errors.Forbidden("needs admin"), 403, 1, "forbidden", "needs admin"),
        (errors.NotFound("no such page"), 404, 1, "not_found", "no such page"),
        (errors.SymbolUnknown("XAU"), 404, 1, "symbol_unknown", "unknown symbol 'XAU'"),
        (errors.Conflict("XAU is taken"), 409, 1, "conflict", "XAU is taken"),
        (errors.TooLarge("over 2 MB"), 413, 1, "too_large", "over 2 MB"),
        (errors.Refused("3 bad rows"), 422, 1, "refused", "3 bad rows"),
        (errors.NotReady(["no room", "slow"]), 503, 1, "not_ready", "no room; slow"),
        (errors.Busy(), 503, 1, "busy", "the database is busy"),
        (errors.DiskFull(), 507, 1, "disk_full", "the disk is full: nothing was stored"),
        (
            errors.NoDatabase(Path("/x/gfil.db")),
            503,
            1,
            "database",
            "no database at /x/gfil.db: `scripts/gfil init` makes one, GFIL_DB names another",
        ),
        (
            errors.ForeignDatabase(Path("/x/a.db"), "it is newer"),
            503,
            1,
            "database",
            "cannot use the database /x/a.db: it is newer",
        ),
        (
            errors.DatabaseError(None, "disk I/O error"),
            503,
            1,
            "database",
            "cannot use the database: disk I/O error",
        ),
        (errors.ConfigError("GFIL_X is bad"), 500, 1, "bad_setting", "GFIL_X is bad"),
    ],
)
def test_error_has_status_exit_status_and_detail(
    error: GfilError, status: int, exit_status: int, slug: str, detail: str
) -> None:
    said = (error.status, error.exit_status, error.type, error.detail)
    assert said == (status, exit_status, slug, detail)


@pytest.mark.parametrize("kind", HERE)
def test_every_error_class_has_a_title_and_a_type(kind: type[GfilError]) -> None:
    assert kind.title == kind.title.strip() != ""
    assert kind.type.replace("_", "").isalpha()
    assert kind.type.islower()


@pytest.mark.parametrize("kind", HERE)
def test_no_error_of_a_client_is_a_500(kind: type[GfilError]) -> None:
    by_design = {GfilError, errors.ConfigError}
    assert (
        kind.status in {400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507}
        or kind in by_design
    )


def test_errors_carry_their_fields() -> None:
    assert errors.SymbolUnknown("XAU").symbol == "XAU"
    assert errors.Busy("an import runs", retry_after_s=5).retry_after_s == 5
    assert errors.NoDatabase(Path("/x")).path == Path("/x")
    assert errors.Refused("no", {"rejected": 3}).extra == {"rejected": 3}
    assert errors.Refused("no").extra == {}
    assert errors.BadRequest("no").extra == {}


def test_sentence_names_options_for_each_front_end() -> None:
    error = errors.BadParameter(("rows are 1 day apart; ", Option("force_tf"), " takes --x-y"))
    assert error.detail == str(error) == "rows are 1 day apart; force_tf takes --x-y"
    assert error.line == "rows are 1 day apart; --force-tf takes --x-y"
    assert (error.options, error.extra) == (("force_tf",), {"parameter": "force_tf"})
    error.append("; 3 rows before are stored")
    assert error.line.endswith("takes --x-y; 3 rows before are stored")
    assert str(error) == error.detail


def test_long_symbol_is_shortened_in_the_sentence() -> None:
    assert errors.SymbolUnknown("X" * 10_000).detail == f"unknown symbol {'X' * 64!r}"
