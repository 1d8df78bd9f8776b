"""`inv cache`: the local images of this project's services and of no other, and which are in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
import witness
from conftest import Scratch, projects


def services(scratch: Scratch, mark: str) -> None:
    for name in ("one", "two"):
        scratch.write(
            f"services/{name}/Dockerfile", f"FROM busybox:stable\nRUN echo {name} > /name\nLABEL project={mark}\n"
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[Scratch]:
    """Build two services, and the second one once more."""
    with projects(tmp_path_factory.mktemp("built"), registry) as make:
        scratch = make()
        services(scratch, scratch.prefix)
        assert scratch.inv("build").code == 0
        scratch.write(
            "services/two/Dockerfile", f"FROM busybox:stable\nRUN echo newer > /name\nLABEL project={scratch.prefix}\n"
        )
        said = scratch.inv("build")
        assert said.code == 0, said.err
        yield scratch


def test_json_is_what_the_engine_has(built: Scratch) -> None:
    said = built.inv("cache", "--json")
    assert said.code == 0, said.err
    local = witness.engine(built)
    assert {name: one["image_id"] for one in said.json for name in one["references"]} == local
    assert sorted(one["service"] for one in said.json) == ["one", "two", "two"]
    for one in said.json:
        assert set(one) == {"service", "image_id", "references", "created", "size", "in_use", "fingerprint"}
        form = '{{.Created}} {{index .Config.Labels "dev.buildtasks.fingerprint"}}'
        created, fingerprint = witness.docker("inspect", "--format", form, one["image_id"]).split()
        assert one["created"] == f"{created[:19]}Z"
        assert one["fingerprint"] == fingerprint
        assert any(name.endswith(f":src-{fingerprint[:12]}") for name in one["references"])
        assert one["size"] > 1_000_000
    ages = [datetime.fromisoformat(one["created"].replace("Z", "+00:00")) for one in said.json]
    assert ages == sorted(ages, reverse=True)


def test_the_table_says_the_same(built: Scratch) -> None:
    told = built.inv("cache", "--json").json
    head, *rows = built.inv("cache").out.splitlines()
    assert head.split() == ["service", "tags", "created", "size", "used", "by", "inputs"]
    assert [(row.split()[0], row.split()[-1]) for row in rows] == [
        (one["service"], one["fingerprint"][:12]) for one in told
    ]
    assert sum("latest, src-" in row for row in rows) == 2


def test_only_the_chosen_service(built: Scratch) -> None:
    assert [one["service"] for one in built.inv("cache", "--service", "one", "--json").json] == ["one"]


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_in_use(built: Scratch, running: bool) -> None:
    name = f"{built.prefix.rpartition('/')[2]}-{'running' if running else 'stopped'}"
    image = f"{built.prefix}/one:latest"
    words = ["run", "--detach"] if running else ["create"]
    witness.docker(*words, "--name", name, image, "sleep", "60")
    try:
        used = {one["service"]: one["in_use"] for one in built.inv("cache", "--json").json}
        assert used == {"one": True, "two": False}
        row = next(line for line in built.inv("cache").out.splitlines() if line.startswith("one "))
        assert name in row
    finally:
        witness.docker("rm", "--force", name)
    assert not any(one["in_use"] for one in built.inv("cache", "--json").json)


def test_other_projects_are_not_shown(make_scratch: Callable[[], Scratch]) -> None:
    """Services of the same names in two projects, and a foreign name for an image."""
    ours, theirs, foreign = make_scratch(), make_scratch(), make_scratch()
    for scratch in (ours, theirs):
        services(scratch, scratch.prefix)
        assert scratch.inv("build").code == 0
    witness.docker("tag", f"{ours.prefix}/one:latest", f"{foreign.prefix}/one:mine")
    listed = ours.inv("cache", "--json").json
    names = {name for one in listed for name in one["references"]}
    assert names == {*witness.engine(ours), f"{foreign.prefix}/one:mine"}
    assert len(listed) == 2
    # A name elsewhere does not make the image one of that project's under its content tag.
    services(foreign, ours.prefix)
    plan = foreign.inv("build", "--dry", "--json").json["steps"]
    assert {one["service"]: one["action"] for one in plan} == {"one": "build", "two": "build"}


def test_an_image_without_a_tag_is_still_ours(scratch: Scratch) -> None:
    scratch.write("services/app/Dockerfile", f"FROM busybox:stable\nLABEL project={scratch.prefix}\n")
    assert scratch.inv("push", "--latest").code == 0
    digest = witness.digest(f"{scratch.prefix}/app", "latest")
    witness.forget(scratch)
    assert scratch.inv("cache", "--json").json == []
    witness.docker("pull", "--quiet", f"{scratch.prefix}/app@{digest}")
    found = scratch.inv("cache", "--json").json
    assert [(one["service"], one["references"]) for one in found] == [("app", [])]
    assert scratch.inv("cache").out.splitlines()[1].split()[:2] == ["app", "-"]
