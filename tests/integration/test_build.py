"""`inv build` with the real BuildKit: names, labels, order, bounds, failures, and what a second run does."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import witness
from conftest import Scratch, add_samples, projects
from invoke.config import Config
from invoke.context import Context

from buildtasks import pipeline, settings
from buildtasks.plan import Action, Plan, Step
from buildtasks.progress import Lines
from buildtasks.revision import Revision

FIVE = ["backend", "database", "engine", "frontend", "nginx"]
COMMITTED = "2026-01-02T03:04:05Z"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, registry: str) -> Iterator[Scratch]:
    """Build the five samples once; tests of this module only look at them."""
    with projects(tmp_path_factory.mktemp("built"), registry) as make:
        scratch = add_samples(make())
        scratch.git("remote", "add", "origin", "git@github.com:you/demo.git")
        said = scratch.inv("build", "--json")
        assert said.code == 0, said.err
        assert [(one["service"], one["action"]) for one in said.json["images"]] == [(one, "build") for one in FIVE]
        yield scratch


def labels(reference: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(witness.docker("inspect", "--format", "{{json .Config.Labels}}", reference))
    return found


def log_of(said: str) -> Path:
    found = re.search(r"whole log: (\S+)", said)
    assert found, said
    return Path(found[1])


def logs(scratch: Scratch) -> list[Path]:
    """Return the logs of all runs; one log is one attempt to build."""
    return sorted(scratch.state.glob("logs/*/*.log"))


def test_every_image_has_a_content_tag_and_latest(built: Scratch) -> None:
    local = witness.engine(built)
    for service in FIVE:
        names = {name.rpartition(":")[2]: image for name, image in local.items() if f"/{service}:" in name}
        fingerprint = labels(f"{built.prefix}/{service}:latest")["dev.buildtasks.fingerprint"]
        assert set(names) == {"latest", f"src-{fingerprint[:12]}"}
        assert len(set(names.values())) == 1
        assert re.fullmatch("[0-9a-f]{64}", fingerprint)


def test_labels_come_from_the_commit(built: Scratch) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=built.root, capture_output=True, text=True, check=True
    ).stdout.strip()
    found = labels(f"{built.prefix}/backend:latest")
    del found["dev.buildtasks.fingerprint"]
    assert found == {
        "dev.buildtasks.service": "backend",
        "org.opencontainers.image.title": "backend",
        "org.opencontainers.image.source": "https://github.com/you/demo",
        "org.opencontainers.image.revision": commit,
        "org.opencontainers.image.created": COMMITTED,
    }


@pytest.mark.parametrize("service, page", [("frontend", "about.html"), ("backend", "health")])
def test_images_contain_the_image_they_need(built: Scratch, service: str, page: str) -> None:
    ours = f"{built.prefix}/{service}:latest"
    assert witness.inside(ours, "cat", "/etc/httpd.conf") == witness.inside(
        f"{built.prefix}/nginx:latest", "cat", "/etc/httpd.conf"
    )
    layers = [
        json.loads(witness.docker("inspect", "--format", "{{json .RootFS.Layers}}", name))
        for name in (f"{built.prefix}/nginx:latest", ours)
    ]
    assert layers[1][: len(layers[0])] == layers[0]
    assert witness.inside(ours, "ls", f"/www/{page}")


def test_a_second_run_builds_nothing(built: Scratch) -> None:
    engine, before = witness.engine(built), logs(built)
    again = built.inv("build", "--json")
    assert again.code == 0, again.err
    assert {one["action"] for one in again.json["images"]} == {"skip"}
    assert (witness.engine(built), logs(built)) == (engine, before)


def test_the_chosen_service_comes_with_its_needs(built: Scratch) -> None:
    said = built.inv("build", "--service", "backend", "--json")
    assert [one["service"] for one in said.json["images"]] == ["backend", "nginx"]


def test_a_change_in_a_need_builds_what_stands_on_it_from_the_new_one(samples: Scratch) -> None:
    assert samples.inv("build").code == 0
    samples.write("services/nginx/www/index.html", "marked 4711\n")
    said = samples.inv("build", "--json")
    assert {one["service"]: one["action"] for one in said.json["images"]} == {
        "backend": "build",
        "database": "skip",
        "engine": "skip",
        "frontend": "build",
        "nginx": "build",
    }
    assert witness.inside(f"{samples.prefix}/backend:latest", "cat", "/www/index.html") == "marked 4711"
    assert labels(f"{samples.prefix}/backend:latest")["dev.buildtasks.dirty"] == "true"


def test_pull_builds_on_the_need_of_this_very_run(samples: Scratch) -> None:
    """BuildKit with --pull would ask the registry for an image that only the engine has."""
    said = samples.inv("build", "--pull", "--service", "backend")
    assert said.code == 0, said.err
    flags = {log.stem: "--pull" in log.read_text().splitlines()[0].split() for log in logs(samples)}
    assert flags == {"nginx": True, "backend": False}


def service(scratch: Scratch, name: str, *lines: str) -> None:
    """Write a service that is built from the base image of the sandbox."""
    scratch.write(f"services/{name}/Dockerfile", "\n".join(["FROM busybox:stable", *lines]) + "\n")


def test_going_back_gives_latest_back(scratch: Scratch) -> None:
    service(scratch, "app", "RUN echo first > /which")
    first = scratch.inv("build")
    service(scratch, "app", "RUN echo second > /which")
    second = scratch.inv("build")
    service(scratch, "app", "RUN echo first > /which")
    third = scratch.inv("build", "--json")
    assert (first.code, second.code, third.code) == (0, 0, 0), third.err
    assert third.json["images"][0]["action"] == "skip"
    assert witness.inside(f"{scratch.prefix}/app:latest", "cat", "/which") == "first"


def test_flags_reach_buildx(scratch: Scratch) -> None:
    service(scratch, "app", "RUN echo here")
    first = scratch.inv("build")
    plain = logs(scratch)[-1].read_text()
    again = scratch.inv("build", "--force", "--no-cache", "--pull", "--platform", "linux/amd64")
    assert (first.code, again.code) == (0, 0), again.err
    forced = max(logs(scratch), key=lambda log: log.stat().st_mtime_ns).read_text()
    words = forced.splitlines()[0].split()
    assert {"--no-cache", "--pull", "linux/amd64"} <= set(words)
    assert not {"--no-cache", "--pull"} & set(plain.splitlines()[0].split())
    assert re.search(r"^#\d+ [\d.]+ here$", forced, re.M), "the step ran instead of coming from the cache"


def test_a_foreign_platform_is_built_when_nothing_runs_on_it(scratch: Scratch) -> None:
    scratch.write("services/data/Dockerfile", "FROM scratch\nCOPY fruit /\n")
    scratch.write("services/data/fruit", "apple\n")
    said = scratch.inv("build", "--platform", "linux/arm64", "--json")
    assert said.code == 0, said.err
    assert said.json["images"][0]["platforms"] == ["linux/arm64"]
    form = "{{.Os}}/{{.Architecture}}"
    assert witness.docker("inspect", "--format", form, f"{scratch.prefix}/data:latest") == "linux/arm64"


def test_jobs_bound_how_many_build_at_once(scratch: Scratch) -> None:
    for name in ("one", "two", "three"):
        service(scratch, name, "RUN sleep 0.2")
    said = scratch.inv("build", "--jobs", "1")
    assert said.code == 0, said.err
    words = [line.split()[1] for line in said.err.splitlines() if re.match(r"(one|two|three): ", line)]
    assert words == ["started", "built"] * 3


def test_independent_builds_run_at_once(scratch: Scratch) -> None:
    for name in ("one", "two"):
        service(scratch, name, "RUN sleep 1")
    said = scratch.inv("build", "--jobs", "2")
    assert said.code == 0, said.err
    words = [line.split()[1] for line in said.err.splitlines() if re.match(r"(one|two): ", line)]
    assert words == ["started", "started", "built", "built"]


def test_one_failure_leaves_the_others_and_their_dependents_alone(scratch: Scratch) -> None:
    settings = (scratch.root / "invoke.yaml").read_text()
    needs = "  services:\n    base:\n    top: {needs: [base]}\n    fine:\n    child: {needs: [fine]}\n"
    scratch.write("invoke.yaml", settings + needs)
    service(scratch, "base", "RUN echo some words; echo the reason >&2; false")
    scratch.write("services/top/Dockerfile", "FROM base\n")
    service(scratch, "fine", "RUN sleep 0.5")
    scratch.write("services/child/Dockerfile", "FROM fine\nRUN touch /child\n")
    said = scratch.inv("build", "--json", "--jobs", "2")
    assert said.code == 1
    assert "Traceback" not in said.err
    failed = {one["service"]: one for one in said.json["failed"]}
    assert {name: one["step"] for name, one in failed.items()} == {"base": "build", "top": "build"}
    assert failed["top"]["error"] == "not tried: it needs base, which failed"
    assert {log.stem for log in logs(scratch)} == {"base", "fine", "child"}
    assert {name.rpartition("/")[2].partition(":")[0] for name in witness.engine(scratch)} == {"fine", "child"}
    log = log_of(said.err)
    assert log.stem == "base"
    assert "the reason" in log.read_text()
    told = said.err[said.err.index("base: build: ") :].splitlines()
    assert told[0] == "base: build: docker buildx build: exit code 1"
    assert any("the reason" in line for line in told)
    assert told[-1] == "2 of 4 services failed"
    assert len(told) < 20


def test_the_first_line_of_a_log_is_the_command(built: Scratch) -> None:
    for log in logs(built):
        assert log.read_text().startswith("$ docker buildx build ")


def test_what_the_registry_has_is_pulled(samples: Scratch) -> None:
    assert samples.inv("release").code == 0
    witness.forget(samples)
    said = samples.inv("build", "--json")
    assert said.code == 0, said.err
    assert {one["action"] for one in said.json["images"]} == {"reuse"}
    assert {name.rpartition("/")[2].partition(":")[0] for name in witness.engine(samples)} == set(FIVE)
    assert "ok" in witness.inside(f"{samples.prefix}/backend:latest", "cat", "/www/health")
    assert {one["action"] for one in samples.inv("build", "--json").json["images"]} == {"skip"}


def test_the_report_file_holds_what_is_printed(built: Scratch, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    said = built.inv("build", "--json", "--report", str(file))
    assert json.loads(file.read_text()) == said.json
    assert set(said.json) >= {"version", "revision", "images", "failed"}
    assert set(said.json["images"][0]) >= {
        *("service", "repository", "action", "digest", "platforms", "tags", "moved", "seconds")
    }


def test_a_base_is_the_one_that_its_fingerprint_names(scratch: Scratch) -> None:
    """BuildKit alone would take the older image that the engine has under the same name."""
    base, digests = f"{scratch.prefix}/base:1", []
    for word in ("new", "old"):
        scratch.write("base/Dockerfile", f"FROM busybox:stable\nRUN echo {word} {scratch.prefix} > /which\n")
        words = ["--provenance=false", "--quiet", "--load", "--tag", f"{base}-{word}", str(scratch.root / "base")]
        witness.docker("buildx", "build", *words)
        witness.docker("tag", f"{base}-{word}", base)
        if word == "new":
            witness.docker("push", "--quiet", base)
            digests.append(str(witness.digest(f"{scratch.prefix}/base", "1")))
            witness.docker("rmi", base, f"{base}-{word}")
    service(scratch, "app")
    scratch.write("services/app/Dockerfile", f"FROM {base}\n")
    c = Context(Config(project_location=scratch.root))
    c.config.load_project()
    project = settings.load(c)
    content = project.services[0].repository.tag("src-000000000000")
    step = Step(project.services[0], Action.BUILD, "", "0" * 64, None, (), (), content)
    plan, view = Plan(None, Revision(), (step,)), Lines(io.StringIO())
    (result,) = pipeline.build(c, plan, project, pipeline.Options(1, bases={base: digests[0]}), view)
    assert result.error is None
    assert witness.inside(str(content), "cat", "/which") == f"new {scratch.prefix}"
    assert witness.inside(base, "cat", "/which") == f"old {scratch.prefix}"
