"""The tasks inside a `tasks.py` of one's own: whole, in parts, under a prefix, with own defaults, as functions."""

from __future__ import annotations

import json
import re
from textwrap import dedent

import pytest
import witness
from conftest import Scratch

TASKS = ["build.images", "push.images", "release.images", "registry.tags", "cache.images"]


@pytest.fixture
def app(scratch: Scratch) -> Scratch:
    """Return a project with one small service and no settings but the repository."""
    scratch.write("services/app/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")
    return scratch


def tasks(scratch: Scratch, text: str) -> None:
    scratch.write("tasks.py", dedent(text))


def listed(scratch: Scratch) -> set[str]:
    """Return the full names of all tasks that `inv` lists."""
    said = scratch.inv("--list")
    assert said.code == 0, said.err
    return set(re.findall(r"^  (\S+)", said.out, re.M))


def repository_of(scratch: Scratch, *words: str) -> str:
    """Return the repository that a dry run of a task is about."""
    said = scratch.inv(*words, "--json", "--dry")
    assert said.code == 0, said.err
    found: str = said.json["steps"][0]["repository"]
    return found


def test_everything(app: Scratch) -> None:
    assert listed(app) >= set(TASKS)
    assert repository_of(app, "build") == f"{app.prefix}/app"


def test_parts(app: Scratch) -> None:
    tasks(
        app,
        """
        from invoke import Collection, task

        from buildtasks.tasks import build, release

        @task
        def own(c):
            print("own")

        ns = Collection(own)
        ns.add_collection(build)
        ns.add_collection(release, "publish")
        """,
    )
    found = listed(app)
    assert {"own", "build.images", "publish.images"} <= found
    assert not {name for name in found if name.startswith(("push", "registry", "cache"))}
    assert repository_of(app, "build") == f"{app.prefix}/app"
    assert repository_of(app, "publish") == f"{app.prefix}/app"


@pytest.mark.parametrize("outer", ["", 'ns.configure({"buildtasks": {"jobs": 2}})'], ids=["plain", "outer configure"])
def test_under_a_prefix(app: Scratch, outer: str) -> None:
    """An outer `configure` erases the defaults inside (pyinvoke/invoke#782); they are put back."""
    tasks(
        app,
        f"""
        from invoke import Collection

        import buildtasks

        ns = Collection()
        ns.add_collection(buildtasks.ns, "docker")
        {outer}
        """,
    )
    assert listed(app) >= {f"docker.{name}" for name in TASKS}
    assert repository_of(app, "docker.build") == f"{app.prefix}/app"
    said = app.inv("docker.build", "--json")
    assert said.code == 0, said.err
    assert app.inv("docker.cache", "--json").json[0]["service"] == "app"


def test_own_defaults(app: Scratch) -> None:
    (app.root / "invoke.yaml").unlink()
    tasks(
        app,
        f"""
        import buildtasks

        ns = buildtasks.ns
        ns.configure({{"buildtasks": {{"repository": "{app.prefix}/own-{{service}}", "latest": "never"}}}})
        """,
    )
    assert repository_of(app, "release") == f"{app.prefix}/own-app"
    plan = app.inv("release", "--dry", "--json").json
    assert plan["steps"][0]["moving"] == []
    redirected = {"INVOKE_BUILDTASKS_REPOSITORY": f"{app.prefix}/env-{{service}}"}
    said = app.inv("release", "--dry", "--json", env=redirected)
    assert said.json["steps"][0]["repository"] == f"{app.prefix}/env-app"
    app.write("invoke.yaml", f"buildtasks: {{repository: '{app.prefix}/file-{{service}}'}}\n")
    assert repository_of(app, "release") == f"{app.prefix}/file-app"


def test_tasks_are_functions_that_give_data(app: Scratch) -> None:
    tasks(
        app,
        """
        import json

        from invoke import Collection, task

        import buildtasks
        from buildtasks.tasks import cache, push, registry, release
        from buildtasks.tasks.push import images as push_images
        from buildtasks.tasks.release import images as release_images

        @task
        def deploy(c):
            plan = push_images(c, version="1.0.0") if c.config.run.dry else None
            if plan:
                assert isinstance(plan, buildtasks.Plan)
                return
            pushed = push_images(c, version="1.0.0")
            released = release_images(c, version="1.0.1", service=["app"], json=True)
            assert isinstance(pushed, buildtasks.Report) and isinstance(released, buildtasks.Report)
            try:
                push_images(c, version="nonsense")
            except buildtasks.ConfigError as error:
                wrong = str(error)
            found = {
                "pushed": pushed.images[0].digest,
                "reference": released.images[0].reference,
                "version": str(released.version),
                "moved": [change.reference.tag for change in released.images[0].moved],
                "wrong": wrong,
            }
            with open("found.json", "w") as file:
                json.dump(found, file)

        ns = Collection(deploy, push, release, cache, registry)
        """,
    )
    dry = app.inv("--dry", "deploy")
    assert dry.code == 0, dry.err
    assert witness.registry(app) == {}
    said = app.inv("deploy")
    assert said.code == 0, said.err
    found = json.loads((app.root / "found.json").read_text())
    repository = f"{app.prefix}/app"
    digest = witness.digest(repository, "1.0.0")
    assert found["pushed"] == digest
    assert found["reference"] == f"{repository}@{digest}"
    assert (found["version"], found["moved"]) == ("1.0.1", ["1.0.1", "latest"])
    assert found["wrong"].startswith("not a version: 'nonsense'")


def test_from_a_folder_below(app: Scratch) -> None:
    """The working directory is not the project's root."""
    said = app.inv("build", "--json", "--dry", cwd=app.root / "services/app")
    assert said.code == 0, said.err
    assert said.json["steps"][0]["repository"] == f"{app.prefix}/app"


def test_no_task_runs_by_accident(app: Scratch) -> None:
    said = app.inv()
    assert said.code == 0
    assert "Available tasks" in said.out or "Usage" in said.out
    assert witness.engine(app) == {}
