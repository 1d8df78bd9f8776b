"""Progress: plain lines in a file, and a live view on a terminal of its own (a pty)."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from buildtasks.progress import Lines, shown

ROOT = Path(__file__).resolve().parents[1]


def test_lines() -> None:
    stream = io.StringIO()
    with shown(stream) as view:
        assert isinstance(view, Lines)
        view.started("web")
        view.step("web", "[1/2] RUN make")
        view.ended("web", "built")
        view.ended("api", "failed")
    assert re.fullmatch(r"web: started\nweb: built \(\d\.\d s\)\napi: failed \(0\.0 s\)\n", stream.getvalue())


def test_lines_of_many_threads_stay_whole() -> None:
    stream = io.StringIO()
    names = [f"service-{number}" for number in range(50)]
    with shown(stream) as view, ThreadPoolExecutor(8) as pool:
        list(pool.map(view.started, names))
        list(pool.map(lambda name: view.ended(name, "built"), names))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 100
    assert {line for line in lines if line.endswith(": started")} == {f"{name}: started" for name in names}


def test_standard_error_is_where_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    with shown() as view:
        view.started("web")
    assert capsys.readouterr() == ("", "web: started\n")


SCRIPT = """\
import sys, time
from concurrent.futures import ThreadPoolExecutor
from buildtasks.progress import shown
with shown() as view, ThreadPoolExecutor(2) as pool:
    names = ["web", "api"]
    list(pool.map(view.started, names))
    for text in ("[2/4] RUN make", "[build 3/4] [bold]RUN[/bold] {x} [/]", "[linux/arm64 4/4] COPY a b"):
        list(pool.map(lambda name: view.step(name, text), names))
        time.sleep(0.25)
    view.ended("web", "built")
    view.ended("api", "failed")
print("after", file=sys.stderr)
"""


def on_a_terminal(env: Mapping[str, str]) -> tuple[int, str]:
    """Run the script on a pty; return its exit code and all that it wrote there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-W", "error", "-c", SCRIPT], {**env, "PYTHONPATH": str(ROOT)})
    written = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), written.decode()


PLAIN = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}], ids=["colour", "no-colour"])
def test_the_live_view_on_a_terminal(env: dict[str, str]) -> None:
    code, written = on_a_terminal({**PLAIN, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", **env})
    assert code == 0, written
    assert "Traceback" not in written
    text = ESCAPES.sub("", written).replace("\r", "\n")
    for step in ("[2/4] RUN make", "[build 3/4] [bold]RUN[/bold] {x} [/]", "[linux/arm64 4/4] COPY a b"):
        assert step in text
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert lines[-1] == ["after"]
    last = lines[-3:-1]
    assert [(line[0], line[-1]) for line in last] == [("web", "built"), ("api", "failed")]
    assert all(re.fullmatch(r"\d:\d\d:\d\d", line[1]) for line in last)
    if env:
        assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", written)


def test_a_dumb_terminal_gets_lines() -> None:
    code, written = on_a_terminal({**PLAIN, "TERM": "dumb"})
    assert code == 0
    assert "\x1b" not in written
    assert written.replace("\r\n", "\n").startswith("web: started\n") or "api: started" in written
    assert "web: built (" in written
