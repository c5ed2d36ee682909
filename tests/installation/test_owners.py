"""Owners that this system does not know are named, once each."""

from __future__ import annotations

import os
import pwd

from gitsnap.core.model import Entry, Inventory, Type
from gitsnap.installation.owners import Stranger, strangers


def test_who_is_not_here_is_named_once() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    owners = [(me, "none-such-group"), ("none-such-user", "none-such-group"), ("none-such-user", ""), ("", "")]
    entries = [
        Entry(b"f%d" % n, Type.FILE, 0o644, 7000 + bool(user != me), 8000, user, group)
        for n, (user, group) in enumerate(owners)
    ]
    assert strangers(Inventory(entries)) == [
        Stranger("user", "none-such-user", 7001),
        Stranger("group", "none-such-group", 8000),
    ]
