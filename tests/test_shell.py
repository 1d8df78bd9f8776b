"""The door to other programs: real commands through a real Context."""

from __future__ import annotations

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Scratch
from hypothesis import given
from hypothesis import strategies as st
from invoke.context import Context
from invoked import LEAVES_PIPES, context
from invoked import collected as collected

from buildtasks import shell
from buildtasks.errors import CommandFailed

pytestmark = LEAVES_PIPES

PRINT = (sys.executable, "-c", "import sys; sys.stdout.write(repr(sys.argv[1:]))")


@pytest.fixture
def c(tmp_path: Path) -> Context:
    return context(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["two words", " ", ""], id="blanks"),
        pytest.param(["$HOME", "${HOME}", "$(id)", "`id`"], id="variables"),
        pytest.param(["it's", '"', "\\", "'\"'"], id="quotes"),
        pytest.param(["a\nb", "\t"], id="lines"),
        pytest.param(["grüße", "日本", "🐳"], id="unicode"),
        pytest.param(["*", "?", "~", "{a,b}", "#", "!", "&&", ";", "|", ">x", "-n", "--"], id="signs"),
    ],
)
def test_words_arrive_as_they_are(c: Context, words: list[str]) -> None:
    assert shell.read(c, [*PRINT, *words]).stdout == repr(words)
    assert shell.run(c, [*PRINT, *words], log=shell.NOWHERE).stdout == repr(words)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8), max_size=4))
def test_any_words_are_told_so_that_a_shell_reads_them_back(words: list[str]) -> None:
    import shlex

    assert shlex.split(str(CommandFailed(["x", *words], 1)).removesuffix(": exit code 1"))[1:] == words


def test_read_hides_and_returns_everything(c: Context, capfd: pytest.CaptureFixture[str]) -> None:
    answer = shell.read(c, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (answer.exited, answer.stdout, answer.stderr, answer.ok) == (3, "out\n", "err\n", False)
    assert shell.read(c, ["true"]).ok
    assert capfd.readouterr() == ("", "")


def test_read_says_nothing_even_when_asked_to_echo(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert shell.read(context(tmp_path, echo=True, pty=True), ["echo", "a"]).stdout == "a\n"
    assert capfd.readouterr() == ("", "")


def test_a_dry_run_reads_and_only_tells_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = context(tmp_path, dry=True)
    assert shell.dry(dry)
    assert shell.read(dry, ["echo", "asked"]).stdout == "asked\n"
    answer = shell.run(dry, ["touch", "made here"], cwd=tmp_path)
    assert (answer.exited, answer.stdout) == (0, "")
    assert not (tmp_path / "made here").exists()
    assert "touch 'made here'" in capsys.readouterr().out


def test_a_dry_run_writes_no_log(tmp_path: Path) -> None:
    log = io.StringIO()
    shell.run(context(tmp_path, dry=True), ["touch", "x"], cwd=tmp_path, log=log)
    assert log.getvalue() == ""
    assert not (tmp_path / "x").exists()


def test_secrets_go_by_environment_and_are_not_echoed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    c = context(tmp_path, echo=True)
    command = ["sh", "-c", 'test "$TOKEN" = hunter2 && echo ok']
    assert shell.run(c, command, env={"TOKEN": "hunter2"}).stdout == "ok\n"
    out, err = capfd.readouterr()
    assert "TOKEN" in out
    assert "hunter2" not in out.replace(command[2], "").replace('"$TOKEN" = hunter2', "") + err
    with pytest.raises(CommandFailed) as caught:
        shell.run(c, ["sh", "-c", "exit 1"], env={"TOKEN": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_the_environment_is_added_to_what_is_there(tmp_path: Path) -> None:
    c = context(tmp_path, env={"FROM_CONFIG": "1", "BOTH": "config"})
    told = "$FROM_CONFIG $BOTH $OURS ${PATH:+path}"
    for verb in (shell.read, shell.run):
        answer = verb(c, ["sh", "-c", f'echo "{told}"'], env={"OURS": "2", "BOTH": "ours"})
        assert answer.stdout == "1 ours 2 path\n"
    assert shell.read(c, ["sh", "-c", 'echo "$FROM_CONFIG $BOTH"']).stdout == "1 config\n"


def test_a_folder_with_odd_name_and_threads(c: Context, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("it's $HOME", "-dash", "b c")]
    for folder in folders:
        folder.mkdir()
    before = Path.cwd()
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda folder: shell.read(c, ["pwd"], cwd=folder).stdout, folders))
    assert found == [f"{folder}\n" for folder in folders]
    assert Path.cwd() == before


def test_a_folder_that_is_not_there_runs_nothing(c: Context, tmp_path: Path) -> None:
    assert not shell.read(c, ["touch", os.fspath(tmp_path / "x")], cwd=tmp_path / "gone").ok
    assert not (tmp_path / "x").exists()


def test_the_log_takes_the_command_and_both_streams(c: Context, capfd: pytest.CaptureFixture[str]) -> None:
    log = io.StringIO()
    shell.run(c, ["sh", "-c", "echo out; sleep 0.2; echo err >&2"], log=log)
    assert log.getvalue() == "$ sh -c 'echo out; sleep 0.2; echo err >&2'\nout\nerr\n"
    assert capfd.readouterr() == ("", "")


def test_without_a_log_output_is_seen(c: Context, capfd: pytest.CaptureFixture[str]) -> None:
    shell.run(c, ["sh", "-c", "echo out; echo err >&2"])
    assert capfd.readouterr() == ("out\n", "err\n")


def test_a_failure_tells_command_code_last_lines_and_hint(c: Context) -> None:
    script = "for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 9"
    with pytest.raises(CommandFailed) as caught:
        shell.run(c, ["sh", "-c", script], log=shell.NOWHERE, hint="try again")
    lines = str(caught.value).splitlines()
    assert lines == [f"sh -c '{script}': exit code 9", *(f"  line {i}" for i in range(3, 8)), "try again"]
    assert (caught.value.exited, caught.value.argv) == (9, ("sh", "-c", script))
    assert caught.value.output.startswith("line 1\n")


def test_a_failure_without_errors_tells_its_output(c: Context) -> None:
    with pytest.raises(CommandFailed, match=r": exit code 1\n  only this$"):
        shell.run(c, ["sh", "-c", "echo only this; exit 1"], log=shell.NOWHERE)


def test_a_command_that_is_not_there(c: Context) -> None:
    assert shell.read(c, ["no-such-command-at-all"]).exited == 127
    with pytest.raises(CommandFailed, match="exit code 127"):
        shell.run(c, ["no-such-command-at-all"], log=shell.NOWHERE)


def test_bytes_that_are_no_text_do_not_stop_anything(c: Context) -> None:
    assert shell.read(c, ["printf", r"a\377b"]).stdout.startswith("a")


def test_a_command_that_takes_too_long_is_an_error_of_ours(tmp_path: Path) -> None:
    c = context(tmp_path)
    c.config.load_overrides({"timeouts": {"command": 0.2}})
    with pytest.raises(CommandFailed, match=r"^sleep 5: exit code 124\n  stopped after 0.2 seconds$"):
        shell.read(c, ["sleep", "5"])


def test_a_failure_in_a_task_is_one_message_and_its_code(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, "unused")
    scratch.write(
        "tasks.py",
        "from invoke import task\nfrom buildtasks import shell\n"
        "@task\ndef fail(c):\n    shell.run(c, ['sh', '-c', 'echo no >&2; exit 5'], log=shell.NOWHERE)\n",
    )
    said = scratch.inv("fail")
    assert (said.code, said.out, said.err) == (1, "", "sh -c 'echo no >&2; exit 5': exit code 5\n  no\n")
