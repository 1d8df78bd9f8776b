"""The registry client against a real registry, and against that registry behind a server that spoils answers."""

from __future__ import annotations

import email.utils
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import faults
import pytest
from faults import AFTER, BEFORE, INSIDE, Asked, Rule, Say, Ticking

from buildtasks.errors import NotFound, RegistryError, Unauthorized
from buildtasks.reference import Repository
from buildtasks.registry import MEDIA_TYPES, Descriptor, Manifest, Registries, Registry, listing
from buildtasks.registry.manifest import digest_of
from buildtasks.registry.origin import may_lead
from buildtasks.registry.transport import Call, Transport

OCI_INDEX, OCI_IMAGE, DOCKER_LIST, DOCKER_IMAGE = MEDIA_TYPES
CONFIG = "application/vnd.oci.image.config.v1+json"
NOWHERE = "sha256:" + "0" * 64
JSON = {"Content-Type": "application/json"}


class Place:
    """A repository in the real registry, and the clients that a test needs for it."""

    def __init__(self, host: str) -> None:
        self.repository = Repository(host, f"client/{uuid.uuid4().hex[:12]}")
        self.registry = Registry(host)

    def image(self, mark: str = "one", media_type: str = OCI_IMAGE) -> Manifest:
        """Upload an image without layers; different marks give different digests."""
        config = self.registry.upload(self.repository, json.dumps({"mark": mark, "config": {}}).encode(), CONFIG)
        return manifest(media_type, config=described(config), layers=[])

    def publish(self, *tags: str, mark: str = "one") -> Manifest:
        """Push an image under some tags."""
        image = self.image(mark)
        for tag in tags:
            self.registry.put(self.repository.tag(tag), image)
        return image

    def clean(self) -> None:
        """Delete every manifest of the repository."""
        heads = {self.registry.head(self.repository.tag(tag)) for tag in self.registry.tags(self.repository)}
        for head in heads:
            if head:
                self.registry.delete_manifest(self.repository.at(head.digest))


@pytest.fixture
def place(registry: str) -> Iterator[Place]:
    """Return a repository of its own, deleted afterwards."""
    place = Place(registry)
    yield place
    place.clean()


def manifest(media_type: str, **fields: object) -> Manifest:
    """Make a manifest of its fields."""
    return Manifest.of(json.dumps({"schemaVersion": 2, "mediaType": media_type, **fields}).encode())


def described(descriptor: Descriptor) -> dict[str, object]:
    """Write a descriptor as manifests hold it."""
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


# Reads and changes, on the real registry


def test_what_is_pushed_comes_back_byte_by_byte(place: Place) -> None:
    image = place.publish("1.0.0", "latest")
    for ref in (place.repository.tag("1.0.0"), place.repository.tag("latest"), place.repository.at(image.digest)):
        assert place.registry.get(ref) == image
        assert place.registry.head(ref) == image.descriptor


def test_only_what_is_there_is_found(place: Place) -> None:
    assert place.registry.head(place.repository.tag("1.0.0")) is None
    assert place.registry.get(place.repository.tag("1.0.0")) is None
    assert place.registry.get(place.repository.at(NOWHERE)) is None
    assert place.registry.tags(place.repository) == ()
    place.publish("1.0.0")
    assert place.registry.head(place.repository.tag("1.0.1")) is None
    assert not place.registry.has_blob(place.repository, NOWHERE)
    with pytest.raises(NotFound, match=rf"^GET .*/blobs/{NOWHERE}: 404 BLOB_UNKNOWN: "):
        place.registry.blob(place.repository, NOWHERE)


@pytest.mark.parametrize("kinds", [(DOCKER_LIST, DOCKER_IMAGE), (OCI_INDEX, OCI_IMAGE)], ids=["docker", "oci"])
def test_an_index_is_never_answered_with_one_of_its_children(place: Place, kinds: tuple[str, str]) -> None:
    child = place.image(media_type=kinds[1])
    place.registry.put(place.repository.at(child.digest), child)
    platform = {"architecture": "amd64", "os": "linux"}
    index = manifest(kinds[0], manifests=[{**described(child.descriptor), "platform": platform}])
    place.registry.put(place.repository.tag("multi"), index)
    assert place.registry.head(place.repository.tag("multi")) == index.descriptor
    found = place.registry.get(place.repository.tag("multi"))
    assert found == index
    assert index.is_index
    assert not child.is_index


def test_tags_are_sorted_and_none_when_the_last_is_gone(place: Place) -> None:
    image = place.publish("b", "a", "latest", "1.10.0", "1.9.0", "_x")
    assert place.registry.tags(place.repository) == ("1.10.0", "1.9.0", "_x", "a", "b", "latest")
    place.registry.delete_manifest(place.repository.at(image.digest))
    assert place.registry.tags(place.repository) == ()


def test_a_list_as_long_as_a_page_may_be_is_asked_for_once_more(place: Place) -> None:
    image = place.image()
    names = [f"t{number:03}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: place.registry.put(place.repository.tag(name), image), names))
    assert place.registry.tags(place.repository) == tuple(names)


def test_blobs_are_uploaded_once_and_read_back(place: Place) -> None:
    content = os.urandom(300_000)
    descriptor = place.registry.upload(place.repository, content)
    assert descriptor == Descriptor("application/octet-stream", digest_of(content), 300_000)
    assert place.registry.has_blob(place.repository, descriptor.digest)
    assert place.registry.blob(place.repository, descriptor.digest) == content
    assert b"".join(place.registry.stream_blob(place.repository, descriptor.digest)) == content
    assert place.registry.upload(place.repository, content) == descriptor
    with pytest.raises(RegistryError, match=r"the answer is larger than 299999 bytes"):
        place.registry.blob(place.repository, descriptor.digest, limit=299_999)


def test_an_empty_blob_is_a_blob(place: Place) -> None:
    empty = place.registry.upload(place.repository, b"")
    assert place.registry.blob(place.repository, empty.digest) == b""


def test_a_blob_goes_from_one_repository_to_another_in_pieces(place: Place) -> None:
    content = os.urandom(700_000)
    source = place.registry.upload(place.repository, content)
    target = Repository(place.repository.registry, f"{place.repository.path}/copy")
    pieces = place.registry.stream_blob(place.repository, source.digest)
    place.registry.upload_stream(target, source, pieces)
    assert place.registry.blob(target, source.digest) == content


def test_an_upload_of_other_bytes_than_promised_is_refused(place: Place) -> None:
    promised = Descriptor("application/octet-stream", NOWHERE, 3)
    with pytest.raises(RegistryError, match=r"^PUT .*/blobs/uploads/[^?]*: 400 DIGEST_INVALID: "):
        place.registry.upload_stream(place.repository, promised, [b"a", b"bc"])


def test_a_blob_is_mounted_when_it_is_there(place: Place) -> None:
    blob = place.registry.upload(place.repository, b"layer")
    target = Repository(place.repository.registry, f"{place.repository.path}/mounted")
    assert place.registry.mount(target, blob.digest, place.repository)
    assert place.registry.has_blob(target, blob.digest)
    assert not place.registry.mount(target, NOWHERE, place.repository)


def test_an_upload_that_a_mount_began_is_cancelled(place: Place, behind: Spoil) -> None:
    it = behind(first(place))
    assert not it.registry.mount(it.repository, NOWHERE, Repository(it.repository.registry, "other"))
    assert [asked.method for asked in it.server.asked] == ["POST", "DELETE"]
    assert it.server.asked[1].path.startswith(f"/v2/{it.repository.path}/blobs/uploads/")


def test_this_registry_cannot_delete_one_tag_and_says_so(place: Place) -> None:
    image = place.publish("1.0.0", "latest")
    assert place.registry.delete_tag(place.repository.tag("latest")) is False
    assert place.registry.head(place.repository.tag("latest")) == image.descriptor


def test_deleting_a_manifest_takes_all_its_tags_along(place: Place) -> None:
    image = place.publish("1.0.0", "latest")
    other = place.publish("2.0.0", mark="two")
    place.registry.delete_manifest(place.repository.at(image.digest))
    assert place.registry.tags(place.repository) == ("2.0.0",)
    assert place.registry.head(place.repository.tag("2.0.0")) == other.descriptor
    with pytest.raises(NotFound, match=r"404 MANIFEST_UNKNOWN: manifest unknown$"):
        place.registry.delete_manifest(place.repository.at(image.digest))


def test_a_manifest_whose_content_is_missing_is_refused(place: Place) -> None:
    config = {"mediaType": CONFIG, "digest": NOWHERE, "size": 2}
    with pytest.raises(RegistryError, match=r": 400 MANIFEST_BLOB_UNKNOWN: ") as caught:
        place.registry.put(place.repository.tag("x"), manifest(OCI_IMAGE, config=config, layers=[]))
    assert caught.value.codes == ("MANIFEST_BLOB_UNKNOWN",)
    assert caught.value.status == 400


def test_wrong_use_is_no_request(place: Place) -> None:
    image = place.image()
    elsewhere = Repository("registry.invalid", "a")
    for wrong in (
        lambda: place.registry.head(elsewhere.tag("x")),
        lambda: place.registry.put(place.repository.at(NOWHERE), image),
        lambda: place.registry.delete_manifest(place.repository.tag("x")),
        lambda: place.registry.delete_tag(place.repository.at(NOWHERE)),
    ):
        with pytest.raises(ValueError):
            wrong()


def test_threads_share_one_registry(place: Place) -> None:
    image = place.publish("1.0.0")
    pool = Registries()

    def ask(_: int) -> Descriptor | None:
        return pool.of(place.repository).head(place.repository.tag("1.0.0"))

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(ask, range(200))) == {image.descriptor}
    assert pool.of(place.repository) is pool.of(Repository(place.repository.registry, "other"))


def test_requests_is_imported_by_the_first_request_only() -> None:
    code = "import sys, buildtasks.registry as r; r.Registries().of(r.pool.Repository('a.example', 'b')); "
    code += "print([name for name in ('requests', 'urllib3') if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


# The same registry behind a server that spoils answers


class Behind:
    """A client whose registry is reached through a server that a rule controls, and a clock that only jumps."""

    def __init__(self, server: faults.Server, path: str) -> None:
        self.server, self.time = server, Ticking()
        self.repository = Repository(server.host, path)
        self.registry = Registry(server.host, transport=Transport(clock=self.time.clock))


Spoil = Callable[[Rule], Behind]


@pytest.fixture
def behind(place: Place) -> Iterator[Spoil]:
    """Return a maker of clients behind a spoiling server; its rule gets True to go on to the real registry."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda rule: Behind(stack.enter_context(faults.serve(rule)), place.repository.path)


def spoiled(place: Place, change: Callable[[Asked, Say], Say]) -> Rule:
    """Make the rule that changes answers of the real registry."""
    real = faults.forward(place.repository.registry)
    return lambda asked: change(asked, real(asked))


def first(place: Place, *says: Say) -> Rule:
    """Make the rule that gives some answers first, then those of the real registry."""
    return faults.in_turn(*says, then=faults.forward(place.repository.registry))


def without(say: Say, *names: str) -> Say:
    """Leave headers out of an answer."""
    return replace(say, headers={name: value for name, value in say.headers.items() if name not in names})


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_passing_trouble_passes(place: Place, behind: Spoil, status: int) -> None:
    image = place.publish("1.0.0")
    it = behind(first(place, Say(status), Say(status)))
    assert it.registry.head(it.repository.tag("1.0.0")) == image.descriptor
    assert len(it.server.asked) == 3
    assert len(it.time.slept) == 2
    assert 0.1 < it.time.slept[0] < it.time.slept[1] < 1


@pytest.mark.parametrize("status", [400, 403, 405, 409, 416, 500, 501])
def test_what_will_not_pass_is_not_asked_again(place: Place, behind: Spoil, status: int) -> None:
    it = behind(first(place, Say(status)))
    with pytest.raises(RegistryError) as caught:
        it.registry.get(it.repository.tag("1.0.0"))
    assert caught.value.status == status
    assert it.server.lines() == [f"GET /v2/{it.repository.path}/manifests/1.0.0"]


@pytest.mark.parametrize("breaks", [BEFORE, INSIDE])
@pytest.mark.parametrize("verb", ["head", "get", "put", "tags", "blob"])
def test_a_connection_that_breaks_is_made_again(place: Place, behind: Spoil, verb: str, breaks: str) -> None:
    image = place.publish("1.0.0")
    config = image.json["config"]["digest"]
    it = behind(first(place, Say(201 if verb == "put" else 200, body=b"x" * 100, breaks=breaks)))
    ref = it.repository.tag("1.0.0")
    calls: dict[str, Callable[[], object]] = {
        "head": lambda: it.registry.head(ref) == image.descriptor,
        "get": lambda: it.registry.get(ref) == image,
        "put": lambda: it.registry.put(ref, image) == image.digest,
        "tags": lambda: it.registry.tags(it.repository) == ("1.0.0",),
        "blob": lambda: digest_of(it.registry.blob(it.repository, config)) == config,
    }
    assert calls[verb]()
    assert len(it.server.asked) == 2


def test_a_stream_that_breaks_is_an_error(place: Place, behind: Spoil) -> None:
    blob = place.registry.upload(place.repository, os.urandom(600_000))
    it = behind(spoiled(place, lambda _asked, say: replace(say, breaks=INSIDE)))
    pieces = it.registry.stream_blob(it.repository, blob.digest)
    with pytest.raises(RegistryError, match=rf"^GET .*/blobs/{blob.digest}: no answer: "):
        list(pieces)


def test_a_connection_that_was_closed_meanwhile_is_made_again(place: Place, behind: Spoil) -> None:
    image = place.publish("1.0.0")
    it = behind(spoiled(place, lambda _asked, say: replace(say, breaks=AFTER)))
    for _ in range(20):
        assert it.registry.get(it.repository.tag("1.0.0")) == image


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": email.utils.formatdate(Ticking().unix + 11, usegmt=True)}, 11),
        ({"Retry-After": email.utils.formatdate(Ticking().unix - 11, usegmt=True)}, 0),
        ({"X-Retry-After": str(int(Ticking().unix) + 13)}, 13),
        ({"Retry-After": "3", "X-Retry-After": str(int(Ticking().unix) + 13)}, 3),
    ],
    ids=["seconds", "date", "past date", "unix time", "both"],
)
def test_the_registry_says_how_long_to_wait(
    place: Place, behind: Spoil, headers: dict[str, str], seconds: float
) -> None:
    image = place.publish("1.0.0")
    it = behind(first(place, Say(429, headers)))
    assert it.registry.head(it.repository.tag("1.0.0")) == image.descriptor
    assert it.time.slept == [seconds]


@pytest.mark.parametrize("after", ["soon", "-1", "1e3", "Fri, 99 Nov 2026 99:99:99 GMT", "²"])
def test_a_wish_that_nobody_understands_is_none(place: Place, behind: Spoil, after: str) -> None:
    it = behind(first(place, Say(503, {"Retry-After": after})))
    assert it.registry.tags(it.repository) == ()
    assert it.time.slept[0] < 1


def test_a_wait_that_is_too_long_is_an_error_at_once(place: Place, behind: Spoil) -> None:
    it = behind(first(place, Say(429, {"Retry-After": "21600"})))
    with pytest.raises(RegistryError, match=r": 429: Too Many Requests\nit asks to wait 21600 s$"):
        it.registry.get(it.repository.tag("1.0.0"))
    assert it.time.slept == []


def test_patience_ends(behind: Spoil) -> None:
    it = behind(faults.in_turn(Say(503)))
    with pytest.raises(RegistryError, match=r": 503: Service Unavailable\n.*try again later$"):
        it.registry.get(it.repository.tag("1.0.0"))
    assert len(it.server.asked) == 5
    assert sum(it.time.slept) < 10


def test_an_upload_that_breaks_starts_again(place: Place, behind: Spoil) -> None:
    real = faults.forward(place.repository.registry)
    broken: list[str] = []

    def rule(asked: Asked) -> Say:
        if asked.method == "PUT" and not broken:
            broken.append(asked.target)
            return Say(breaks=BEFORE)
        return real(asked)

    it = behind(rule)
    blob = it.registry.upload(it.repository, b"content")
    assert place.registry.blob(place.repository, blob.digest) == b"content"
    assert [asked.method for asked in it.server.asked] == ["HEAD", "POST", "PUT", "HEAD", "POST", "PUT"]


@pytest.mark.parametrize("kind", ["absolute", "relative", "with a query", "behind TLS"])
def test_an_upload_goes_where_the_registry_says(behind: Spoil, kind: str) -> None:
    def rule(asked: Asked) -> Say:
        if asked.method == "HEAD":
            return Say(404)
        path = f"/v2/{it.repository.path}/blobs/uploads/1"
        places = {
            "absolute": f"{it.server.url}{path}",
            "relative": path,
            "with a query": f"{path}?_state=a%3D%3D",
            "behind TLS": f"https://{it.server.host}{path}",
        }
        return Say(202, {"Location": places[kind]}) if asked.method == "POST" else Say(201)

    it = behind(rule)
    blob = it.registry.upload(it.repository, b"content")
    last = it.server.asked[-1]
    assert last.query["digest"] == [blob.digest]
    assert last.query.get("_state") == (["a=="] if kind == "with a query" else None)
    assert (last.method, last.path) == ("PUT", f"/v2/{it.repository.path}/blobs/uploads/1")
    assert last.body == b"content"


@pytest.mark.parametrize("location", ["http://127.0.0.2/x", "//evil.example/x", "http://127.0.0.1:1/x", "http://[", ""])
def test_an_upload_to_another_host_is_refused(behind: Spoil, location: str) -> None:
    def rule(asked: Asked) -> Say:
        return Say(404) if asked.method == "HEAD" else Say(202, {"Location": location} if location else {})

    it = behind(rule)
    with pytest.raises(RegistryError, match=r"^POST [^?]*/blobs/uploads/: it (sends us to another|does not say)"):
        it.registry.upload(it.repository, b"content")


def test_a_delete_whose_answer_was_lost_is_done(place: Place, behind: Spoil) -> None:
    image = place.publish("1.0.0")
    real = faults.forward(place.repository.registry)
    lost: list[int] = []

    def rule(asked: Asked) -> Say:
        say = real(asked)
        lost.append(say.status)
        return replace(say, breaks=BEFORE) if len(lost) == 1 else say

    it = behind(rule)
    it.registry.delete_manifest(it.repository.at(image.digest))
    assert lost == [202, 404]


# Answers that cannot be believed


def test_a_missing_digest_header_is_replaced_by_the_hash_of_the_bytes(place: Place, behind: Spoil) -> None:
    image = place.publish("1.0.0")
    it = behind(spoiled(place, lambda _asked, say: without(say, "Docker-Content-Digest")))
    assert it.registry.get(it.repository.tag("1.0.0")) == image
    assert it.registry.head(it.repository.tag("1.0.0")) == image.descriptor
    assert [asked.method for asked in it.server.asked] == ["GET", "HEAD", "GET"]


@pytest.mark.parametrize(
    "change",
    [{"Docker-Content-Digest": "sha256:abc"}, {"Content-Type": "text/html"}, {"Content-Type": "text/plain"}],
    ids=["broken digest", "html", "plain"],
)
def test_a_head_that_says_too_little_is_asked_again_as_get(place: Place, behind: Spoil, change: dict[str, str]) -> None:
    image = place.publish("1.0.0")

    def spoil(asked: Asked, say: Say) -> Say:
        return replace(say, headers={**say.headers, **change}) if asked.method == "HEAD" else say

    it = behind(spoiled(place, spoil))
    assert it.registry.head(it.repository.tag("1.0.0")) == image.descriptor
    assert [asked.method for asked in it.server.asked] == ["HEAD", "GET"]


def test_a_server_without_head_is_asked_with_get(place: Place, behind: Spoil) -> None:
    image = place.publish("1.0.0")
    it = behind(spoiled(place, lambda asked, say: Say(405) if asked.method == "HEAD" else say))
    assert it.registry.head(it.repository.tag("1.0.0")) == image.descriptor
    assert it.registry.head(it.repository.tag("1.0.1")) is None


@pytest.mark.parametrize("how", ["header", "bytes", "by digest"])
def test_bytes_with_another_digest_are_an_error(place: Place, behind: Spoil, how: str) -> None:
    image = place.publish("1.0.0")
    other = image.content.replace(b"schemaVersion", b"schemaversion")

    def spoil(_asked: Asked, say: Say) -> Say:
        headers = {**say.headers, "Docker-Content-Digest": NOWHERE}
        return {
            "header": replace(say, headers=headers),
            "bytes": replace(say, body=other),
            "by digest": replace(without(say, "Docker-Content-Digest"), body=other),
        }[how]

    it = behind(spoiled(place, spoil))
    ref = it.repository.at(image.digest) if how == "by digest" else it.repository.tag("1.0.0")
    with pytest.raises(RegistryError, match=r"the content does not have the digest sha256:"):
        it.registry.get(ref)


def test_a_head_by_digest_that_names_another_is_an_error(place: Place, behind: Spoil) -> None:
    image = place.publish("1.0.0")
    wrong: dict[str, str] = {"Docker-Content-Digest": NOWHERE}
    it = behind(spoiled(place, lambda _asked, say: replace(say, headers={**say.headers, **wrong})))
    with pytest.raises(RegistryError, match="another digest"):
        it.registry.head(it.repository.at(image.digest))
    with pytest.raises(RegistryError, match="stored another content"):
        it.registry.put(it.repository.tag("1.0.1"), image)


def test_a_blob_with_other_bytes_is_an_error(place: Place, behind: Spoil) -> None:
    blob = place.registry.upload(place.repository, b"content")
    it = behind(spoiled(place, lambda _asked, say: replace(say, body=b"c0ntent")))
    with pytest.raises(RegistryError, match="does not have the digest"):
        it.registry.blob(it.repository, blob.digest)


@pytest.mark.parametrize("length", ["3", "7000"], ids=["too short", "too long"])
def test_a_wrong_length_is_an_error(place: Place, behind: Spoil, length: str) -> None:
    blob = place.registry.upload(place.repository, b"content")
    it = behind(lambda _asked: Say(200, {"Content-Length": length}, b"content", breaks=AFTER))
    with pytest.raises(RegistryError, match=r"does not have the digest|the connection broke before the end"):
        it.registry.blob(it.repository, blob.digest)
    with pytest.raises(RegistryError):
        it.registry.get(it.repository.tag("1.0.0"))


HTML = Say(200, {"Content-Type": "text/html; charset=utf-8"}, b"<!doctype html><p>Please log in</p>")


def test_an_html_page_is_no_answer(behind: Spoil) -> None:
    it = behind(faults.in_turn(HTML))
    ref = it.repository.tag("1.0.0")
    image = manifest(OCI_IMAGE, config={}, layers=[])
    for call in (
        lambda: it.registry.head(ref),
        lambda: it.registry.get(ref),
        lambda: it.registry.tags(it.repository),
        lambda: it.registry.put(ref, image),
        lambda: it.registry.blob(it.repository, NOWHERE),
        lambda: it.registry.upload_stream(it.repository, Descriptor("", NOWHERE, 0), []),
    ):
        with pytest.raises(RegistryError):
            call()


def test_json_that_is_no_manifest_is_no_manifest(behind: Spoil) -> None:
    for body in (b"{}", b"[]", b"null", b"", b'{"mediaType": "application/vnd.docker.distribution.manifest.v1+json"}'):
        it = behind(faults.in_turn(Say(200, JSON, body)))
        with pytest.raises(RegistryError, match="it answers with no manifest: "):
            it.registry.get(it.repository.tag("1.0.0"))


def test_a_manifest_without_a_media_type_says_by_its_shape_what_it_is(behind: Spoil) -> None:
    for body, kind in ((b'{"manifests": []}', OCI_INDEX), (b'{"config": {}, "layers": []}', OCI_IMAGE)):
        it = behind(faults.in_turn(Say(200, JSON, body)))
        found = it.registry.get(it.repository.tag("1.0.0"))
        assert found == Manifest(kind, digest_of(body), body)


def test_an_answer_without_end_is_cut_off(behind: Spoil) -> None:
    it = behind(faults.in_turn(Say(200, JSON, b" " * (9 * 2**20))))
    with pytest.raises(RegistryError, match="the answer is larger than 8388608 bytes"):
        it.registry.get(it.repository.tag("1.0.0"))


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_blob_may_be_elsewhere(place: Place, behind: Spoil, status: int) -> None:
    blob = place.registry.upload(place.repository, b"content")
    with faults.serve(lambda _asked: Say(200, body=b"content"), "127.0.0.2") as storage:
        it = behind(lambda _asked: Say(status, {"Location": f"{storage.url}/data?signature=x"}))
        assert it.registry.blob(it.repository, blob.digest) == b"content"
        assert it.registry.has_blob(it.repository, blob.digest)
    assert storage.lines() == ["GET /data?signature=x", "HEAD /data?signature=x"]


def test_a_change_is_not_redirected(behind: Spoil) -> None:
    with faults.serve(lambda _asked: Say(201), "127.0.0.2") as other:
        it = behind(lambda _asked: Say(307, {"Location": other.url}))
        with pytest.raises(RegistryError, match=r"^PUT .*: 307: Temporary Redirect"):
            it.registry.put(it.repository.tag("x"), manifest(OCI_IMAGE, config={}, layers=[]))
    assert other.asked == []


@pytest.mark.parametrize(
    ("here", "there", "led"),
    [
        ("https://a.example/", "https://b.example/", True),
        ("https://a.example/", "http://a.example/", False),
        ("https://a.example/", "http://127.0.0.1/", False),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:6000/", True),
        ("http://127.0.0.1:5000/", "https://b.example/", True),
        ("http://127.0.0.1:5000/", "http://b.example/", False),
        ("http://plain.example/", "http://b.example/", True),
        ("http://[::1]:5000/", "http://localhost/", True),
    ],
)
def test_where_a_server_may_lead(here: str, there: str, led: bool) -> None:
    assert may_lead(here, there) is led


def test_redirects_end(behind: Spoil) -> None:
    it = behind(lambda asked: Say(302, {"Location": asked.target + "x"}))
    with pytest.raises(RegistryError, match="more than 5 redirects"):
        it.registry.get(it.repository.tag("1.0.0"))


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://[", "http://registry.invalid/x", "ftp://127.0.0.1/"]
)
def test_a_redirect_to_where_nothing_may_go_is_an_error(behind: Spoil, location: str) -> None:
    it = behind(lambda _asked: Say(302, {"Location": location}))
    with pytest.raises(RegistryError, match=r": a redirect "):
        it.registry.get(it.repository.tag("1.0.0"))


# Lists of tags


def page(tags: list[str] | None, link: str = "") -> Say:
    """Answer with a page of tags."""
    return Say(200, {**JSON, **({"Link": link} if link else {})}, json.dumps({"name": "x", "tags": tags}).encode())


def paged(names: list[str], size: int, link: Callable[[str], str], *, on_last: bool = False) -> Rule:
    """Make the rule of a registry with pages of a size, and a link written some way."""

    def rule(asked: Asked) -> Say:
        last = asked.query.get("last", [""])[0]
        rest = [name for name in names if name > last]
        more = len(rest) > size or (on_last and rest)
        return page(rest[:size], link(f"{asked.path}?last={rest[:size][-1]}&n={size}") if more else "")

    return rule


NAMES = [f"t{number:04}" for number in range(250)]
LINKS: dict[str, Callable[[str], str]] = {
    "relative": lambda path: f'<{path}>; rel="next"',
    "unquoted": lambda path: f"<{path}>;rel=next",
    "among others": lambda path: f'</first>; rel="first", <{path}>; title="a, b"; rel="last NEXT"',
    "only a query": lambda path: f'<?{path.partition("?")[2]}>; rel="next"',
}


@pytest.mark.parametrize("form", LINKS)
def test_links_are_followed(behind: Spoil, form: str) -> None:
    it = behind(paged(NAMES, 100, LINKS[form]))
    assert it.registry.tags(it.repository) == tuple(NAMES)
    assert len(it.server.asked) == 3


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_absolute_link_is_followed_on_the_same_host(behind: Spoil, scheme: str) -> None:
    it = behind(lambda asked: paged(NAMES, 100, lambda path: f'<{scheme}://{it.server.host}{path}>; rel="next"')(asked))
    assert it.registry.tags(it.repository) == tuple(NAMES)


def test_a_link_on_the_last_page_leads_to_an_empty_one(behind: Spoil) -> None:
    it = behind(paged(NAMES, 100, LINKS["relative"], on_last=True))
    assert it.registry.tags(it.repository) == tuple(NAMES)
    assert len(it.server.asked) == 4


@pytest.mark.parametrize("total", [99, 100, 200, 250])
def test_a_page_that_is_cut_without_a_link_goes_on(behind: Spoil, total: int) -> None:
    it = behind(paged(NAMES[:total], 100, lambda _path: ""))
    assert it.registry.tags(it.repository) == tuple(NAMES[:total])


def test_a_whole_list_without_pages_costs_one_request(behind: Spoil) -> None:
    it = behind(lambda _asked: page(NAMES[:49]))
    assert it.registry.tags(it.repository) == tuple(NAMES[:49])
    assert len(it.server.asked) == 1


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_registry_that_knows_no_last_has_no_further_page(behind: Spoil, status: int) -> None:
    it = behind(faults.in_turn(page(NAMES[:100]), Say(status)))
    assert it.registry.tags(it.repository) == tuple(NAMES[:100])


def test_a_page_that_fails_fails_the_list(behind: Spoil) -> None:
    for status in (403, 404, 500):
        it = behind(faults.in_turn(page(NAMES[:10], '</v2/x/tags/list?last=b>; rel="next"'), Say(status)))
        with pytest.raises(RegistryError, match=f": {status}: "):
            it.registry.tags(it.repository)


@pytest.mark.parametrize(
    "link",
    ["http://127.0.0.2/v2/x", "//evil.example/v2/x", "https://evil.example/", "http://127.0.0.1:1/v2/x", "http://["],
)
def test_a_link_to_another_host_is_refused(behind: Spoil, link: str) -> None:
    it = behind(faults.in_turn(page(["a"], f'<{link}>; rel="next"')))
    with pytest.raises(RegistryError, match="it sends us to another host, which is not followed"):
        it.registry.tags(it.repository)
    assert len(it.server.asked) == 1


def test_pages_without_end_are_an_error(behind: Spoil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_PAGES", 20)
    turning = behind(lambda asked: page(["a"], f'<{asked.target}>; rel="next"'))
    with pytest.raises(RegistryError, match="the list of tags does not end: 1 pages so far"):
        turning.registry.tags(turning.repository)
    growing = behind(
        lambda asked: page(["a"], f"<{asked.target.partition('?')[0]}?last={len(growing.server.asked)}>; rel=next")
    )
    with pytest.raises(RegistryError, match="the list of tags does not end: 20 pages so far"):
        growing.registry.tags(growing.repository)


def test_odd_entries_are_no_tags(behind: Spoil) -> None:
    body = json.dumps({"tags": ["b", None, "a", "b", "sha256:abc", "", "-x", 5, "x" * 129]}).encode()
    it = behind(lambda _asked: Say(200, JSON, body))
    assert it.registry.tags(it.repository) == ("a", "b")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"tags": 5}', b'{"tags": {"a": 1}}', b'{"tags": "ab"}', b"\xff"])
def test_what_is_no_list_of_tags_is_an_error(behind: Spoil, body: bytes) -> None:
    it = behind(lambda _asked: Say(200, JSON, body))
    with pytest.raises(RegistryError, match="no list of tags"):
        it.registry.tags(it.repository)


def test_null_and_an_unknown_repository_are_no_tags(behind: Spoil) -> None:
    for say in (page(None), page([]), Say(404), Say(404, JSON, b'{"detail": "Not found."}')):
        it = behind(lambda _asked, say=say: say)  # type: ignore[misc]
        assert it.registry.tags(it.repository) == ()


# Errors in words


@pytest.mark.parametrize(
    ("say", "said"),
    [
        (
            Say(
                403, JSON, b'{"errors": [{"code": "DENIED", "message": "no write"}, {"code": "X", "detail": {"a": 1}}]}'
            ),
            "403 DENIED X: no write",
        ),
        (Say(409, JSON, b'{"errors": "nonsense"}'), "409: Conflict"),
        (Say(400, JSON, b'{"details": "wrong name"}'), "400: wrong name"),
        (Say(500, {"Content-Type": "text/html"}, b"<html>secret</html>"), "500: an HTML page"),
        (Say(500, {}, b"out\x1b[31m of\n\n  space " + b"x" * 999), "500: out [31m of space xxx"),
        (
            Say(400, {}, b"see https://a.example/p?token=abc and Bearer abcdefgh12"),
            "see https://a.example/p and Bearer ***",
        ),
        (Say(599), "599: unknown status"),
        (Say(413), "413: Request Entity Too Large\nthe registry, or a proxy before it, allows no upload of this size"),
    ],
)
def test_errors_say_what_the_registry_said(behind: Spoil, say: Say, said: str) -> None:
    it = behind(faults.in_turn(say))
    with pytest.raises(RegistryError) as caught:
        it.registry.get(it.repository.tag("1.0.0"))
    text = str(caught.value.message)
    assert text.startswith(f"GET {it.server.host}/v2/{it.repository.path}/manifests/1.0.0: {say.status}")
    assert said in text
    assert len(text) < 600
    assert caught.value.status == say.status
    assert isinstance(caught.value, Unauthorized) == (say.status == 403)


def test_nobody_there_is_an_error_at_once() -> None:
    time = Ticking()
    registry = Registry("127.0.0.1:1", transport=Transport(clock=time.clock))
    with pytest.raises(RegistryError, match=r"^HEAD 127\.0\.0\.1:1/v2/a/manifests/x: no answer: connection refused$"):
        registry.head(Repository("127.0.0.1:1", "a").tag("x"))
    assert time.slept == []


def test_a_name_that_does_not_exist_is_an_error_at_once() -> None:
    time = Ticking()
    registry = Registry("registry.invalid", transport=Transport(clock=time.clock, environ={}))
    with pytest.raises(RegistryError, match=r"^GET registry\.invalid/v2/a/tags/list: no answer: .*name") as caught:
        registry.tags(Repository("registry.invalid", "a"))
    assert caught.value.status is None
    assert time.slept == []


def test_something_that_speaks_no_http_is_an_error(behind: Spoil) -> None:
    it = behind(lambda _asked: Say(breaks=BEFORE))
    with pytest.raises(RegistryError, match=r": no answer: connection reset by peer$") as caught:
        it.registry.head(it.repository.tag("x"))
    assert caught.value.status is None
    assert type(caught.value) is RegistryError
    assert len(it.time.slept) == 4


def test_a_server_that_hangs_is_an_error() -> None:
    with faults.serve(lambda asked: faults.hang()) as server:
        time = Ticking()
        with pytest.raises(RegistryError, match=rf"^GET {server.host}/x: no answer in time$"):
            Transport(clock=time.clock).send(Call("GET", f"{server.url}/x?secret=1", seconds=0.05))
    assert len(time.slept) == 4


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faults.serve(lambda _asked: page(["x"])) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        far = Registry("registry.example", transport=Transport(clock=Ticking().clock), plain_http=True)
        assert far.tags(Repository("registry.example", "a")) == ("x",)
        assert Registry(place.repository.registry).tags(place.repository) == ()
    assert proxy.lines() == ["GET http://registry.example/v2/a/tags/list"]
