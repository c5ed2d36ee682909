"""Which of two versions is above the other, by the examples of each ecosystem's own manual."""

from __future__ import annotations

from itertools import combinations

import pytest

from gitsnap.core.packages import versions

# Each line ascends.
ASCENDING = [
    (versions.pep440, "1.0.dev1 1.0a1 1.0b2 1.0rc1 1.0 1.0.post1 1.1 1.10 2!0.1"),
    (versions.semver, "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 v1.0.1"),
    (versions.semver, "0.9 v1.2.3.4 1.10 2"),
    (versions.semver, "v0.0.0-20190101000000-abcdefabcdef v0.0.0-20200101000000-0123456789ab v1.0.0"),
    (versions.dpkg, "1.0~~ 1.0~~a 1.0~ 1.0 1.0-1 1.0-1+b1 1.0a 1.0+dfsg 1.0.1 1.9 1.10 1:0.1"),
    (versions.rpm, "1.0~rc1-1 1.0-1 1.0-1.el9 1.0-2 1.0^git1-1 1.0a-1 1.0.1-1 1.10-1 1:0.1-1"),
    (versions.apk, "1.2_alpha1-r0 1.2_rc1-r0 1.2-r0 1.2-r1 1.2_p1-r0 1.2a-r0 1.2.1-r0 1.10-r0"),
    (versions.natural, "6.1-beta1 6.1-RC1 6.1 6.1.1 6.9 6.10 2024.1 2024.10"),
]


@pytest.mark.parametrize(("order", "line"), ASCENDING)
def test_the_second_is_above_the_first(order: versions.Order, line: str) -> None:
    for low, high in combinations(line.split(), 2):
        assert order(low, high) == 1, (low, high)
        assert order(high, low) == -1, (high, low)
        assert order(low, low) == 0


@pytest.mark.parametrize(("order", "one", "other"), [
    (versions.pep440, "1.0", "1.0.0"),
    (versions.semver, "1.0.0", "v1.0.0+build5"),
    (versions.dpkg, "0:1.0-0", "1.0"),
    (versions.natural, "v3.0", "3"),
])  # fmt: skip
def test_one_version_written_in_two_ways_is_equal(order: versions.Order, one: str, other: str) -> None:
    assert order(one, other) == 0


def test_what_has_no_order_has_none() -> None:
    assert versions.natural("latest", "edge") is None
    assert versions.semver("dev-main", "dev-next") is None
