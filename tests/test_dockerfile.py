"""Base images of Dockerfiles: a table of texts, and the names that the real BuildKit asks for as the judge."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buildtasks.dockerfile import Bases, bases, directives, instructions, runs_on_target
from buildtasks.expand import expand, unquoted, words
from buildtasks.reference import Reference, Repository
from buildtasks.registry import Registries
from sandbox import Sandbox

# Text, build arguments, named contexts, images. BuildKit builds all of these, and asks for these very images; each `@`
# is the place of a registry and a folder.
# fmt: off
BUILT: dict[str, tuple[str, dict[str, str], list[str], list[str]]] = {
    "plain": ("FROM @a\n", {}, [], ["a"]),
    "no-newline-at-the-end": ("FROM @a", {}, [], ["a"]),
    "tag": ("FROM @a:1\n", {}, [], ["a:1"]),
    "lower-case": ("from @a as x\nfrom @b\ncopy --from=x /f /g\n", {}, [], ["a", "b"]),
    "stage": ("FROM @a AS x\nFROM x\n", {}, [], ["a"]),
    "stage-copied-in-other-case": ("FROM @a AS One\nFROM @b\nCOPY --from=oNE /f /g\n", {}, [], ["a", "b"]),
    "stage-with-the-name-of-its-image": ("FROM @a AS a\nFROM @a\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "number-of-a-stage": ("FROM @a\nFROM @b\nCOPY --from=0 /f /g\n", {}, [], ["a", "b"]),
    "scratch": ("FROM scratch\nCOPY --from=@a /f /g\n", {}, [], ["a"]),
    "copy-from-image": ("FROM @a\nCOPY --chown=0:0 --from=@b:1 /f /g\n", {}, [], ["a", "b:1"]),
    "from-among-words-is-no-flag": ("FROM @a\nLABEL x=--from=@b\nCOPY f /g/\n", {}, [], ["a"]),
    "quoted-flag": ('FROM @a\nCOPY --from="@b" /f /g\n', {}, [], ["a", "b"]),
    "platform": ("FROM --platform=linux/amd64 @a\n", {}, [], ["a"]),
    "platform-of-the-builder": ("FROM --platform=$BUILDPLATFORM @a AS x\nFROM x\n", {}, [], ["a"]),
    "argument": ("ARG X=a\nFROM @$X\n", {}, [], ["a"]),
    "argument-given": ("ARG X=a\nFROM @$X\n", {"X": "b"}, [], ["b"]),
    "argument-without-default": ("ARG X\nFROM @${X}:1\n", {"X": "b"}, [], ["b:1"]),
    "argument-of-arguments": ("ARG Y=a X=${Y}\nARG Z=$X\nFROM @$Z\n", {}, [], ["a"]),
    "argument-given-to-another": ("ARG Y=a\nARG X=$Y\nFROM @$X\n", {"Y": "b"}, [], ["b"]),
    "argument-quoted": ("ARG X='a' Y=\"$X\"\nFROM @$Y\n", {}, [], ["a"]),
    "argument-not-declared-is-empty": ("FROM @a$X\n", {"X": "b"}, [], ["a"]),
    "argument-unset-is-empty": ("ARG X\nFROM @a$X\n", {}, [], ["a"]),
    "argument-of-a-stage": ("ARG X=a\nFROM @$X AS q\nARG X=b\nFROM @$X\nCOPY --from=q /f /g\n", {}, [], ["a"]),
    "default": ("ARG X\nFROM @${X:-a}\n", {}, [], ["a"]),
    "default-for-empty": ("ARG X=\nFROM @${X:-a}\n", {}, [], ["a"]),
    "default-not-for-empty": ("ARG X=\nFROM @a${X-zzz}\n", {}, [], ["a"]),
    "default-not-needed": ("ARG X=b\nFROM @${X:-a}\n", {}, [], ["b"]),
    "default-in-default": ("ARG X\nARG Y=a\nFROM @${X:-${Y}}\n", {}, [], ["a"]),
    "default-in-default-not-needed": ("ARG X=b\nARG Y=a\nFROM @${X:-${Y}}\n", {}, [], ["b"]),
    "alternative": ("ARG X=1\nFROM @${X:+b}\n", {}, [], ["b"]),
    "alternative-of-nothing": ("FROM @a${X:+b}\n", {}, [], ["a"]),
    "quotes": ("FROM \"@a\" AS x\nFROM '@b':\"1\"\nCOPY --from=x /f /g\n", {}, [], ["a", "b:1"]),
    "tabs": ("FROM\t@a\tAS\tx\nFROM\t \t@b\nCOPY\t--from=x\t/f /g\n", {}, [], ["a", "b"]),
    "crlf": ("ARG X=a\r\nFROM @$X\r\nCOPY --from=@b \\\r\n /f /g\r\n", {}, [], ["a", "b"]),
    "byte-order-mark": ("\ufeff# escape=`\nFROM `\n @a\n", {}, [], ["a"]),
    "continued-word": ("FROM @al\\\npine\n", {}, [], ["alpine"]),
    "continued-with-blanks-behind": ("FROM \\  \t\n  @a\n", {}, [], ["a"]),
    "continued-over-comments": ("FROM @a\nCOPY --from=@b \\\n# c \\\n  # d\n /f \\\n\n /g\n", {}, [], ["a", "b"]),
    "escaped-escape-continues-nothing": ("FROM @a\nLABEL x=\\\\\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "other-escape": ("# escape=`\nFROM `\n@a\nLABEL x=\\\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "comments": ("# FROM c\n  # FROM d\nFROM @a\n", {}, [], ["a"]),
    "here-document": ("FROM @a\nCOPY <<EOF /x\nFROM c\nEOF\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "here-document-quoted": ("FROM @a\nCOPY <<'EOF' /x\nFROM c\nEOF\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "two": ("FROM @a\nCOPY <<A <<-'B' /x/\nFROM c\nA\nFROM d\n\tB\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "here-document-continued": ("FROM @a\nCOPY <<EOF \\\n /x\nFROM c\nEOF\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "here-document-crlf": ("FROM @a\r\nCOPY <<EOF /x\r\nFROM c\r\nEOF\r\nCOPY --from=@b /f /g\r\n", {}, [], ["a", "b"]),
    "here-document-later": ("FROM @a\nONBUILD RUN <<EOF\nFROM c\nEOF\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "no-document": ("FROM @a\nONBUILD RUN echo \"<<EOF\" '<<EOF'\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "no-here-document-in-a-label": ("FROM @a\nLABEL x=<<EOF\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "no-document-in-json": ('FROM @a\nONBUILD RUN ["sh", "<<EOF", "x"]\nCOPY --from=@b /f /g\n', {}, [], ["a", "b"]),
    "json-tick": ('# escape=`\nFROM @a\nONBUILD RUN ["x\\" <<EOF \\" y"]\nCOPY --from=@b /f /g\n', {}, [], ["a", "b"]),
    "here-string": ("FROM @a\nONBUILD RUN cat <<<EOF\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "shift": ("FROM @a\nONBUILD RUN echo $((1<<2))\nCOPY --from=@b /f /g\n", {}, [], ["a", "b"]),
    "later": ("FROM @a\nONBUILD COPY --from=@b /f /g\n", {}, [], ["a"]),
    "named": ("FROM ctx\nCOPY --from=@a /f /g\n", {}, ["ctx"], ["a"]),
    "named-in-full": ("FROM docker.io/library/ctx:latest\nCOPY --from=@a /f /g\n", {}, ["ctx"], ["a"]),
    "named-with-latest": ("FROM ctx\nCOPY --from=@a /f /g\n", {}, ["ctx:latest"], ["a"]),
    "named-with-a-tag": ("FROM @a\nCOPY --from=ctx:1 /f /g\n", {}, ["ctx:1"], ["a"]),
    "named-stage-alone": ("FROM @a AS x\nFROM @b\nCOPY --from=other /f /g\n", {}, ["other"], ["b"]),
}
# fmt: on

# The images that BuildKit does not ask for, since nothing that it builds needs them.
UNUSED = {"named-stage-alone": ["a"]}

# Texts that BuildKit cannot build here, or that ask for what a test should not fetch.
READ: dict[str, tuple[str, dict[str, str], Bases]] = {
    "nothing": ("", {}, Bases(())),
    "digest": (f"FROM a@sha256:{'0' * 64}\n", {}, Bases((f"a@sha256:{'0' * 64}",))),
    "frontend": ("# syntax=docker/dockerfile:1\nFROM a\n", {}, Bases(("a", "docker/dockerfile:1"))),
    "frontend-with-blanks": ("#syntax = x/y foo\nFROM a\n", {}, Bases(("a", "x/y"))),
    "frontend-after-a-comment": ("# hello\n# syntax=x/y\nFROM a\n", {}, Bases(("a",))),
    "frontend-after-escape": ("# escape=\\\n# Syntax=x/y\nFROM a\n", {}, Bases(("a", "x/y"))),
    "frontend-in-front-of-contexts": ("# syntax=named\nFROM named\n", {}, Bases(("named",))),
    "frontend-as-argument": ("# syntax=x/y\nFROM a\n", {"BUILDKIT_SYNTAX": "z"}, Bases(("a", "z"))),
    "mount": ("FROM a\nRUN --mount=type=bind,from=b,target=/x true\n", {}, Bases(("a", "b"))),
    "mount-in-other-case": ("FROM a\nRUN --mount=TYPE=cache,FROM=b,target=/x true\n", {}, Bases(("a", "b"))),
    "mount-quoted": ('FROM a\nRUN --mount=type=bind,"from=b",target=/x true\n', {}, Bases(("a", "b"))),
    "mounts": ("FROM a AS x\nRUN --mount=from=b,target=/x --mount=from=x,target=/y true\n", {}, Bases(("a", "b"))),
    "mount-with-network": ("FROM a\nRUN --network=none --mount=from=b,target=/x true\n", {}, Bases(("a", "b"))),
    "mount-of-a-command": ("FROM a\nRUN docker run --mount=from=b x\n", {}, Bases(("a",))),
    "here-document-of-a-run": ("FROM a\nRUN <<EOF cat\nFROM c\nEOF\nFROM b\n", {}, Bases(("a", "b"))),
    "here-document-without-end": ("FROM a\nRUN <<EOF\nFROM b\n", {}, Bases(("a",))),
    "download": ("FROM a\nADD https://e.org/x.tar /x\n", {}, Bases(("a",), ("https://e.org/x.tar",))),
    "download-by-checksum": (f"FROM a\nADD --checksum=sha256:{'0' * 64} https://e.org/x /x\n", {}, Bases(("a",))),
    "download-of-a-branch": (
        "FROM a\nADD --keep-git-dir=true git@e.org:a/b.git#main b/ /x\n",
        {},
        Bases(("a",), ("git@e.org:a/b.git#main",)),
    ),
    "download-of-a-commit": (f"FROM a\nADD https://e.org/a.git#{'0' * 40} /x\n", {}, Bases(("a",))),
    "unknown-platform": ("FROM a AS x-amd64\nFROM x-${TARGETARCH}\n", {}, Bases(("a",), ("x-${TARGETARCH}",))),
    "platform-given": ("FROM a AS x-amd64\nFROM x-$TARGETARCH\n", {"TARGETARCH": "amd64"}, Bases(("a",))),
    "pattern": ("ARG X=a-1\nFROM ${X%-*}\n", {}, Bases((), ("${X%-*}",))),
    "nothing-left": ("ARG X\nFROM $X\n", {}, Bases((), ("$X",))),
    "variable-in-copy": ("FROM a\nARG I\nCOPY --from=$I /f /g\n", {"I": "b"}, Bases(("a",), ("$I",))),
    "variable-in-single-quotes": ("ARG X=a\nFROM '$X'\n", {}, Bases((), ("'$X'",))),
    "variable-escaped": ("ARG X=a\nFROM b\\$X\n", {}, Bases((), ("b\\$X",))),
    "variable-in-a-value": ("ARG Y=b\nARG X=a\nFROM $X\n", {"X": "$Y"}, Bases((), ("$X",))),
    "from-of-nothing": ("FROM\nFROM --platform=x\n", {}, Bases(())),
    "other-line-ends": ("FROM a\nLABEL x=\u2028FROM b\nLABEL y=\x0cFROM c\n", {}, Bases(("a",))),
    "escape-at-the-end": ("FROM a\nRUN x \\", {}, Bases(("a",))),
    "twice": ("FROM a\nFROM a\nCOPY --from=a / /\n", {}, Bases(("a",))),
}


@pytest.mark.parametrize("name", BUILT)
def test_images_from_outside(name: str) -> None:
    text, args, named, images = BUILT[name]
    assert bases(text.replace("@", ""), args=args, named=named) == Bases(
        tuple(sorted([*images, *UNUSED.get(name, [])]))
    )


@pytest.mark.parametrize("name", READ)
def test_images_of_other_texts(name: str) -> None:
    text, args, found = READ[name]
    named = ["named"] if name.endswith("contexts") else []
    assert bases(text, args=args, named=named) == found


@pytest.fixture
def images(registry: str, sandbox: Sandbox, tmp_path: Path) -> Iterator[str]:
    """Return the prefix of small images in the registry, deleted afterwards."""
    prefix = f"{registry}/d{uuid.uuid4().hex[:12]}"
    names = [f"{prefix}/{name}:{tag}" for name in ("a", "b", "alpine") for tag in ("1", "latest")]
    (tmp_path / "f").write_text("x")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY f /f\n")
    tags = [word for name in names for word in ("--tag", name)]
    subprocess.run(["docker", "buildx", "build", "--provenance=false", "--load", *tags, tmp_path], check=True)
    for name in names:
        subprocess.run(["docker", "push", "--quiet", name], check=True)
    yield prefix
    subprocess.run(["docker", "image", "rm", *names], check=True)
    registries = Registries()
    for name in ("a", "b", "alpine"):
        repository = Repository.parse(f"{prefix}/{name}")
        top = registries.of(repository).head(repository.tag("1"))
        assert top is not None
        registries.of(repository).delete_manifest(repository.at(top.digest))


def asked(prefix: str, folder: Path, name: str) -> str:
    """Return how the images that BuildKit asks for differ from the table, or nothing."""
    text, args, named, expected = BUILT[name]
    context = folder / name
    context.mkdir()
    with (context / "Dockerfile").open("w", encoding="utf-8", newline="") as file:
        file.write(text.replace("@", f"{prefix}/"))
    (context / "f").write_text("x")
    options = [f"--build-arg={key}={value}" for key, value in args.items()]
    options += [f"--build-context={one}=docker-image://{prefix}/alpine" for one in named]
    command = ["docker", "buildx", "build", "--progress=plain", "--output=type=cacheonly", *options]
    said = subprocess.run([*command, context], capture_output=True, text=True, check=False)
    found = {Reference.parse(word).resolved for word in re.findall(r"load metadata for (\S+[^:\s])(?=\s)", said.stderr)}
    wanted = {Reference.parse(f"{prefix}/{image}").resolved for image in [*expected, *(["alpine"] if named else [])]}
    if said.returncode or found != wanted:
        return f"{name}: {sorted(map(str, found))}, not {sorted(map(str, wanted))}\n{said.stderr[-600:]}"
    return ""


def test_buildkit_asks_for_the_same_images(images: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        wrong = [text for text in pool.map(lambda name: asked(images, tmp_path, name), BUILT) if text]
    assert not wrong, "\n".join(wrong)


def test_directives() -> None:
    assert directives("# escape=`\n# syntax = a/b \n#Check=x\n# hello\n# syntax=c\n") == {
        "escape": "`",
        "syntax": "a/b",
        "check": "x",
    }
    assert directives("# unknown=1\n# syntax=a\n") == {}
    assert directives(" # syntax=a\n") == {}
    assert directives("FROM a\n# syntax=a\n") == {}


def test_instructions() -> None:
    found = list(instructions('from --platform=$X a\nRUN --mount="type=bind,from=b" -- --x\n\nCMD ["a"]\n'))
    assert [(one.name, one.flags, one.rest) for one in found] == [
        ("FROM", ("--platform=$X",), "--platform=$X a"),
        ("RUN", ("--mount=type=bind,from=b",), '--mount="type=bind,from=b" -- --x'),
        ("CMD", (), '["a"]'),
    ]


@pytest.mark.parametrize(
    "text, runs",
    [
        ("FROM a\nCOPY x y\n", False),
        ("FROM a\nRUN make\n", True),
        ("FROM --platform=$BUILDPLATFORM a\nRUN make\n", False),
        ('FROM --platform="${BUILDPLATFORM}" a\nRUN make\n', False),
        ("FROM --platform=linux/amd64 a\nRUN make\n", True),
        ("FROM a\nCOPY <<EOF /x\nRUN make\nEOF\n", False),
    ],
)
def test_what_runs_on_the_target(text: str, runs: bool) -> None:
    assert runs_on_target(text) is runs


# Words


@pytest.mark.parametrize(
    "word, value",
    [
        ("$X", "x"),
        ("${X}", "x"),
        ("a$X-b", "ax-b"),
        ("$X_", ""),
        ("$1", "$1"),
        ("$", "$"),
        ("a$$X", "a$x"),
        ("\\$X", "$X"),
        ("\\\\$X", "\\x"),
        ("'$X'", "$X"),
        ('"$X"', "x"),
        ('"a\\"b\\c"', 'a"b\\c'),
        ("'a'\"b\"c", "abc"),
        ("${X:-y}", "x"),
        ("${E:-y}", "y"),
        ("${E-y}", ""),
        ("${N-y}", "y"),
        ("${N:-}", ""),
        ("${X:+y}", "y"),
        ("${E:+y}", ""),
        ("${E+y}", "y"),
        ("${N+y}", ""),
        ("${N:-${E:-$X}}z", "xz"),
        ("${N:-'a b'}", "a b"),
        ("$U", None),
        ("a${U:-y}", None),
        ("${X:-$U}", "x"),
        ("${N:-$U}", None),
        ("${X%y}", None),
        ("${X:?no}", None),
        ("${}", None),
        ("${X", None),
    ],
)
def test_expand(word: str, value: str | None) -> None:
    scope: Mapping[str, str | None] = {"X": "x", "E": "", "U": None}
    assert expand(word, scope) == value


@given(st.text(st.sampled_from("ab $\\'\"{}:-+X\n"), max_size=12))
@example("${")
@example("\\")
def test_no_text_breaks_the_words(text: str) -> None:
    expand(text, {"X": "x"})
    unquoted(text)
    assert "".join(words(text)).replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")


@given(st.text(st.sampled_from("FROMCPYAG a\\\n<E-=$#'\"`[]{}:"), max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    found = bases(text, args={})
    assert not set(found.images) & set(found.unresolved)
