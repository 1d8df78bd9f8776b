"""Plans: tables of decisions, and the laws that hold for any of them. Nothing here acts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildtasks.errors import ConfigError, Refused
from buildtasks.fingerprint import Fingerprint
from buildtasks.image import Found, Known
from buildtasks.plan import Action, Move, Plan, Step, make, make_local, with_needs, with_reasons
from buildtasks.reference import Repository
from buildtasks.revision import Revision
from buildtasks.settings import Service
from buildtasks.tags import (
    Wanted,
    content_tag,
    is_content_tag,
    latest_moves,
    release_tags,
    revision_tags,
)
from buildtasks.version import Version

ONE, TWO = "1" * 64, "2" * 64
SRC_ONE = "src-111111111111"
NEW, OLD = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
RELEASE = Wanted(("1.0.0",), ("latest",), "why")


def service(name: str, *needs: str) -> Service:
    return Service(name, f"/{name}", f"/{name}/Dockerfile", Repository("localhost:5000", name), needs=needs)


WEB = service("web")


def planned(
    images: Mapping[str, Found], wanted: Wanted = RELEASE, *, names: Iterable[str] = (), force: bool = False
) -> Plan:
    return make(
        [WEB],
        wanted,
        version=Version.parse("1.0.0"),
        revision=Revision(),
        fingerprints={"web": Fingerprint(ONE)},
        known={"web": Known(images, (*images, *names))},
        force=force,
    )


OURS, OTHER, FOREIGN = Found(NEW, ONE), Found(OLD, TWO), Found(OLD, None)

DECISIONS = [
    pytest.param({}, Action.BUILD, "not in the registry yet", None, id="empty-registry"),
    pytest.param({"latest": OTHER}, Action.BUILD, "inputs changed", None, id="other-image-there"),
    pytest.param({SRC_ONE: OURS}, Action.REUSE, "unchanged; sets 1.0.0, latest", NEW, id="content-there"),
    pytest.param({SRC_ONE: OURS, "1.0.0": OURS}, Action.REUSE, "unchanged; sets latest", NEW, id="latest-missing"),
    pytest.param({SRC_ONE: OURS, "latest": OURS}, Action.REUSE, "unchanged; sets 1.0.0", NEW, id="version-missing"),
    pytest.param(
        {SRC_ONE: OURS, "1.0.0": OURS, "latest": OTHER},
        Action.REUSE,
        "unchanged; sets latest",
        NEW,
        id="latest-elsewhere",
    ),
    pytest.param(
        {SRC_ONE: OURS, "1.0.0": OURS, "latest": OURS}, Action.SKIP, "unchanged, and every tag is there", NEW, id="done"
    ),
    pytest.param({"latest": OURS}, Action.REUSE, "unchanged; sets 1.0.0", NEW, id="content-tag-gone"),
    pytest.param({"1.0.0": OURS}, Action.REUSE, "unchanged; sets latest", NEW, id="only-the-version-there"),
]


@pytest.mark.parametrize("images, action, reason, digest", DECISIONS)
def test_decisions(images: dict[str, Found], action: Action, reason: str, digest: str | None) -> None:
    plan = planned(images)
    step = plan.steps[0]
    assert (step.action, step.reason, step.digest, step.fingerprint) == (action, reason, digest, ONE)
    assert step.permanent == (WEB.repository.tag("1.0.0"),)
    was = images["latest"].digest if "latest" in images else None
    assert step.moving == (Move(WEB.repository.tag("latest"), was),)
    assert step.source == (WEB.repository.at(digest) if digest else WEB.repository.tag(SRC_ONE))
    assert step.content == WEB.repository.tag(SRC_ONE)
    assert plan.notes == ("why",)
    assert plan.to_build() == (plan.steps if action is Action.BUILD else ())


def test_unknown_inputs_are_built_and_named() -> None:
    plan = make(
        [WEB],
        Wanted(),
        version=None,
        revision=Revision(),
        fingerprints={"web": Fingerprint(ONE, ("base alpine", "need api"))},
        known={"web": Known({"latest": OTHER}, ("latest",))},
    )
    assert (plan.steps[0].action, plan.steps[0].reason) == (Action.BUILD, "not known: base alpine, need api")


@pytest.mark.parametrize(
    "images",
    [
        pytest.param({}, id="empty"),
        pytest.param({SRC_ONE: OURS, "latest": OURS}, id="same-there"),
        pytest.param({SRC_ONE: FOREIGN}, id="foreign-content-tag"),
    ],
)
def test_force_builds_whatever_is_there(images: dict[str, Found]) -> None:
    step = planned(images, Wanted((), ("latest",)), force=True).steps[0]
    assert (step.action, step.reason, step.digest) == (Action.BUILD, "forced", None)


@pytest.mark.parametrize(
    "images, force, said",
    [
        pytest.param(
            {"1.0.0": OTHER}, False, f"localhost:5000/web:1.0.0 exists with other content ({OLD})", id="built"
        ),
        pytest.param({"1.0.0": FOREIGN}, False, "localhost:5000/web:1.0.0 exists", id="foreign-version"),
        pytest.param({SRC_ONE: OURS, "1.0.0": OTHER}, False, "localhost:5000/web:1.0.0 exists", id="reused"),
        pytest.param({"1.0.0": OURS}, True, "localhost:5000/web:1.0.0 exists", id="forced-over-a-version"),
        pytest.param({SRC_ONE: OTHER}, False, f"localhost:5000/web:{SRC_ONE} exists", id="content-tag-of-others"),
        pytest.param({SRC_ONE: FOREIGN}, False, f"localhost:5000/web:{SRC_ONE} exists", id="content-tag-without-label"),
    ],
)
def test_permanent_tags_never_change(images: dict[str, Found], force: bool, said: str) -> None:
    with pytest.raises(Refused) as caught:
        planned(images, force=force)
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("a version never changes: take a new version")
    assert caught.value.code == 3


def test_every_taken_tag_is_told() -> None:
    both = [WEB, service("api")]
    with pytest.raises(Refused) as caught:
        make(
            both,
            RELEASE,
            version=None,
            revision=Revision(),
            fingerprints={one.name: Fingerprint(ONE) for one in both},
            known={one.name: Known({"1.0.0": OTHER}) for one in both},
        )
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "localhost:5000/web:1.0.0",
        "localhost:5000/api:1.0.0",
        "a",
    ]


def test_two_services_in_one_repository_are_refused() -> None:
    twins = [WEB, replace(service("api"), repository=WEB.repository)]
    nothing = {one.name: Known() for one in twins}
    prints = {one.name: Fingerprint(ONE) for one in twins}
    said = r"^services web and api both publish to localhost:5000/web$"
    with pytest.raises(ConfigError, match=said):
        make(twins, RELEASE, version=None, revision=Revision(), fingerprints=prints, known=nothing)
    with pytest.raises(ConfigError, match=said):
        make_local(twins, version=None, revision=Revision(), fingerprints=prints, local=nothing, remote={})


HERE = Found(None, ONE)


@pytest.mark.parametrize(
    "here, there, force, action, reason",
    [
        pytest.param({}, {}, False, Action.BUILD, "not in the engine yet", id="nowhere"),
        pytest.param({"latest": OTHER}, {}, False, Action.BUILD, "inputs changed", id="another-here"),
        pytest.param({SRC_ONE: HERE}, {}, False, Action.SKIP, "in the engine", id="here"),
        pytest.param({SRC_ONE: HERE}, {SRC_ONE: OURS}, False, Action.SKIP, "in the engine", id="both"),
        pytest.param({}, {SRC_ONE: OURS}, False, Action.REUSE, "in the registry", id="there"),
        pytest.param({}, {SRC_ONE: FOREIGN}, False, Action.BUILD, "not in the engine yet", id="foreign-there"),
        pytest.param({SRC_ONE: HERE}, {SRC_ONE: OURS}, True, Action.BUILD, "forced", id="forced"),
        pytest.param({"latest": HERE}, {}, False, Action.BUILD, "inputs changed", id="only-under-another-tag"),
    ],
)
def test_local_decisions(
    here: dict[str, Found], there: dict[str, Found], force: bool, action: Action, reason: str
) -> None:
    plan = make_local(
        [WEB],
        version=None,
        revision=Revision(),
        fingerprints={"web": Fingerprint(ONE)},
        local={"web": Known(here, tuple(here))},
        remote={"web": Known(there)} if there else {},
        force=force,
    )
    step = plan.steps[0]
    assert (step.action, step.reason, step.permanent, step.moving) == (action, reason, (), ())
    assert step.source == (WEB.repository.at(NEW) if action is Action.REUSE else WEB.repository.tag(SRC_ONE))


def test_better_reasons_replace_only_their_own() -> None:
    plan = planned({})
    assert with_reasons(plan, {"web": "2 files changed"}).steps[0].reason == "2 files changed"
    assert with_reasons(plan, {"api": "x"}) == plan


@pytest.mark.parametrize(
    "chosen, found",
    [
        (["a"], ["a"]),
        (["c"], ["a", "b", "c"]),
        (["d"], ["a", "d"]),
        (["d", "c"], ["a", "b", "c", "d"]),
        ([], []),
    ],
)
def test_needs_come_along_in_order(chosen: list[str], found: list[str]) -> None:
    services = [service("a"), service("b", "a"), service("c", "b"), service("d", "a"), service("e")]
    wanted = [one for one in services if one.name in chosen]
    assert [one.name for one in with_needs(services, wanted)] == found


# Tags


@pytest.mark.parametrize(
    "version, rule, names, moves, why",
    [
        ("1.0.0", "newest", [], True, "latest moves: 1.0.0 is the newest version"),
        ("1.0.0", "newest", ["0.9.0", "latest", "main", SRC_ONE], True, "latest moves: 1.0.0 is the newest version"),
        ("1.0.0", "newest", ["1.0.0"], True, "latest moves: 1.0.0 is the newest version"),
        ("1.10.0", "newest", ["1.9.0"], True, "latest moves: 1.10.0 is the newest version"),
        ("1.2.4", "newest", ["1.2.3", "2.0.0"], False, "latest stays: 1.2.4 is lower than 2.0.0"),
        ("2.0.0", "newest", ["2.0.1-rc.1"], True, "latest moves: 2.0.0 is the newest version"),
        ("2.0.0-rc.1", "newest", [], False, "latest stays: 2.0.0-rc.1 is a pre-release"),
        ("2.0.0-rc.1", "always", ["3.0.0"], True, "latest moves: always"),
        ("1.0.0", "always", ["3.0.0"], True, "latest moves: always"),
        ("1.0.0", "never", [], False, "latest stays: never"),
    ],
)
def test_when_latest_moves(version: str, rule: str, names: list[str], moves: bool, why: str) -> None:
    assert latest_moves(Version.parse(version), rule, names) == (moves, why)
    found = release_tags(Version.parse(version), latest=rule, known=[Known({}, ()), Known({}, tuple(names))])
    assert found == Wanted((version,), ("latest",) if moves else (), why)


def test_build_metadata_becomes_a_tag() -> None:
    assert release_tags(Version.parse("1.0.0+b.1"), latest="never", known=[]).permanent == ("1.0.0-b.1",)


@pytest.mark.parametrize(
    "revision, wanted",
    [
        (Revision("c" * 40), Wanted(("sha-ccccccc",), ("latest",))),
        (Revision("c" * 40, dirty=True), Wanted((), ("latest",), "no sha- tag: uncommitted changes")),
        (Revision(), Wanted((), ("latest",), "no sha- tag: no commit")),
    ],
    ids=["clean", "dirty", "no-commit"],
)
def test_tags_of_a_revision(revision: Revision, wanted: Wanted) -> None:
    assert revision_tags(revision, ("latest",)) == wanted


@pytest.mark.parametrize(
    "tag, ours",
    [(SRC_ONE, True), (f"{SRC_ONE}.inputs", True), ("src-1", False), ("src-zzzzzzzzzzzz", False), ("1.0.0", False)],
)
def test_content_tags(tag: str, ours: bool) -> None:
    assert is_content_tag(tag) is ours
    assert content_tag(ONE) == SRC_ONE


# Laws

VERSIONS = st.builds(
    lambda core, pre: Version.parse(".".join(map(str, core)) + pre),
    st.tuples(*[st.integers(0, 3)] * 3),
    st.sampled_from(["", "", "", "-rc.1", "-alpha"]),
)


@given(st.lists(VERSIONS, max_size=8))
def test_newest_never_goes_back(releases: list[Version]) -> None:
    tags: list[str] = []
    latest: Version | None = None
    for version in releases:
        moves, _ = latest_moves(version, "newest", tags)
        tags.append(str(version))
        if moves:
            assert latest is None or not version < latest
            latest = version
    stable = [version for version in releases if not version.prerelease]
    assert latest == max(stable, default=None)


FOUND = st.builds(Found, st.sampled_from([NEW, OLD]), st.sampled_from([ONE, TWO, None]))
TAGS = st.sampled_from([SRC_ONE, "1.0.0", "latest", "main", "0.9.0"])
STATES = st.dictionaries(TAGS, FOUND)
WANTED = st.builds(Wanted, st.sampled_from([(), ("1.0.0",)]), st.sampled_from([(), ("latest",), ("latest", "main")]))


def carried_out(plan: Plan, state: Mapping[str, Known]) -> dict[str, Known]:
    """Return what the registry has when a plan has been done."""
    after = {}
    for step in plan.steps:
        images = dict(state[step.service.name].images)
        image = Found(step.digest or f"sha256:{'c' * 64}", step.fingerprint)
        tags = [step.content] if step.action is Action.BUILD else []
        tags += [*step.permanent, *(move.reference for move in step.moving)]
        images |= {str(reference.tag): image for reference in tags}
        after[step.service.name] = Known(images, tuple(images))
    return after


@given(st.tuples(STATES, STATES), WANTED, st.booleans())
def test_done_plans_have_nothing_left_to_do(
    states: tuple[dict[str, Found], dict[str, Found]], wanted: Wanted, force: bool
) -> None:
    services = [service("api"), service("web", "api")]
    state = {one.name: Known(images, tuple(images)) for one, images in zip(services, states, strict=True)}
    prints = {"api": Fingerprint(ONE), "web": Fingerprint(TWO)}

    def planned(known: Mapping[str, Known], force: bool = False) -> Plan:
        return make(
            services,
            wanted,
            version=None,
            revision=Revision(),
            fingerprints=prints,
            known=known,
            force=force,
        )

    try:
        plan = planned(state, force)
    except Refused:
        for one, tag in itertools.product(services, wanted.permanent):
            if tag not in state[one.name].images:
                continue
            break
        else:
            assert not force
            assert any(content_tag(prints[one.name].value) in state[one.name].images for one in services)
        return
    assert planned(state, force) == plan
    after = carried_out(plan, state)
    assert {step.action for step in planned(after).steps} == {Action.SKIP}
    for one in services:
        for tag in wanted.permanent:
            before = state[one.name].images.get(tag)
            assert before is None or before.digest == after[one.name].images[tag].digest


def test_steps_are_values() -> None:
    one = planned({}).steps[0]
    assert one == Step(WEB, Action.BUILD, one.reason, ONE, None, one.permanent, one.moving, one.source)
