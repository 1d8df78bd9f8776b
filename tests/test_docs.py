"""The documentation is true: generated pages, links, commands, settings, examples and drawings against the code.

Examples run as readers would run them. In a section of a page, a code block whose first line is `# NAME.py` or
`# NAME.yaml` is written to that file; then each `$` line of the section runs in a shell and must succeed, and what the
page shows below it must be among what is printed.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from conftest import ROOT, Scratch
from invoke.collection import Collection
from invoke.parser.parser import Parser
from invoke.program import Program
from invoked import context

import buildtasks
import tasks as repository
from buildtasks import settings
from buildtasks.settings.fields import Field
from buildtasks.settings.services import FIELDS as SERVICE_FIELDS
from docs import generate

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *sorted(f"docs/{one.name}" for one in ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")


@cache
def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def sections(page: str) -> Mapping[str, str]:
    """Return what is below each heading of the second level."""
    found = re.split(r"^## (.+)\n", text(page), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def blocks(section: str, *kinds: str) -> list[str]:
    return [content for kind, content in BLOCK.findall(section) if kind in kinds]


@pytest.mark.parametrize("name", ["tasks.md", "schema.json"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert text(f"docs/{name}") == generate.pages()[name], "run: python docs/generate.py"


def test_every_task_and_option_is_described() -> None:
    described = re.split(r"^### inv ", text("docs/tasks.md"), flags=re.MULTILINE)[1:]
    for name in buildtasks.ns.task_names:
        [section] = [one for one in described if one.startswith(f"{name}\n") or f"whole name is `{name}`" in one]
        flags = re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)
        wanted = [argument.name.strip("_").replace("_", "-") for argument in buildtasks.ns[name].get_arguments()]
        assert sorted(flags) == sorted(f"--{one}" for one in wanted), name
    assert len(described) == len(buildtasks.ns.task_names)


@pytest.mark.parametrize(
    "title, fields",
    [("Settings of the project", settings.FIELDS), ("Settings of a service", SERVICE_FIELDS)],
    ids=["project", "service"],
)
def test_every_setting_has_a_row(title: str, fields: Mapping[str, Field]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", sections("docs/configuration.md")[title], re.MULTILINE)
    assert [name for name, _ in rows] == list(fields)
    if fields is settings.FIELDS:
        assert {name: f"`{value}`" for name, value in settings.DEFAULTS.items() if value} == {
            name: default for name, default in rows if settings.DEFAULTS.get(name)
        }


def test_the_whole_file_has_every_setting_and_is_accepted(tmp_path: Path) -> None:
    [example] = blocks(sections("docs/configuration.md")["All of it in one file"], "yaml")
    section = yaml.safe_load(example)["buildtasks"]
    assert set(section) == set(settings.FIELDS)
    assert set().union(*section["services"].values()) == set(SERVICE_FIELDS)
    for name in ("services/web/Dockerfile", "backend/docker/api.Dockerfile", "shared/protos/x", "tasks.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "invoke.yaml").write_text(example, encoding="utf-8")
    c = context(tmp_path)
    c.config.load_project()
    assert [one.name for one in settings.load(c).services] == ["api", "web"]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text(page))):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Return the anchors that headings get: lower case, without punctuation, blanks as dashes."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def commands(page: str) -> Iterator[list[str]]:
    """Yield the words of each call of inv in code on a page."""
    spans = re.findall(r"`([^`]+)`", BLOCK.sub("", text(page)))
    lines = re.findall(r"^(?:    |\$ )(.+)$", text(page), re.MULTILINE)
    for line in (*spans, *lines):
        words = shlex.split(line, comments=True) if re.match(r"([A-Z_]+=\S+ )?(\./)?inv ", line) else []
        yield from [words[1:] if "=" in words[0] else words] if words else []


# What the page about composing calls is made by its own examples, which run below.
@pytest.mark.parametrize("page", [one for one in PAGES if one != "docs/composing.md"])
def test_every_command_can_be_called(page: str) -> None:
    for program, *words in commands(page):
        known: Collection = repository.ns if program == "./inv" else buildtasks.ns
        # In two steps, as invoke itself does: `--help` takes a task, and may stand alone.
        core = Parser(initial=Program().initial_context, ignore_unknown=True).parse_argv(words)
        Parser(contexts=known.to_contexts(), initial=Program().initial_context).parse_argv(core.unparsed)
        task = core[0].args.help.value
        assert task is None or known[task]


def test_commands_are_found() -> None:
    found = list(commands("README.md"))
    assert ["./inv", "demo"] in found
    assert ["inv", "release", "--version", "1.0.0"] in found
    assert ["inv", "build.context", "--service", "NAME"] in found


class Example(NamedTuple):
    """A section with commands to run."""

    page: str
    title: str


EXAMPLES = [
    Example(page, title) for page in PAGES for title, section in sections(page).items() if blocks(section, "console")
]


@pytest.fixture
def project(scratch: Scratch) -> Scratch:
    """Return a project with one service."""
    scratch.write("services/web/Dockerfile", "FROM scratch\nCOPY index.html /\n")
    scratch.write("services/web/index.html", "hello\n")
    return scratch


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: f"{one.page}-{one.title}")
def test_examples_run(example: Example, project: Scratch) -> None:
    section = sections(example.page)[example.title]
    for content in blocks(section, "python", "yaml"):
        if name := FILE.match(content):
            project.write(
                name[1], content.replace("ghcr.io/you", project.prefix) if name[1].endswith("yaml") else content
            )
    for block in blocks(section, "console"):
        for command, *shown in (part.splitlines() for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]):
            printed = run(project, command.replace("localhost:5000/try", project.prefix))
            assert [line for line in shown if line not in printed] == [], printed


def test_examples_are_found() -> None:
    assert Example("README.md", "In your own project") in EXAMPLES
    assert {one.title for one in EXAMPLES if one.page == "docs/composing.md"} == set(sections("docs/composing.md"))


def run(project: Scratch, command: str) -> str:
    """Run a line in a shell that finds the `inv` and `python` of this process; return all that it prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=project.root,
        env={**os.environ, **project.env, "PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def test_json_has_the_keys_that_are_described(project: Scratch) -> None:
    settings_now = (project.root / "invoke.yaml").read_text(encoding="utf-8")
    project.write("invoke.yaml", settings_now + "  services:\n    web:\n      test: [/nowhere]\n")
    failed = project.inv("release", "--json")
    assert failed.code == 1
    project.write("invoke.yaml", settings_now)
    said = {
        "Plan": [project.inv("build.plan", "--json").json],
        "Report": [failed.json, project.inv("release", "--json").json],
        "Context": [project.inv("build.context", "--service", "web", "--json").json],
        "Registry": [project.inv("registry", "--json").json],
        "Cache": [project.inv("cache", "--json").json],
    }
    project.write("services/web/index.html", "changed\n")
    said["Explanation"] = [project.inv("build.explain", "--service", "web", "--json").json]
    described = {title: blocks(section, "json") for title, section in sections("docs/json.md").items()}
    assert set(said) == {title for title, found in described.items() if found}
    for title, documents in said.items():
        [example] = described[title]
        assert set(keys(yaml.safe_load(example))) == {one for document in documents for one in keys(document)}, title


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each key of a document; elements of a list share one."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield f"{path}.{key}"
        yield from keys(inner, f"{path}.{key}")
    for inner in value if isinstance(value, list) else ():
        yield from keys(inner, f"{path}[]")


def test_imports_go_the_way_of_the_drawing() -> None:
    drawing = re.findall(r"^    (\w+(?:, \w+)*)", sections("docs/how-it-works.md")["The house"], re.MULTILINE)
    layer = {room: number for number, line in enumerate(drawing) for room in line.split(", ")}
    package = ROOT / "buildtasks"
    files = [file for file in package.rglob("*.py") if file != package / "__init__.py"]
    assert set(layer) == {room_of(file.relative_to(package).parts[0]) for file in files}
    for file in files:
        room = room_of(file.relative_to(package).parts[0])
        assert {other for other in imported(file) - {room} if layer[other] >= layer[room]} == set(), file


def room_of(name: str) -> str:
    return name.removesuffix(".py")


def imported(file: Path) -> set[str]:
    """Return the rooms of the package that a module imports from, also inside of functions."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{one.name}".split(".") for one in node.names]
        if isinstance(node, ast.Import):
            names += [one.name.split(".") for one in node.names]
    return {name[1] for name in names if name[0] == "buildtasks" and len(name) > 1}


@pytest.mark.parametrize("hook, broken", [("end-of-file", b"a\n\n"), ("end-of-file", b"a"), ("check-yaml", b"a: [\n")])
def test_hooks_of_pre_commit_find_what_they_are_for(hook: str, broken: bytes, tmp_path: Path) -> None:
    hooks = {one["id"]: one["entry"] for one in yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]}
    argv = [word.replace(".venv/bin/python", sys.executable) for word in shlex.split(hooks[hook])]
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(b"a: 1\n")
    bad.write_bytes(broken)
    assert subprocess.run([*argv, good], check=False, capture_output=True).returncode == 0
    assert subprocess.run([*argv, good, bad], check=False, capture_output=True).returncode != 0
