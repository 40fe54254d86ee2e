"""`/status`: problems, stored ranges, gaps, rates, sizes and maintenance runs."""

import html
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from freezegun import freeze_time

from gfil import create_app
from gfil.config import Settings
from gfil.maintenance import free_space
from gfil.store import hourly_stats, maintenance_runs, symbols
from gfil.store.engine import connection
from gfil.store.hourly_stats import HourlyStat
from gfil.store.retention import backdated_days
from gfil.timeframes import DAY, HOUR, MINUTE, WEEK
from gfil.web.pages import gap_heatmap
from tests.web.conftest import MONDAY
from tests.web.walks import store as write
from tests.web.walks import walk

NOW = MONDAY + 10 * WEEK + 2 * DAY
NOON = "2025-03-12T00:00:20Z"  # NOW
DONE: dict[str, dict[str, Any]] = {
    "prune": {"rows": {"M1": 1440}, "ticks": 60, "days": 2, "left": 3, "bytes": 12e6},
    "backup": {"path": "/var/copies/gfil-20250311T230000Z.db", "bytes": 80_000_000},
    "doctor": {"ok": True, "checks": [{"name": "file", "ok": True, "detail": "sound"}]},
}


@pytest.fixture(scope="module")
def ten_weeks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EURUSD: every minute of ten weeks and two days, except 20 and, a week later, 420."""
    path = tmp_path_factory.mktemp("status") / "gfil.db"
    connection.create(path)
    lost = {
        MONDAY + at * WEEK + n * MINUTE for at, many in ((4, 20), (5, 420)) for n in range(many)
    }
    made = walk("euro", MONDAY, (NOW - MONDAY) // MINUTE)
    write(path, "EURUSD", [row for row in made if row[0] not in lost])
    return path


@pytest.fixture
def minutes(db_path: Path, ten_weeks: Path) -> None:
    """The ten weeks in the database, under a new epoch, so that no cache entry fits."""
    source, target = connection.connect(ten_weeks), connection.connect(db_path)
    with target.backup("main", source, "main") as copying:
        copying.step()
    with connection.transaction(target):
        connection.renew_epoch(target)
    source.close()
    target.close()


def remember(path: Path, ago_s: int = HOUR, **reports: dict[str, Any]) -> None:
    db = connection.connect(path)
    with connection.transaction(db):
        for name, report in {**DONE, **reports}.items():
            maintenance_runs.record_run(db, name, report, now=NOW - ago_s)  # type: ignore[arg-type]
    db.close()


def words(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def read(client: FlaskClient, path: str = "/status") -> str:
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    return answer.text


def problems(text: str) -> list[str]:
    """The headline and the problems."""
    section = text[text.index('class="health') : text.index("</section>")]
    return [words(found) for found in re.findall(r"<h1.*?</h1>|<li>.*?</li>", section, re.DOTALL)]


def part(text: str, name: str) -> str:
    section = text[text.index(f'aria-labelledby="{name}"') :]
    return words(section[section.index(">") + 1 : section.index("</section>")])


@freeze_time(NOON)
def test_empty_database_has_no_problems(client: FlaskClient) -> None:
    text = read(client)
    assert problems(text) == ["No problems; the database is empty"]
    assert part(text, "symbols") == "Stored data No symbols yet. How to start"
    assert part(text, "maintenance") == "Maintenance Prune never Backup never Doctor never"
    assert part(text, "rates").endswith("The counts are updated once a minute.")


@freeze_time(NOON)
def test_current_data_and_nightly_runs_have_no_problems(
    client: FlaskClient, db_path: Path, minutes: None
) -> None:
    remember(db_path)
    text = read(client)
    assert problems(text) == ["No problems"]
    assert part(text, "maintenance") == (
        "Maintenance "
        "Prune 60 min ago : deleted 1,500 rows of 2 days, freed 12.0 MB; "
        "skipped 3 days with rows from the last 48 hours "
        "Backup 60 min ago : gfil-20250311T230000Z.db, 80.0 MB, verified "
        "Doctor 60 min ago : no problems file sound"
    )
    assert "/var/copies" not in text


@freeze_time(NOON)
def test_missing_backup_and_doctor_are_problems_with_a_command(
    client: FlaskClient, minutes: None
) -> None:
    assert problems(read(client)) == [
        "2 problems",
        "There is no backup scripts/gfil backup FOLDER --keep 14",
        "The doctor never checked the database scripts/gfil doctor --quick",
    ]


@freeze_time(NOON)
def test_missed_nightly_runs_are_problems(
    client: FlaskClient, db_path: Path, minutes: None
) -> None:
    remember(db_path, 2 * DAY + 60)
    assert problems(read(client)) == [
        "3 problems",
        "The last backup was made 2 d ago scripts/gfil backup FOLDER --keep 14",
        "The last prune ran 2 d ago scripts/gfil prune",
        "The doctor last checked the database 2 d ago scripts/gfil doctor --quick",
    ]


@freeze_time(NOON)
def test_failed_doctor_checks_are_problems_unless_checked_here(
    client: FlaskClient, db_path: Path, minutes: None
) -> None:
    checks = [
        {"name": "laws", "ok": False, "detail": "2 candles not what the base makes of them: …"},
        {"name": "disk", "ok": False, "detail": "1 MB free"},
        {"name": "backup", "ok": False, "detail": "no backup yet"},
        {"name": "file", "ok": False, "detail": "damaged: `gfil restore /var/copies/a b.db`"},
    ]
    remember(db_path, doctor={"ok": False, "quick": True, "checks": checks})
    text = read(client)
    assert problems(text) == [
        "2 problems",
        "Doctor check laws failed: 2 candles not what the base makes of them: …",
        "Doctor check file failed: damaged: `gfil restore a b.db`",
    ]
    assert "Doctor 60 min ago : problems found (quick check) laws problem: 2" in words(text)


@freeze_time(NOON)
def test_missing_prune_is_a_problem_if_the_doctor_says_so(
    client: FlaskClient, db_path: Path, minutes: None
) -> None:
    checks = [{"name": "prune", "ok": False, "detail": "never done"}]
    db = connection.connect(db_path)
    with connection.transaction(db):
        maintenance_runs.record_run(db, "backup", DONE["backup"], now=NOW)
        maintenance_runs.record_run(db, "doctor", {"ok": False, "checks": checks}, now=NOW)
    assert problems(read(client)) == [
        "1 problem",
        "Data past its retention was never pruned scripts/gfil prune",
    ]
    db.close()


def test_stale_symbol_is_late_and_ended_after_four_weeks(
    client: FlaskClient, db_path: Path, minutes: None
) -> None:
    remember(db_path, -29 * DAY)
    with freeze_time("2025-03-12T03:00:20Z"):
        text = read(client)
        assert problems(text)[1] == "EURUSD is stale: no data for 10 minutes of normal trading"
        assert "EURUSD stale, 3 h ago" in part(text, "symbols")
        assert "1 stale, 0 ended" in words(text)
    with freeze_time("2025-04-10T00:00:20Z"):
        text = read(client)
        assert problems(text) == ["No problems"]
        assert "EURUSD ended, 29 d ago" in part(text, "symbols")


@freeze_time(NOON)
def test_stored_ranges_are_shown_by_timeframe(client: FlaskClient, minutes: None) -> None:
    text = part(read(client), "symbols")
    assert "EURUSD now M1–D1 since 2024-12-30" in text
    assert "M1 2024-12-30 00:00 2025-03-11 23:59 M5 2024-12-30 00:00 2025-03-11 23:55" in text
    assert "H4 2024-12-30 00:00 2025-03-11 20:00 D1 2024-12-30 00:00 2025-03-11 00:00" in text


@freeze_time(NOON)
def test_gap_heatmap_has_a_cell_a_day_and_a_text(client: FlaskClient, minutes: None) -> None:
    """Twelve weeks; the first two have no data."""
    text = read(client)
    paths = dict(re.findall(r'<path class="(\w+)" d="(M[^"]*)"', text))
    # The week of NOW is the last of twelve; MONDAY's is the second, for NOW is a Wednesday.
    first, some, most = 30, 30 * 5, 30 * 6
    assert paths["whole"].startswith(f"M{first} 14v-14h3v14zM{first + 4} 14")
    assert paths["whole"].count("M") == 10 * 7 + 2
    assert (paths["some"], paths["most"]) == (f"M{some} 14v-5h3v5z", f"M{most} 14v-14h3v14z")
    assert "2 gaps, 7 h 20 min; the longest 7 h, 2025-02-03" in words(text)


@freeze_time(NOON)
def test_symbol_status_lists_gaps_newest_first(client: FlaskClient, minutes: None) -> None:
    text = read(client, "/status/eurusd")
    assert "2025-02-03 00:00 2025-02-03 07:00 7 h 2025-01-27 00:00 2025-01-27 00:20 20 min" in (
        part(text, "gaps")
    )
    assert part(text, "retention").startswith(
        "Retention ticks 7d, M1 3months, everything else for ever."
    )


def test_gap_heatmap_is_cached_for_five_minutes(client: FlaskClient, minutes: None) -> None:
    with freeze_time(NOON):
        read(client)
        before = dict(gap_heatmap._cache)
        read(client)
        assert gap_heatmap._cache == before
    with freeze_time("2025-03-12T00:06:20Z"):
        assert "3 gaps" in words(read(client))


@freeze_time(NOON)
def test_heatmaps_beyond_the_time_limit_are_left_to_the_script(
    client: FlaskClient, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gfil.web.pages.status.HEATMAPS_S", -1)
    write(db_path, "A#B", walk("ab", MONDAY, 60))
    assert 'data-heatmap-page="/status/A%23B"></span>' in read(client)
    assert client.get("/status/A%23B").text.count('class="heatmap"') == 1


@freeze_time(NOON)
def test_backdated_days_past_their_retention_are_shown(
    client: FlaskClient, db_path: Path, minutes: None
) -> None:
    db = connection.connect(db_path)
    euro = symbols.read(db, "EURUSD")
    days = [MONDAY - 400 * DAY, MONDAY - 399 * DAY, NOW - DAY]
    with connection.transaction(db):
        backdated_days.record_days(db, euro, "M1", days, [], NOW)
    db.close()
    text = read(client)
    assert part(text, "maintenance").endswith(
        "Backdated 2 days of EURUSD: past retention when first written, so prune keeps them"
    )
    assert (
        "2 backdated days of M1, 2023-11-26 to 2023-11-27: past retention when first written, "
        "so prune keeps them. To delete: scripts/gfil prune --imported"
    ) in part(text, "symbols")


@freeze_time(NOON)
def test_rates_and_latencies_come_from_hourly_stats(client: FlaskClient, db_path: Path) -> None:
    db = connection.connect(db_path)
    hour, took = NOW // HOUR * HOUR, hourly_stats.bucket_of(0.01)
    kept = [
        HourlyStat(hour - HOUR, "ticks", "took", took, 4),
        HourlyStat(hour - HOUR, "ticks", "inserted", 0, 1200),
        HourlyStat(hour - HOUR, "ticks", "future", 0, 3),
        HourlyStat(hour - 3 * DAY, "ticks", "took", took, 96),
    ]
    with connection.transaction(db):
        hourly_stats.add(db, kept)
    db.close()
    text = part(read(client), "rates")
    assert "Last hour ticks 4 0.00111 1,200 0.333 10.6 11.5 11.6 ticks rejected: 3 future" in text
    assert "Last 7 days ticks 100 " in text


@pytest.mark.parametrize(("days", "told"), [(1.5, None), (10, "Disk full in 90 days")])
@freeze_time(NOON)
def test_days_until_disk_full_need_two_days_of_sizes(
    client: FlaskClient,
    db_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    days: float,
    told: str | None,
) -> None:
    size = db_path.stat().st_size
    monkeypatch.setattr(free_space, "read_free_bytes", lambda path: 256_000_000 + 9 * size)
    sizes = [[NOW - int(days * DAY), 0]]
    remember(db_path, doctor={**DONE["doctor"], "sizes": sizes})
    found = re.search(r"Disk full in [\d,]+ days?", words(read(client)))
    assert (found and found[0]) == told


@freeze_time(NOON)
def test_full_or_nearly_full_disk_is_a_problem(
    client: FlaskClient, db_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = db_path.stat().st_size
    remember(db_path, doctor={**DONE["doctor"], "sizes": [[NOW - 4 * DAY, 0]]})
    monkeypatch.setattr(free_space, "read_free_bytes", lambda path: 256_000_000 + size)
    assert problems(read(client))[1:] == ["The disk is full in 4 days"]
    monkeypatch.setattr(free_space, "read_free_bytes", lambda path: 1_000_000)
    assert problems(read(client))[1:] == [
        "The disk is nearly full: uploads are refused until 256 MB are free"
    ]


def test_status_is_counted_as_a_page(settings: Settings) -> None:
    app = create_app(settings)
    app.test_client().get("/status")
    assert {kind for _, kind, _, _ in app.extensions["hourly_stats"]._counts} == {"pages"}


def test_status_of_unknown_symbol_is_an_error_page(client: FlaskClient) -> None:
    answer = client.get("/status/NOPE")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "unknown symbol 'NOPE'" in words(answer.text)
