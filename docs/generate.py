"""Write the pages of this folder that come from the code: tasks.md from the tasks, schema.json from the settings.

    python docs/generate.py

tests/test_docs.py fails while a page differs from what this program would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.parser.argument import Argument
from invoke.parser.context import ParserContext
from invoke.tasks import Task

from buildtasks import ns
from buildtasks.settings import schema

HERE = Path(__file__).resolve().parent

INTRODUCTION = """\
# Tasks

This page is written by `docs/generate.py` from the tasks themselves; `inv --help build` says the same in a terminal.

- `inv build` runs the default task of the namespace `build`; its whole name, `inv build.images`, does the same.
- Options may be written `--jobs 2` or `--jobs=2`. There are no short ones, and no arguments without a name.
- A flag is off, and a text empty, unless it is given. What an empty text stands for is said in the last column.
- `--dry` belongs to invoke and may stand before or after the task: what would be done is printed, nothing is changed.
  Questions are still asked, of git, the engine and the registry.
- What `--json` prints, and exit codes: [json.md](json.md). Calling a task from Python: [composing.md](composing.md).
"""


def main() -> None:
    """Write every generated page."""
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")


def pages() -> Mapping[str, str]:
    """Return the text of each generated page, by its file name."""
    return {"tasks.md": tasks_page(ns), "schema.json": json.dumps(schema(), indent=2) + "\n"}


def tasks_page(root: Collection) -> str:
    """Return the page about the tasks of a collection: one section per namespace, one below it per task."""
    return "\n".join([INTRODUCTION, *(line for name in sorted(root.collections) for line in _namespace(root, name))])


def _namespace(root: Collection, name: str) -> Iterator[str]:
    collection = root.collections[name]
    yield f"## {name}\n"
    for task in sorted(collection.tasks, key=lambda one: (one != collection.default, one)):
        calls = [f"{name}.{task}", *([name] if task == collection.default else [])]
        yield from _task(collection.tasks[task], calls)


def _task(task: Task[Any], calls: list[str]) -> Iterator[str]:
    yield f"### inv {calls[-1]}\n"
    yield f"{(task.__doc__ or '').splitlines()[0]}\n"
    whole = f" The whole name is `{calls[0]}`." if len(calls) > 1 else ""
    returned = task.body.__annotations__["return"]
    yield f"In Python: `{task.body.__module__}.{task.body.__name__}`, which returns `{returned}`.{whole}\n"
    yield from ("| Option | Default | Meaning |", "| --- | --- | --- |")
    flags: Mapping[str, Argument] = ParserContext(calls[0], args=task.get_arguments()).flags
    for flag in sorted(flags):
        yield _option(flag, flags[flag])
    yield ""


def _option(flag: str, argument: Argument) -> str:
    name = flag if argument.kind is bool else f"{flag} TEXT"
    default = argument.default if argument.default not in (False, None, "", []) else None
    shown = f"`{default}`" if default is not None else "off" if argument.kind is bool else "empty"
    return f"| `{name}` | {shown} | {argument.help} |"


if __name__ == "__main__":
    main()
