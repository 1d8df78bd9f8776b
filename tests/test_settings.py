"""The configuration: real invoke.yaml files read by invoke itself, real `inv`, and the real `docker buildx bake`."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import cases
import platformdirs
import pytest
from conftest import Scratch
from hypothesis import given
from hypothesis import strategies as st
from invoke.context import Context
from invoked import LEAVES_PIPES, configuration
from invoked import collected as collected

from buildtasks.defaults import DEFAULTS
from buildtasks.errors import ConfigError
from buildtasks.reference import Repository
from buildtasks.settings import FIELDS, Project, Service, fields, load, schema, selected
from buildtasks.settings.bakefile import UNSUPPORTED
from buildtasks.settings.services import FIELDS as SERVICE_FIELDS
from buildtasks.settings.services import NAME, is_remote
from sandbox import Sandbox

pytestmark = LEAVES_PIPES

REPOSITORY = "ghcr.io/you/{service}"


class Place:
    """A folder with an invoke.yaml of its own, read as invoke reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("tasks.py", "from buildtasks import ns\n")

    def write(self, path: str, text: str = "FROM scratch\n") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def services(self, *names: str) -> None:
        for name in names:
            self.write(f"services/{name}/Dockerfile")

    def context(self) -> Context:
        config = configuration(self.root)
        config.load_project()
        config.load_collection({"buildtasks": dict(DEFAULTS)})
        config.load_shell_env()
        return Context(config)

    def load(self, text: str | None = None) -> Project:
        """Load the project; without a text the file stays as it is."""
        if text is not None:
            self.write("invoke.yaml", text)
        return load(self.context())

    def section(self, lines: str = "", repository: str = REPOSITORY) -> Project:
        """Load the project with these lines in its section."""
        inside = f"repository: {repository}\n{lines}".replace("\n", "\n  ")
        return self.load(f"buildtasks:\n  {inside}\n")

    def refused(self, lines: str, repository: str = REPOSITORY) -> str:
        """Return the error that these lines give."""
        with pytest.raises(ConfigError) as caught:
            self.section(lines, repository)
        assert caught.value.code == 2
        return str(caught.value)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith("INVOKE_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "project"
    root.mkdir()
    return Place(root)


def names(services: Iterable[Service]) -> list[str]:
    return [service.name for service in services]


# Where services come from


def test_folders_with_a_dockerfile_are_services(place: Place) -> None:
    place.services("web", "api")
    place.write("services/notes/README.md", "no Dockerfile here")
    place.write("services/Dockerfile")
    (place.root / "services/odd/Dockerfile").mkdir(parents=True)
    project = place.section()
    assert names(project.services) == ["api", "web"]
    api = project.services[0]
    assert api.context == os.fspath(place.root / "services/api")
    assert api.dockerfile == os.fspath(place.root / "services/api/Dockerfile")
    assert api.repository == Repository("ghcr.io", "you/api")
    assert (api.target, api.args, api.platforms, api.needs, api.test) == ("", {}, (), (), ())


def test_another_folder_of_services(place: Place) -> None:
    place.write("images/web/Dockerfile")
    assert names(place.section("services: images").services) == ["web"]


def test_defaults(place: Place) -> None:
    place.services("web")
    project = place.section()
    assert (project.latest, project.bases, project.fingerprint, project.builder) == (
        "newest",
        "registry",
        "content",
        "",
    )
    assert (project.keep, project.jobs) == (3, os.cpu_count())
    assert project.root == place.root
    assert project.version_file == place.root / "VERSION"
    mark = hashlib.sha256(os.fsencode(place.root)).hexdigest()[:12]
    assert project.state == platformdirs.user_state_path("buildtasks") / f"project-{mark}"
    assert place.root not in project.state.parents


@pytest.mark.parametrize("key", sorted(DEFAULTS))
def test_an_empty_value_means_the_default(place: Place, key: str) -> None:
    place.services("web")
    text = "buildtasks:\n  services:\n    web: {repository: ghcr.io/you/web}\n"
    assert place.load(f"{text}  {key}:\n") == place.load(f'{text}  {key}: ""\n') == place.load(text)


def test_every_setting(place: Place) -> None:
    place.services("web")
    project = place.section(
        "platforms: linux/amd64, linux/arm64\nlabels: {team: core}\nlatest: always\nbases: pinned\n"
        "fingerprint: dependencies\nbuilder: far\njobs: 2\nkeep: 7\nversion_file: a/V\nstate: /var/x"
    )
    assert project.services[0].platforms == ("linux/amd64", "linux/arm64")
    assert project.services[0].labels == {"team": "core"}
    assert (project.latest, project.bases, project.fingerprint) == ("always", "pinned", "dependencies")
    assert (project.builder, project.jobs, project.keep) == ("far", 2, 7)
    assert (project.version_file, project.state) == (place.root / "a/V", Path("/var/x"))


MAPPING = """\
labels: {team: core, kind: image}
platforms: linux/amd64
services:
  web:
    context: src
    dockerfile: docker/web.Dockerfile
    repository: localhost:5000/my-{service}
    target: final
    args: {A: "1", EMPTY: ""}
    labels: {kind: web}
    platforms: [linux/arm64]
    secrets: ["id=a,src=b", id=c]
    ssh: default
    contexts: {assets: assets, alpine: docker-image://alpine:3, code: "https://example.org/a.git"}
    needs: base
    network: none
    test: sh -c "exit 0"
  base:
    context: base
"""


def test_a_mapping_with_every_word(place: Place) -> None:
    place.write("src/docker/web.Dockerfile")
    place.write("base/Dockerfile")
    place.write("assets/a")
    base, web = place.section(MAPPING).services
    assert web == Service(
        name="web",
        context=os.fspath(place.root / "src"),
        dockerfile=os.fspath(place.root / "src/docker/web.Dockerfile"),
        repository=Repository("localhost:5000", "my-web"),
        target="final",
        args={"A": "1", "EMPTY": ""},
        labels={"team": "core", "kind": "web"},
        platforms=("linux/arm64",),
        secrets=("id=a,src=b", "id=c"),
        ssh=("default",),
        contexts={
            "assets": os.fspath(place.root / "assets"),
            "alpine": "docker-image://alpine:3",
            "code": "https://example.org/a.git",
        },
        needs=("base",),
        network="none",
        test=("sh", "-c", "exit 0"),
    )
    assert (base.platforms, base.labels) == (("linux/amd64",), {"team": "core", "kind": "image"})
    assert not web.remote


def test_a_remote_context_is_not_looked_for_here(place: Place) -> None:
    web = place.section("services: {web: {context: 'https://example.org/web.git#v1:sub', dockerfile: a/D}}").services[0]
    assert (web.context, web.dockerfile, web.remote) == ("https://example.org/web.git#v1:sub", "a/D", True)


@pytest.mark.parametrize(
    "context, remote",
    [
        ("https://example.org/a.git", True),
        ("http://example.org/a.tar.gz", True),
        ("git://example.org/a", True),
        ("ssh://git@example.org/a", True),
        ("git@example.org:a/b", True),
        ("me@example.org:a/b", True),
        ("github.com/a/b", True),
        ("services/web", False),
        ("/srv/web", False),
        ("../web.git", False),
        ("web.git", False),
        ("git@home", False),
    ],
)
def test_which_contexts_are_remote(context: str, remote: bool) -> None:
    assert is_remote(context) is remote


@pytest.mark.parametrize("name", ["items", "keys", "values", "get", "pop", "clear", "update", "copy"])
def test_a_service_may_be_called_as_a_method_of_a_dict(place: Place, name: str) -> None:
    place.services(name)
    service = place.section(f"services: {{{name}: {{args: {{{name}: x, keys: z}}}}}}").services[0]
    assert (service.name, service.args) == (name, {name: "x", "keys": "z"})


def test_a_service_with_nothing_set_has_its_folder(place: Place) -> None:
    place.services("web")
    assert place.section("services:\n  web:").services == place.section("services: {web: {}}").services


# What is refused, and in which words

WRONG = [
    pytest.param("serices: x", "serices: unknown setting; did you mean services?", id="unknown-key"),
    pytest.param("zzz: x", "zzz: unknown setting", id="unknown-key-near-nothing"),
    pytest.param("services: {web: {taget: x}}", "services.web.taget: unknown setting; did you mean target?", id="deep"),
    pytest.param("services: nowhere", "services: no such folder or file: nowhere", id="no-folder"),
    pytest.param("services: empty", "services: no service with a Dockerfile in empty", id="no-service"),
    pytest.param("services: {}", "services: no service with a Dockerfile in {}", id="empty-mapping"),
    pytest.param("services: [web]", "services: a text is needed, found ['web']", id="list-of-services"),
    pytest.param("services: {web: 3}", "services.web: a mapping is needed, found 3", id="service-a-number"),
    pytest.param("services: {web: false}", "services.web: a mapping is needed, found False", id="service-false"),
    pytest.param("services: {web: []}", "services.web: a mapping is needed, found []", id="service-a-list"),
    pytest.param("services: {web: x}", "services.web: a mapping is needed, found 'x'", id="service-a-text"),
    pytest.param("services: {-web: {}}", "services.-web: not a service name: '-web' (lower case", id="name-dash"),
    pytest.param("services: {a..b: {}}", "services.a..b: not a service name: 'a..b'", id="name-dots"),
    pytest.param("services: {../x: {}}", "services.../x: not a service name: '../x'", id="name-parent"),
    pytest.param("services: {Web: {}}", "services.Web: not a service name: 'Web'", id="name-upper-case"),
    pytest.param("services: {a/b: {}}", "services.a/b: not a service name: 'a/b'", id="name-slash"),
    pytest.param('services: {"": {}}', "services.: not a service name: ''", id="name-empty"),
    pytest.param('services: {"a\\n": {}}', "services.a\n: not a service name: 'a\\n'", id="name-newline"),
    pytest.param("services: {web: {context: ../x}}", "services.web.context: no such folder: ../x", id="no-context"),
    pytest.param("services: {gone: {}}", "services.gone.context: no such folder: services/gone", id="no-own-folder"),
    pytest.param("services: {web: {context: tasks.py}}", "services.web.context: not a folder: tasks.py", id="a-file"),
    pytest.param(
        "services: {web: {dockerfile: D}}", "services.web.dockerfile: no such file: services/web/D", id="no-dockerfile"
    ),
    pytest.param(
        "services: {web: {contexts: {a: b}}}", "services.web.contexts.a: no such folder: b", id="no-named-context"
    ),
    pytest.param(
        "services: {web: {args: {V: 3.10}}}",
        'services.web.args.V: a text is needed, YAML made a float of it: quote it, "3.1"',
        id="yaml-float",
    ),
    pytest.param(
        "services: {web: {args: {V: 3}}}",
        'services.web.args.V: a text is needed, YAML made a int of it: quote it, "3"',
        id="yaml-int",
    ),
    pytest.param(
        "services: {web: {args: {V: on}}}",
        'services.web.args.V: a text is needed, YAML made a bool of it: quote it, "True"',
        id="yaml-bool",
    ),
    pytest.param(
        "services: {web: {args: {V: 2026-01-02}}}",
        'services.web.args.V: a text is needed, YAML made a date of it: quote it, "2026-01-02"',
        id="yaml-date",
    ),
    pytest.param(
        "services: {web: {args: {V: }}}", "services.web.args.V: a text is needed, found nothing", id="arg-of-nothing"
    ),
    pytest.param("services: {web: {args: [A=1]}}", "services.web.args: a mapping is needed, found ['A=1']", id="args"),
    pytest.param("services: {web: {target: ''}}", "services.web.target: a text is needed, found ''", id="empty-text"),
    pytest.param("services: {web: {secrets: {a: b}}}", "services.web.secrets: a list is needed, found {", id="secrets"),
    pytest.param(
        "services: {web: {secrets: [a, 1]}}", "services.web.secrets[1]: a text is needed, YAML made a int", id="item"
    ),
    pytest.param("services: {web: {test: []}}", "services.web.test: a command is needed, found []", id="no-command"),
    pytest.param(
        'services: {web: {test: "echo \'a"}}', "services.web.test: No closing quotation: echo 'a", id="open-quote"
    ),
    pytest.param(
        "services: {web: {needs: bsae}, base: {}}",
        "services.web.needs: no such service: bsae; did you mean base?",
        id="unknown-need",
    ),
    pytest.param("services: {web: {needs: web}}", "services: needs go in a circle: web -> web", id="needs-itself"),
    pytest.param("platforms: [1]", "platforms[0]: a text is needed, YAML made a int of it", id="platforms"),
    pytest.param("labels: x", "labels: a mapping is needed, found 'x'", id="labels"),
    pytest.param("latest: sometimes", "latest: one of newest, always, never is needed, found 'sometimes'", id="latest"),
    pytest.param("latest: true", "latest: one of newest, always, never is needed, found True", id="latest-bool"),
    pytest.param("bases: x", "bases: one of registry, pinned is needed, found 'x'", id="bases"),
    pytest.param("fingerprint: x", "fingerprint: one of content, dependencies is needed", id="fingerprint"),
    pytest.param("jobs: 0", "jobs: a whole number of at least 1 is needed, found 0", id="no-jobs"),
    pytest.param("jobs: true", "jobs: a whole number of at least 1 is needed, found True", id="jobs-bool"),
    pytest.param("jobs: 1.5", "jobs: a whole number of at least 1 is needed, found 1.5", id="half-a-job"),
    pytest.param("keep: -1", "keep: a whole number of at least 1 is needed, found -1", id="keep-less-than-none"),
    pytest.param("keep: '٣'", "keep: a whole number of at least 1 is needed, found '٣'", id="other-digits"),
    pytest.param(f"keep: '{'9' * 5000}'", "keep: a whole number of at least 1 is needed, found '999", id="too-large"),
    pytest.param("version_file: 1.0", "version_file: a text is needed, YAML made a float", id="version-file"),
]


@pytest.mark.parametrize("lines, said", WRONG)
def test_errors_name_file_and_key_and_say_what_to_do(place: Place, lines: str, said: str) -> None:
    place.services("web", "base")
    (place.root / "empty").mkdir()
    told = place.refused(lines)
    assert told.startswith(f"invoke.yaml: buildtasks.{said}")
    assert len(told) < 250


@pytest.mark.parametrize(
    "template, said",
    [
        pytest.param("''", "repository: missing; where do the images go? for example ghcr.io/you/{service}", id="none"),
        pytest.param("ghcr.io/{sevice}", "repository: unknown {sevice}; did you mean service?", id="unknown-place"),
        pytest.param("'ghcr.io/{}'", "repository: unknown {}", id="no-name"),
        pytest.param("'ghcr.io/{service'", "repository: expected '}' before end of string", id="open-brace"),
        pytest.param("'ghcr.io/service}'", "repository: Single '}' encountered", id="close-brace"),
        pytest.param("'ghcr.io/{service:d}'", "repository: a name alone is needed in the braces", id="format"),
        pytest.param("'ghcr.io/{service!r}'", "repository: a name alone is needed in the braces", id="conversion"),
        pytest.param("'ghcr.io/{service.x}'", "repository: unknown {service.x}", id="attribute"),
        pytest.param("GHCR.IO/You/{service}", "repository: ", id="upper-case"),
        pytest.param("ghcr.io/{service}:1.0", "repository: ", id="with-a-tag"),
        pytest.param("https://ghcr.io/{service}", "repository: ", id="with-a-scheme"),
    ],
)
def test_templates_of_repositories_are_checked(place: Place, template: str, said: str) -> None:
    place.services("web")
    assert place.refused("", template).startswith(f"invoke.yaml: buildtasks.{said}")
    if template != "''":
        own = place.refused(
            f"services: {{web: {{repository: {template if template[0] == chr(39) else repr(template)}}}}}"
        )
        assert own.startswith(f"invoke.yaml: buildtasks.services.web.{said}")


def test_a_circle_of_needs_is_drawn(place: Place) -> None:
    place.services("a", "b", "c", "d")
    told = place.refused("services: {a: {needs: b}, b: {needs: [d, c]}, c: {needs: a}, d: {}}")
    circle = told.removeprefix("invoke.yaml: buildtasks.services: needs go in a circle: ").split(" -> ")
    assert circle[0] == circle[-1]
    assert set(circle) == {"a", "b", "c"}
    needs = {("a", "b"), ("b", "c"), ("c", "a")}
    assert set(itertools.pairwise(circle)) == needs


def test_the_file_is_named_as_it_is(place: Place) -> None:
    place.write("invoke.json", '{"buildtasks": {"repositry": "x"}}')
    with pytest.raises(ConfigError, match=r"^invoke\.json: buildtasks\.repositry: unknown setting"):
        place.load()


def test_selected(place: Place) -> None:
    place.services("api", "web", "worker")
    project = place.section()
    assert names(selected(project, ())) == ["api", "web", "worker"]
    assert names(selected(project, ["web", "api", "web"])) == ["api", "web"]
    with pytest.raises(
        ConfigError, match=r"^no such service: wrker; did you mean worker\? \(known: api, web, worker\)"
    ):
        selected(project, ["api", "wrker"])


# Environment, sub-directories, composition: through `inv` as people run it

SHOW = """\
import json
from invoke import Collection, task
from buildtasks import load, ns

@task
def show(c):
    project = load(c)
    print(json.dumps({
        "root": str(project.root), "latest": project.latest, "jobs": project.jobs, "keep": project.keep,
        "services": {one.name: str(one.repository) for one in project.services},
    }))

"""


@pytest.fixture
def shown(place: Place) -> Scratch:
    place.services("web")
    place.write("invoke.yaml", f"buildtasks:\n  repository: {REPOSITORY}\n  keep: 5\n")
    place.write("tasks.py", SHOW + "ns.add_task(show)\n")
    return Scratch(place.root, "unused")


def answer(scratch: Scratch, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Any:
    said = scratch.inv(*args, "show", env=env, cwd=cwd)
    assert said.code == 0, said.err
    return said.json


def test_variables_win_over_the_file(shown: Scratch) -> None:
    env = {
        "INVOKE_BUILDTASKS_REPOSITORY": "localhost:5000/fork/{service}",
        "INVOKE_BUILDTASKS_JOBS": "2",
        "INVOKE_BUILDTASKS_KEEP": "9",
        "INVOKE_BUILDTASKS_LATEST": "never",
    }
    found = answer(shown, env=env)
    assert found == {
        "root": str(shown.root),
        "latest": "never",
        "jobs": 2,
        "keep": 9,
        "services": {"web": "localhost:5000/fork/web"},
    }


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("LATEST", "false", "latest: one of newest, always, never is needed, found 'false'"),
        ("JOBS", "many", "jobs: a whole number of at least 1 is needed, found 'many'"),
        ("JOBS", "0", "jobs: a whole number of at least 1 is needed, found '0'"),
    ],
)
def test_wrong_variables_are_errors_without_a_traceback(shown: Scratch, name: str, value: str, said: str) -> None:
    answered = shown.inv("show", env={f"INVOKE_BUILDTASKS_{name}": value})
    assert (answered.code, answered.err) == (2, f"invoke.yaml: buildtasks.{said}\n")


def test_an_empty_variable_means_the_default(shown: Scratch) -> None:
    assert answer(shown, env={"INVOKE_BUILDTASKS_LATEST": "", "INVOKE_BUILDTASKS_JOBS": ""})["latest"] == "newest"


def test_from_a_sub_directory_and_with_a_search_root(shown: Scratch, tmp_path: Path) -> None:
    deep = shown.root / "services" / "web"
    assert answer(shown, cwd=deep) == answer(shown) == answer(shown, "-r", str(shown.root), cwd=tmp_path)


COMPOSED = {
    "same-key": 'ns = Collection(show, images=ns)\nns.configure({"buildtasks": {"latest": "always"}})\n',
    "prefix": "ns = Collection(show, Collection('deep', images=ns))\n",
    "other-key": 'ns = Collection(show, images=ns)\nns.configure({"mine": 1})\n',
    "one-module": "from buildtasks.tasks import cache\nns = Collection(show, cache)\n",
    "no-namespace": "ns = Collection(show)\n",
}


@pytest.mark.parametrize("name", COMPOSED)
def test_defaults_survive_composition(shown: Scratch, name: str) -> None:
    shown.write("tasks.py", SHOW + COMPOSED[name])
    found = answer(shown, env={"INVOKE_BUILDTASKS_JOBS": "3"})
    assert found["latest"] == ("always" if name == "same-key" else "newest")
    assert (found["keep"], found["jobs"], found["services"]) == (5, 3, {"web": "ghcr.io/you/web"})


def test_a_wrong_file_gives_one_line_and_exit_code_2(shown: Scratch) -> None:
    shown.write("invoke.yaml", "buildtasks: {repository: ghcr.io/x, serivces: a}\n")
    said = shown.inv("show")
    assert (said.code, said.out) == (2, "")
    assert said.err == "invoke.yaml: buildtasks.serivces: unknown setting; did you mean services?\n"


# Compose and bake files, through `docker buildx bake --print`

BAKE = """\
group "default" { targets = ["web", "api"] }
target "base" {
  context = "services/base"
}
target "web" {
  context = "services/web"
  target = "final"
  contexts = { base = "target:base", alpine = "docker-image://alpine:3" }
  tags = ["localhost:5000/x/web:1", "localhost:5000/y/web:2"]
  args = { A = "1", GONE = null }
  labels = { l = "v" }
  secret = ["id=s,src=s.txt"]
  platforms = ["linux/amd64"]
  network = "none"
}
target "api" {
  context = "https://example.org/api.git"
}
target "left-out" {
  context = "services/none"
}
"""


def test_a_bake_file(place: Place, sandbox: Sandbox) -> None:
    place.services("web", "base")
    place.write("s.txt", "x")
    place.write("docker-bake.hcl", BAKE)
    api, base, web = place.section("services: docker-bake.hcl").services
    assert (api.name, base.name) == ("api", "base")
    assert (api.context, api.dockerfile) == ("https://example.org/api.git", "Dockerfile")
    assert web == Service(
        name="web",
        context=os.fspath(place.root / "services/web"),
        dockerfile=os.fspath(place.root / "services/web/Dockerfile"),
        repository=Repository("ghcr.io", "you/web"),
        target="final",
        args={"A": "1"},
        labels={"l": "v"},
        platforms=("linux/amd64",),
        secrets=("id=s,src=s.txt",),
        contexts={"alpine": "docker-image://alpine:3"},
        needs=("base",),
        # buildx before 0.14 does not print it.
        network=web.network,
    )
    assert web.network in ("", "none")


COMPOSE = """\
services:
  web:
    image: localhost:5000/x/web:1.0
    build:
      context: services/web
      args: {A: "1", FROM_ENVIRONMENT: }
      additional_contexts: {base: "target:base"}
      secrets: [s]
  base:
    build: services/base
  database:
    image: postgres
secrets: {s: {file: ./s.txt}}
"""


def test_a_compose_file(place: Place, sandbox: Sandbox) -> None:
    place.services("web", "base")
    place.write("s.txt", "x")
    place.write("compose.yaml", COMPOSE)
    base, web = place.section("services: compose.yaml").services
    assert (base.name, base.repository) == ("base", Repository("ghcr.io", "you/base"))
    assert (web.repository, web.args, web.needs) == (Repository("ghcr.io", "you/web"), {"A": "1"}, ("base",))
    assert web.secrets == ("id=s,src=s.txt",)


def test_tags_of_a_file_name_the_repository_where_no_template_does(place: Place, sandbox: Sandbox) -> None:
    place.services("web")
    place.write("compose.yaml", "services:\n  web:\n    image: localhost:5000/x/web:1.0\n    build: services/web\n")
    (web,) = place.section("services: compose.yaml", repository='""').services
    assert web.repository == Repository("localhost:5000", "x/web")


def test_a_need_that_is_also_a_named_context(place: Place) -> None:
    place.services("web", "base")
    said = place.refused("services: {base: {}, web: {needs: [base], contexts: {base: services/base}}}")
    assert said == "invoke.yaml: buildtasks.services.web.contexts.base: also among needs: take one of them"


TARGET = 'target "default" {\n  %s\n}\n'


@pytest.mark.parametrize(
    "text, said",
    [
        pytest.param('target "x" {\n}\n', "services (docker-bake.hcl): failed to find target default", id="no-default"),
        pytest.param("target {", "services (docker-bake.hcl): ", id="syntax"),
        pytest.param(TARGET % 'context = "gone"', "services (docker-bake.hcl).default.context: no such", id="context"),
        pytest.param(
            TARGET % 'context = "services/web"\ndockerfile-inline = "FROM scratch"',
            "services (docker-bake.hcl).default.dockerfile-inline: not supported",
            id="inline",
        ),
        pytest.param(
            TARGET % 'context = "services/web"\ncontexts = { other = "target:base" }\n}\n'
            'target "base" {\ncontext = "services/base"',
            "services (docker-bake.hcl).default.contexts.other: name it base, as the target is named",
            id="renamed-target",
        ),
    ],
)
def test_errors_of_bake_files(place: Place, sandbox: Sandbox, text: str, said: str) -> None:
    place.services("web", "base")
    place.write("docker-bake.hcl", text)
    assert place.refused("services: docker-bake.hcl").startswith(f"invoke.yaml: buildtasks.{said}")
    assert "dockerfile-inline" in UNSUPPORTED


def test_names_of_bake_are_names_here_or_refused_in_words(place: Place) -> None:
    """A repository has lower case names only, and so has a named context: both are narrower than bake's names."""
    for case in cases.load("bake_names"):
        if not case["op"].endswith("_name"):
            continue
        name = case["input"]
        mine = bool(NAME.fullmatch(name))
        assert mine or not case["valid"] or name != name.lower() or name.startswith("_"), name
        place.services(*([name] if mine else []))
        if mine:
            assert names(place.section(f"services: {{{name}: {{}}}}").services) == [name]
        else:
            told = place.refused(f"services: {{{name}: {{}}}}")
            assert told.startswith(f"invoke.yaml: buildtasks.services.{name}: not a service name: {name!r}")


# The parts


@pytest.mark.parametrize(
    "value, meant",
    [(True, True), (False, False), *((text, True) for text in ("1", "true", "YES", "on"))]
    + [(text, False) for text in ("0", "false", "No", "off")],
)
def test_flags_read_false_as_false(value: object, meant: bool) -> None:
    assert fields.flag(value, "x") is meant


@pytest.mark.parametrize("value", ["", "2", "maybe", None, 2])
def test_anything_else_is_no_flag(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^x: true or false is needed"):
        fields.flag(value, "x")


@given(st.integers(1, 999_999_999))
def test_counts_read_numbers_and_their_texts(number: int) -> None:
    assert fields.count(number, "x") == fields.count(str(number), "x") == number


READERS: list[Callable[[Any, str], object]] = [
    *(field.read for key, field in FIELDS.items() if key != "services"),
    *(field.read for field in SERVICE_FIELDS.values()),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(READERS), JSON)
def test_no_value_breaks_a_reader(read: Callable[[Any, str], object], value: object) -> None:
    said = "invoke.yaml: here"
    try:
        read(value, said)
    except ConfigError as error:
        said = str(error)
    assert said.startswith("invoke.yaml: here")


@given(st.text(max_size=20))
def test_no_text_breaks_a_template(template: str) -> None:
    said = "here: "
    try:
        fields.fill(template, "here", {"service": "web"})
    except ConfigError as error:
        said = str(error)
    assert said.startswith("here: ")


def test_templates_are_filled() -> None:
    assert fields.fill("a/{service}-{{x}}-{version}", "x", {"service": "web", "version": "1"}) == "a/web-{x}-1"


# The schema

TYPES = {"string", "integer", "object", "array", "null", "boolean", "number"}


def check_schema(part: Mapping[str, Any]) -> None:
    """Check the structure of a JSON Schema: known words, known types, objects below them."""
    words = {"$schema", "title", "description", "type", "properties", "additionalProperties"}
    assert set(part) <= words | {"items", "enum", "anyOf", "minimum"}
    types = part.get("type", [])
    assert {types} if isinstance(types, str) else set(types) <= TYPES
    for below in (*part.get("properties", {}).values(), *part.get("anyOf", ())):
        check_schema(below)
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            check_schema(part[key])
    if "enum" in part:
        assert len(set(part["enum"])) == len(part["enum"]) > 1


def test_the_schema_describes_every_setting() -> None:
    whole = schema()
    assert json.loads(json.dumps(whole)) == whole
    check_schema(whole)
    section = whole["properties"]["buildtasks"]
    service = section["properties"]["services"]["anyOf"][1]["additionalProperties"]["anyOf"][0]
    for table, found in ((FIELDS, section), (SERVICE_FIELDS, service)):
        assert set(found["properties"]) == set(table)
        assert found["additionalProperties"] is False
        for key, field in table.items():
            assert found["properties"][key]["description"] == field.help
            assert len(field.help) > 10
            assert {"type", "enum", "anyOf"} & set(found["properties"][key]), key


def test_defaults_and_values_have_their_fields() -> None:
    assert set(DEFAULTS) <= set(FIELDS)
    assert set(SERVICE_FIELDS) | {"name"} == set(Service.__dataclass_fields__)
    assert all(value is None or isinstance(value, (str, int)) for value in DEFAULTS.values())
