"""Creates .venv and installs requirements files into it: `set_up.py ROOT FILE…`."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path


def set_up(root: Path, names: list[str]) -> None:
    """Install changed requirements files into `.venv` of `root`, one process at a time."""
    lock = os.open(root / "scripts", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases the lock when the process ends
    venv = root / ".venv"
    stamps = venv / "installed"
    texts = {name: (root / name).read_text() for name in names}
    works = _works(venv)
    if works and all(_read(stamps / name) == text for name, text in texts.items()):
        return
    print("Installing what changed…" if works else "Setting up (first run)…", file=sys.stderr)
    if not works:
        shutil.rmtree(venv, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(venv)], root, "make .venv")
    files = [word for name in names for word in ("-r", str(root / name))]
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    _run([*pip, "--no-input", *files], root, f"install {' and '.join(names)}")
    stamps.mkdir(exist_ok=True)
    for name, text in texts.items():
        (stamps / name).write_text(text)


def _works(venv: Path) -> bool:
    check = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    python = venv / "bin" / "python"
    return (
        python.exists()
        and not subprocess.run([python, "-c", check], capture_output=True).returncode
    )


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def _run(command: list[str], root: Path, action: str) -> None:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")]
        reason = (errors or lines or ["no error message"])[-1]
        sys.exit(f"gfil: could not {action}: {reason}")


if __name__ == "__main__":
    set_up(Path(sys.argv[1]), sys.argv[2:])
