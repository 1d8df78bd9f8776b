"""Releases of the sample services, against the real engine and the real registry, seen by clients of others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import witness
from conftest import Said, Scratch, add_samples, projects

FIVE = ["backend", "database", "engine", "frontend", "nginx"]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[Scratch]:
    """Release 1.0.0 (from the VERSION file) and v1.1.0 with nothing changed; tests only add to this or look."""
    with projects(tmp_path_factory.mktemp("released"), registry) as make:
        scratch = add_samples(make())
        first = done(scratch.inv("release", "--json"))
        assert (first.json["version"], actions(first)) == ("1.0.0", {"build"})
        scratch.write("first.json", first.out)
        second = done(scratch.inv("release", "--version", "v1.1.0", "--json"))
        assert (second.json["version"], actions(second)) == ("1.1.0", {"reuse"})
        scratch.write("second.json", second.out)
        yield scratch


def done(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


def actions(said: Said) -> set[str]:
    return {one["action"] for one in said.json["images"]}


def small(scratch: Scratch, *names: str, test: str = "") -> None:
    """Make services that build in no time, with a test each."""
    lines = [f"buildtasks:\n  repository: {scratch.prefix}/{{service}}\n  services:"]
    for name in names:
        scratch.write(f"services/{name}/Dockerfile", f"FROM busybox:stable\nRUN echo {name} > /name\n")
        lines.append(f"    {name}: {{test: [sh, -c, '{test or 'true'}']}}")
    scratch.write("invoke.yaml", "\n".join(lines) + "\n")
    scratch.commit()


def versions(scratch: Scratch) -> set[str]:
    """Return the tags of a project that are no content tags."""
    tags = {name.rpartition("/")[2] for name in witness.registry(scratch)}
    return {tag for tag in tags if ":src-" not in tag}


def test_two_versions_of_five_services_are_the_same_bytes(released: Scratch) -> None:
    for image in json.loads((released.root / "second.json").read_text())["images"]:
        repository = f"{released.prefix}/{image['service']}"
        assert image["repository"] == repository
        assert {witness.digest(repository, tag) for tag in ("1.0.0", "1.1.0")} == {image["digest"]}
        assert image["tags"] == ["1.1.0", "latest"]
        assert {tag for tag in witness.tags(repository) if "." not in tag} >= {"latest"}


def test_the_first_release_moved_latest_too(released: Scratch) -> None:
    first = json.loads((released.root / "first.json").read_text())
    assert [one["service"] for one in first["images"]] == FIVE
    for image in first["images"]:
        assert image["moved"] == [{"tag": tag, "from": None, "to": image["digest"]} for tag in ("1.0.0", "latest")]
        assert image["seconds"] > 0
    assert (first["failed"], first["revision"]["branch"]) == ([], "main")


def test_what_is_in_the_registry_is_what_was_built(released: Scratch) -> None:
    for service in FIVE:
        repository = f"{released.prefix}/{service}"
        served = witness.manifest(repository, "1.1.0")
        assert served
        assert served.media_type in witness.PLAIN
        found = witness.config(repository, served.digest)["config"]["Labels"]
        assert found["dev.buildtasks.service"] == service
        assert witness.digest(repository, f"src-{found['dev.buildtasks.fingerprint'][:12]}") == served.digest
        words = ["inspect", f"{repository}:1.1.0", "--format", "{{json .Manifest}}"]
        seen = witness.docker("buildx", "imagetools", *words)
        assert json.loads(seen)["digest"] == served.digest


def test_a_released_image_runs_by_its_digest(released: Scratch) -> None:
    repository = f"{released.prefix}/backend"
    pinned = f"{repository}@{witness.digest(repository, '1.1.0')}"
    script = "serve check /health; serve check /cgi-bin/hello"
    assert witness.inside(pinned, "sh", "-c", script).split("\n") == ["ok", '{"greeting": "hello"}']


def test_releasing_again_changes_nothing(released: Scratch) -> None:
    before, logs = witness.registry(released), sorted(released.state.glob("logs/*"))
    # A version that is not the newest any more must not become `latest` by being released again.
    for version in ("1.1.0", "1.0.0"):
        again = done(released.inv("release", "--version", version, "--json"))
        assert actions(again) == {"skip"}
        assert [one["moved"] for one in again.json["images"]] == [[]] * 5
    assert witness.registry(released) == before
    assert sorted(released.state.glob("logs/*")) == logs


def test_another_machine_reuses_from_the_registry_alone(released: Scratch, tmp_path: Path) -> None:
    clone = replace(released, root=tmp_path / "elsewhere/a clone", env={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    clone.root.parent.mkdir()
    released.git("clone", "-q", str(released.root), str(clone.root))
    witness.forget(released)
    plan = done(clone.inv("build.plan", "--version", "1.1.0", "--json")).json["steps"]
    first = {one["service"]: one["digest"] for one in json.loads((released.root / "first.json").read_text())["images"]}
    assert {one["service"]: one["digest"] for one in plan} == first
    for step in plan:
        label = witness.config(step["repository"], "1.0.0")["config"]["Labels"]["dev.buildtasks.fingerprint"]
        assert (step["fingerprint"], step["action"]) == (label, "skip")
    # Only the back end changes: it is built on the nginx that nobody has but the registry.
    clone.write("services/backend/cgi-bin/new", "#!/bin/sh\n", 0o755)
    said = done(clone.inv("release", "--version", "1.2.0-rc.1", "--json"))
    assert {one["service"]: one["action"] for one in said.json["images"]} == {
        "backend": "build",
        "database": "reuse",
        "engine": "reuse",
        "frontend": "reuse",
        "nginx": "reuse",
    }
    base, ours = (witness.config(f"{clone.prefix}/{one}", "1.2.0-rc.1") for one in ("nginx", "backend"))
    layers = base["rootfs"]["diff_ids"]
    assert ours["rootfs"]["diff_ids"][: len(layers)] == layers


def test_where_latest_goes(scratch: Scratch) -> None:
    """Only forward, unless a flag says otherwise; and the reason is told."""
    small(scratch, "app")
    repository, now = f"{scratch.prefix}/app", 0

    def release(version: str, *flags: str) -> tuple[bool, str]:
        """Release another content; tell whether `latest` went there, and the last line that was said."""
        nonlocal now
        now += 1
        scratch.write("services/app/mark", str(now))
        scratch.write("services/app/Dockerfile", "FROM busybox:stable\nCOPY mark /\n")
        said = done(scratch.inv("release", "--version", version, *flags))
        moved = witness.digest(repository, "latest") == witness.digest(repository, version)
        return moved, said.out.strip().splitlines()[-1]

    assert release("1.2.0") == (True, "latest moves: 1.2.0 is the newest version")
    assert release("1.3.0-rc.1") == (False, "latest stays: 1.3.0-rc.1 is a pre-release")
    assert release("1.1.5") == (False, "latest stays: 1.1.5 is lower than 1.2.0")
    assert release("1.10.0", "--no-latest") == (False, "latest stays: never")
    assert release("1.9.0") == (False, "latest stays: 1.9.0 is lower than 1.10.0")
    assert release("1.0.1", "--latest") == (True, "latest moves: always")
    assert len({witness.digest(repository, tag) for tag in witness.public_tags(repository) - {"latest"}}) == 6


def test_a_version_never_changes(scratch: Scratch) -> None:
    small(scratch, "one", "two")
    done(scratch.inv("release"))
    before, local = witness.registry(scratch), witness.engine(scratch)
    logs = sorted(scratch.state.glob("logs/*"))
    scratch.write("services/two/Dockerfile", "FROM busybox:stable\nRUN echo other\n")
    for flags in ((), ("--force",)):
        said = scratch.inv("release", *flags)
        assert said.code == 3
        assert f"{scratch.prefix}/two:1.0.0 exists with other content" in said.err
        assert "Traceback" not in said.err
    assert (witness.registry(scratch), witness.engine(scratch)) == (before, local)
    assert sorted(scratch.state.glob("logs/*")) == logs


def test_one_failing_test_publishes_nothing(scratch: Scratch) -> None:
    small(scratch, "one", "two", test="grep -q one /name || { echo wrong name; exit 7; }")
    said = scratch.inv("release", "--json")
    assert said.code == 1
    assert [(one["service"], one["step"]) for one in said.json["failed"]] == [("two", "test")]
    assert "exit code 7" in said.err
    assert "wrong name" in said.err
    assert "Traceback" not in said.err
    assert [one["tags"] for one in said.json["images"]] == [[], []]
    assert witness.registry(scratch) == {}
    assert not witness.docker("ps", "-aq", "--filter", f"ancestor={scratch.prefix}/two:latest")


def test_one_failing_build_publishes_nothing_and_a_mend_resumes(scratch: Scratch) -> None:
    small(scratch, "one", "two")
    done(scratch.inv("release", "--version", "0.9.0"))
    before = witness.registry(scratch)
    for name in ("one", "two"):
        scratch.write(f"services/{name}/Dockerfile", "FROM busybox:stable\nRUN test -e /mended\n")
    scratch.write("services/one/Dockerfile", "FROM busybox:stable\nRUN echo changed\n")
    said = scratch.inv("release")
    assert said.code == 1
    assert "two: build: docker buildx build: exit code 1" in said.err
    assert "1 of 2 services failed" in said.err
    assert witness.registry(scratch) == before
    scratch.write("services/two/Dockerfile", "FROM busybox:stable\nRUN echo mended\n")
    done(scratch.inv("release"))
    assert versions(scratch) == {f"{name}:{tag}" for name in ("one", "two") for tag in ("0.9.0", "1.0.0", "latest")}


def test_only_the_chosen_service_is_released(scratch: Scratch) -> None:
    small(scratch, "one", "two")
    done(scratch.inv("release", "--service", "two"))
    assert versions(scratch) == {"two:1.0.0", "two:latest"}
