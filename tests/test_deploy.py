"""Tests of scripts/deploy/: named files exist, and systemd, nginx and Caddy accept the files."""

import argparse
import re
import runpy
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click
import orjson
import pytest

from gfil import config
from gfil.cli import cli
from gfil.config import ROOT
from gfil.server import gunicorn_conf
from gfil.store import api_keys
from gfil.store.engine import connection
from tests.conftest import Server, clean_environment, wait_for

DEPLOY = ROOT / "scripts" / "deploy"
HOME = "/opt/gfil"
BACKUPS = "/var/backups/gfil"
OF_OTHERS = {"MALLOC_ARENA_MAX"}  # read by glibc
MIGRATING = (ROOT / "docs" / "migrating.md").read_text("utf-8")


def unit() -> dict[str, list[str]]:
    """Lines of the service file by name."""
    lines: dict[str, list[str]] = {}
    for line in (DEPLOY / "gfil.service").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            lines.setdefault(name, []).append(value)
    return lines


def cron_lines() -> list[list[str]]:
    """Cron jobs: minute, hour, day, month, weekday, user and command."""
    lines = (DEPLOY / "gfil.cron").read_text().splitlines()
    return [line.split(maxsplit=6) for line in lines if re.match("[0-9*]", line)]


def evening() -> list[str]:
    """Commands of the migration in docs/migrating.md."""
    section = MIGRATING.partition("The evening of the move")[2]
    block = section.partition("```\n")[2].partition("```")[0]
    return [line.partition(" # ")[0].strip() for line in block.splitlines() if line.strip()]


def check_usage(words: list[str]) -> str:
    """Parse the arguments of `gfil` without running anything; return the command's path."""
    context = click.Context(cli, info_name="gfil")
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert name is not None
        assert found is not None
        command, context = found, click.Context(found, context, info_name=name)
    command.make_context(context.info_name, words, parent=context.parent)
    return context.command_path.removeprefix("gfil ")


def needs(program: str) -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def run(*words: str | Path, **extra: object) -> subprocess.CompletedProcess[str]:
    """Run a program; stdout and stderr are one text."""
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "timeout": 60, **extra}
    return subprocess.run([*map(str, words)], text=True, **both)  # type: ignore[call-overload,no-any-return]


# The service


def test_service_names_existing_settings_only() -> None:
    names = {line.partition("=")[0] for line in unit()["Environment"]}
    assert names - OF_OTHERS <= {setting.name for setting in config.SETTINGS}


def test_service_starts_the_server_of_the_checkout() -> None:
    [before], [start] = unit()["ExecStartPre"], unit()["ExecStart"]
    script, *words = shlex.split(before.replace(HOME, str(ROOT)))
    assert Path(script).stat().st_mode & 0o111
    assert check_usage(words) == "init"
    assert shlex.split(start) == [
        f"{HOME}/.venv/bin/gunicorn",
        *("-c", "python:gfil.server.gunicorn_conf", "--bind", "127.0.0.1:8000", "wsgi:app"),
    ]
    assert unit()["WorkingDirectory"] == [HOME]
    data = (Path(HOME) / config.read({}, Path(HOME)).db).parent
    assert unit()["ReadWritePaths"] == unit()["RequiresMountsFor"] == [str(data)]


def test_service_allows_time_to_drain_and_enough_files() -> None:
    assert gunicorn_conf.graceful_timeout <= 25 < int(unit()["TimeoutStopSec"][0])
    files = (
        gunicorn_conf.worker_connections
        + gunicorn_conf.THREAD_FILES * gunicorn_conf.threads
        + gunicorn_conf.WORKER_FILES
    )
    assert files < int(unit()["LimitNOFILE"][0])


def test_service_passes_the_checks_of_systemd(tmp_path: Path) -> None:
    program = needs("systemd-analyze")
    there = tmp_path / "gfil.service"
    text = (DEPLOY / "gfil.service").read_text()
    for path in (f"{HOME}/.venv/bin/gunicorn", f"{HOME}/scripts/gfil"):
        assert path in text
        text = text.replace(path, "/bin/true")
    there.write_text(text)
    verified = run(program, "verify", there)
    assert (verified.returncode, verified.stdout) == (0, "")
    judged = run(program, "security", "--offline=yes", "--threshold=20", there)
    assert judged.returncode == 0, judged.stdout


def test_service_reports_ready_needs_a_key_and_stops(
    db_path: Path,
) -> None:
    words = shlex.split(unit()["ExecStart"][0].replace("127.0.0.1:8000", "127.0.0.1:0"))
    place = db_path.with_name("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(place))
        told.settimeout(30)
        server = subprocess.Popen(
            [Path(sys.executable).with_name("gunicorn"), *words[1:]],
            cwd=ROOT,
            env=clean_environment(GFIL_DB=str(db_path), NOTIFY_SOCKET=str(place)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            assert told.recv(1000).startswith(b"READY=1\n")
            assert server.stdout is not None
            url = re.search(r"http://\S+", server.stdout.readline().decode())
            assert url is not None
            asked = run(needs("curl"), "-s", f"{url[0]}/api/v1/symbols", "-w", " %{http_code}")
            assert asked.stdout.endswith(" 401")
            server.send_signal(signal.SIGTERM)
            assert server.wait(int(unit()["TimeoutStopSec"][0])) == 0
        finally:
            server.kill()
            server.communicate()


# The nightly jobs


def test_nightly_jobs_run_prune_backup_and_doctor_in_order() -> None:
    named, times = [], []
    for minute, hour, *days, user, command in cron_lines():
        [(words, log)] = re.findall(r"date; scripts/gfil ([^;]*); } >>(\S+) 2>&1 \|\|", command)
        named.append(check_usage(shlex.split(words)))
        times.append((int(hour), int(minute)))
        assert (days, user, log) == (["*"] * 3, unit()["User"][0], "data/cron.log")
        assert command.startswith(f"cd {HOME} && ")
        assert "%" not in command  # cron replaces it with a newline
    assert named == ["prune", "backup", "doctor"]
    assert times == sorted(times)


def run_night(home: Path, command: str) -> str:
    """Run a cron job in a temporary checkout; return the text that cron would mail."""
    (home / "scripts").mkdir(exist_ok=True)
    script = home / "scripts" / "gfil"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m gfil "$@"\n')
    script.chmod(0o755)
    command = command.replace(HOME, str(home)).replace(BACKUPS, str(home / "backups"))
    environment = {"GFIL_DB": str(home / "data/gfil.db"), "PYTHONPATH": str(ROOT)}
    clean = ["-i", "HOME=/", "PATH=/usr/bin:/bin", *(f"{a}={b}" for a, b in environment.items())]
    return run("env", *clean, "/bin/sh", "-c", command, cwd="/").stdout


def test_nightly_output_is_logged_and_only_failures_are_mailed(tmp_path: Path) -> None:
    connection.create(tmp_path / "data" / "gfil.db")
    prune, backup, doctor = (line[-1] for line in cron_lines())
    log = tmp_path / "data" / "cron.log"
    assert run_night(tmp_path, prune) == ""
    assert "0 days pruned" in log.read_text()
    mailed = run_night(tmp_path, backup)
    assert "gfil: --keep needs a folder of backups" in mailed
    (tmp_path / "backups").mkdir()
    assert run_night(tmp_path, backup) == ""
    assert len([*(tmp_path / "backups").iterdir()]) == 1
    assert mailed in log.read_text()
    mailed = run_night(tmp_path, doctor)
    assert ("WRONG" in log.read_text()) == bool(mailed)
    assert "backup" in log.read_text().splitlines()[-6]


# The proxies


def test_proxies_forward_to_the_address_of_the_service() -> None:
    nginx, caddy = (DEPLOY / "nginx.conf").read_text(), (DEPLOY / "Caddyfile").read_text()
    bind = shlex.split(unit()["ExecStart"][0])[4]
    assert f"server {bind};" in nginx
    assert f"reverse_proxy {bind} " in caddy
    upload_mb = config.read({}, ROOT / "tests").max_upload_mb
    assert f"client_max_body_size {upload_mb}m;" in nginx
    assert f"max_size {upload_mb}MB" in caddy
    idle = [*re.findall(r"keepalive_timeout (\d+)s", nginx), *re.findall(r"e (\d+)s", caddy)]
    assert all(int(seconds) < gunicorn_conf.keepalive for seconds in idle)


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Self-signed certificate and its key."""
    made, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = shlex.split("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=charts.example.com")
    done = run(needs("openssl"), *words, "-keyout", key, "-out", made)
    assert done.returncode == 0, done.stdout
    return made, key


def nginx_words(folder: Path, certificate: tuple[Path, Path], server: str, port: int) -> list[str]:
    """Command that starts nginx with the shipped file, on free ports in its own folder."""
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in (
        ("/etc/letsencrypt/live/charts.example.com/fullchain.pem", str(certificate[0])),
        ("/etc/letsencrypt/live/charts.example.com/privkey.pem", str(certificate[1])),
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8000", server),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "gfil.conf").write_text(re.sub(r"listen \[::\].*", "", text))
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {folder}/{name}; " for name in places)
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/error.log; daemon off; events {{}}\n"
        f"http {{ access_log off; gzip on; {temporary} include {folder}/gfil.conf; }}\n"
    )
    return [needs("nginx"), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def test_nginx_accepts_its_file(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    words = nginx_words(tmp_path, certificate, "127.0.0.1:8000", free_port())
    assert "test is successful" in run(*words, "-t").stdout


def test_nginx_gzips_once_keeps_logins_secure_and_streams(
    tmp_path: Path, certificate: tuple[Path, Path], server: Callable[..., Server]
) -> None:
    behind = server(GFIL_PROXIES="1", GFIL_READ="key")
    port = free_port()
    words = nginx_words(tmp_path, certificate, urlsplit(behind.url).netloc, port)
    db = connection.connect(behind.db)
    with connection.transaction(db):
        key = api_keys.create(db, "writer", "write", now=int(time.time()))[1]
    db.close()
    url, log = f"https://charts.example.com:{port}", tmp_path / "curl.log"
    base = [needs("curl"), "-sk", "--resolve", f"charts.example.com:{port}:127.0.0.1"]
    keyed = [*base, "-H", f"X-API-Key: {key}"]
    nginx = subprocess.Popen(words)
    viewer = None
    try:
        wait_for(lambda: run(*base, f"{url}/healthz").stdout, "nginx's first answer")
        tick = {"symbol": "XAUUSD", "time_msc": int(time.time() * 1000), "bid": 1.5, "ask": 1.6}
        send = [*keyed, f"{url}/api/v1/ticks", "-d", orjson.dumps({"ticks": [tick]}).decode()]
        assert '"inserted":1' in run(*send).stdout
        viewer = subprocess.Popen(
            [*keyed, "-N", "-o", log, f"{url}/api/v1/stream?sub=XAUUSD,M1"],
        )
        wait_for(lambda: log.exists() and b"heartbeat" in log.read_bytes(), "the stream")
        assert '"inserted":1' in run(*send[:-1], send[-1].replace("1.5", "1.55")).stdout
        wait_for(lambda: b"event: candle" in log.read_bytes(), "the event, while it goes on")
        assert viewer.poll() is None
        page = run(*keyed, "--compressed", "-D", "-", f"{url}/chart/XAUUSD").stdout
        assert page.lower().count("content-encoding: gzip") == 1
        assert "</html>" in page
        told = run(*base, "-D", "-", "-H", f"Origin: {url}", "-d", f"key={key}", f"{url}/login")
        assert re.search("set-cookie: gfil_key=.*; Secure", told.stdout)
    finally:
        for process in filter(None, (viewer, nginx)):
            process.terminate()
            process.wait(30)


def test_caddy_accepts_its_file(tmp_path: Path) -> None:
    words = [needs("caddy"), "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile"]
    environment = {**clean_environment(), "HOME": str(tmp_path)}
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        environment[name] = str(tmp_path)
    done = run(*words, env=environment)
    assert done.returncode == 0, done.stdout
    assert "not formatted" not in done.stdout


# The documents


def test_migration_in_the_documents_uses_existing_commands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = []
    for line in evening():
        words = shlex.split(line)
        if words[:3] == ["sudo", "-u", "gfil"]:
            assert words[3] == "scripts/gfil"
            named.append(check_usage(words[4:]))
        elif words[0] == "python":
            monkeypatch.setattr(sys, "argv", words[1:])
            pump = runpy.run_path(str(ROOT / "scripts" / words[1]))
            assert isinstance(pump["parse_options"](), argparse.Namespace)
            named.append(words[1])
        else:
            named.append(" ".join(words))
    assert named == [
        *("migrate", "migrate", "key create", "sudo systemctl enable --now gfil"),
        *("mt5_pump.py", "backup", "sudo cp scripts/deploy/gfil.cron /etc/cron.d/gfil", "doctor"),
    ]
