"""Releases of the sample services, against the real engine and the real registry."""

from __future__ import annotations

from conftest import Scratch


def test_two_versions_of_five_services(samples: Scratch) -> None:
    first = samples.inv("release", "--version", "1.0.0", "--json")
    assert first.code == 0, first.err
    assert [image["action"] for image in first.json["images"]] == ["build"] * 5
    second = samples.inv("release", "--version", "1.1.0", "--json")
    assert second.code == 0, second.err
    assert {image["action"] for image in second.json["images"]} == {"reuse"}
    listed = samples.inv("registry", "--json").json
    tags = {(one["service"], one["tag"]): one["digest"] for one in listed}
    for image in second.json["images"]:
        assert {tags[image["service"], tag] for tag in ("1.0.0", "1.1.0", "latest")} == {image["digest"]}
