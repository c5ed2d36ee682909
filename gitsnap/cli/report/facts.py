"""What happened, in a verdict and its facts, and what proves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gitsnap.cli.render import formatting
from gitsnap.cli.render.counts import took, words
from gitsnap.cli.report.html import Content, Html, tag
from gitsnap.cli.report.wording import Commands, growth, moment, note, shell
from gitsnap.core.secrets.masker import Masker
from gitsnap.core.signature import sentence

if TYPE_CHECKING:
    from gitsnap.core.model import Snapshot
    from gitsnap.core.signature import Checked
    from gitsnap.core.upgrade import Stored
    from gitsnap.ops.report.history import Episode
    from gitsnap.ops.report.report import Report, Side

_LONGEST, _LAST_LINES = 2_000, 40
_TITLES = {
    "kept": ("good", "Kept"),
    "rolled-back": ("warn", "Rolled back"),
    "rollback-failed": ("bad", "Rolling back failed"),
    "reverted": ("warn", "Kept, and reverted later"),
    "unknown": ("bad", "How it ended is not known"),
    "running": ("warn", "Under way"),
    "cut-short": ("bad", "Cut short"),
    "incomplete": ("bad", "Cut short"),
}


def title(report: Report) -> str:
    """The heading of the page."""
    if report.episode and report.episode.upgrade:
        return f"What {report.episode.upgrade.called} changed"
    if report.sides[1].snapshot is None:
        return "What changed since a snapshot"
    return "What changed between two snapshots" if report.sides[0].snapshot else "What a snapshot would change"


def verdict(report: Report, masker: Masker) -> Html:
    """How it ended, as far as the snapshots can tell."""
    episode = report.episode
    if episode is None or episode.upgrade is None:
        look, name, told = (
            "plain",
            "Comparison",
            ["Two states side by side. How the one became the other, this page cannot tell."],
        )
    else:
        look, name = _TITLES.get(episode.status, ("warn", episode.status))
        told = [_told(episode, episode.upgrade, masker)]
        if episode.status == "kept" and (episode.upgrade.exit_code or episode.upgrade.failure):
            what = "the command" if episode.upgrade.exit_code else "it"
            look, name = "warn", f"Kept, although {what} failed"
    told += [_proved(report)]
    return tag(
        "section",
        tag("h2", name),
        *(tag("p", text) for text in told if text),
        class_=f"verdict {look}",
        id="verdict",
        aria_label="Verdict",
    )


def _told(episode: Episode, of: Stored, masker: Masker) -> str:
    code = of.exit_code
    ended = f"The command exited with {code}" if code is not None else "How the command ended is not known"
    if of.failure:
        why = formatting.name(masker.text(of.failure))
        own = why.startswith("the command ")
        ended = why[:1].upper() + why[1:] if own else f"{ended}; the upgrade failed: {why}"
    if episode.status == "kept":
        return f"{ended}, and what it left was kept."
    if episode.status in ("rolled-back", "reverted") and not of.safety:
        return f"{ended}. The directory is, or was, as in the snapshot before it: there was nothing to bring back."
    if episode.status in ("rolled-back", "reverted"):
        last = of.safety[-1]
        return (
            f"{ended}. On {moment(last.created)} the directory was brought back to the snapshot before it; what was "
            f"there until then is kept as {last.id}. The changes below are the upgrade's, before they were undone."
        )
    return {
        "running": "The command had not ended when this page was made: what is below may not be all.",
        "rollback-failed": "The directory could not be brought back, and nothing has settled that yet.",
        "unknown": f"{ended}. gitsnap was ended before it knew how the upgrade ended.",
        "cut-short": "It was interrupted before its second snapshot, and nothing has settled that yet.",
        "incomplete": "It was interrupted before its second snapshot. What is below is the difference to the directory "
        "when this page was made, whatever else has changed it since.",
    }.get(episode.status, ended + ".")


def _proved(report: Report) -> str:
    sides = [(word, s) for word, s in zip(("before", "after"), report.sides, strict=True) if s.snapshot]
    proved = [word for word, side in sides if side.verified]
    if len(sides) == len(proved) == 2:
        return "Both snapshots were read again in full and found right."
    if proved:
        other = "after" if proved[0] == "before" else "before"
        rest = f"; the one {other} has not been read again yet" if len(sides) == 2 else ""
        return f"The snapshot {proved[0]} was read again in full and found right{rest}."
    return "Neither side has been verified in full yet." if sides else ""


def facts(report: Report, commands: Commands, *, masker: Masker) -> Html:
    """Names, times, counts."""
    return tag(
        "dl",
        *(part for name, value in _facts(report, commands, masker) for part in _fact(name, value)),
        class_="facts",
    )


def way_back(report: Report, commands: Commands) -> Html | None:
    """What to type to have the directory, or one file of it, as it was."""
    before = report.sides[0].snapshot
    if before is None:
        return None
    upgrade = report.episode.upgrade if report.episode else None
    undone = upgrade is not None and report.episode is not None and report.episode.status in ("rolled-back", "reverted")
    lines: list[Content] = []
    if undone and upgrade is not None and upgrade.safety:
        lines += ["What the upgrade had left is kept. To have it again: "]
        lines += [tag("code", commands.gitsnap(f"rollback {upgrade.safety[-1].id}"))]
    elif not undone:
        lines += ["All of it: ", tag("code", commands.gitsnap(f"rollback {before.id}"))]
    lines += [" One file: ", tag("code", commands.gitsnap(f"restore {before.id} PATH"))]
    return tag("section", tag("h2", "How to go back"), tag("p", *lines), id="back")


def checks(report: Report, masker: Masker) -> Html | None:
    """Each check of the upgrade, how it went, and the end of what it printed; of the failed one, opened."""
    found = report.episode.told.checks if report.episode else ()
    if not found:
        return None
    return tag("section", tag("h2", "Checks"), *(_check(check, masker) for check in found), id="checks")


def _check(check: Mapping[str, Any], masker: Masker) -> Html:
    failed = not check.get("ok")
    how = f"failed: it {safe(str(check.get('problem') or 'did not say why'), masker)}" if failed else "passed"
    line: tuple[Content, ...] = (tag("code", safe(str(check.get("check") or ""), masker)), f" {how}")
    said = masker.text(str(check.get("output") or "")).splitlines()[-_LAST_LINES:]
    if not said:
        return tag("p", *line)
    text = (formatting.clip(formatting.name(row), _LONGEST) for row in said)
    printed = tag("pre", tag("code", *(part for row in text for part in (row, Html("\n")))))
    return tag("details", tag("summary", *line), printed, open=failed)


def _fact(name: str, value: Content) -> tuple[Html, Html]:
    return tag("dt", name), tag("dd", value)


def _facts(report: Report, commands: Commands, masker: Masker) -> Iterator[tuple[str, Content]]:
    episode = report.episode
    if episode and episode.upgrade:
        of = episode.upgrade
        yield "Upgrade", tag("code", of.id)
        if of.pre.command:
            yield "Command", tag("code", safe(of.pre.command, masker))
        message = of.pre.message.strip()
        if message not in ("", of.pre.command, f"before {of.pre.command}"):
            yield "About", safe(message, masker)
        lasted = f", took {took(of.seconds)}" if of.seconds is not None else ""
        yield "Began", moment(of.pre.created) + lasted
        if of.ending is not None and of.ending.check:
            yield "Failed check", tag("code", safe(of.ending.check, masker))
        if of.failure:
            yield "Cause", safe(of.failure, masker)
    who = report.sides[0].author
    if who:
        yield "By", safe(who, masker)
    # Where the upgrade was, which need not be where the page is made.
    host = (episode.told.host if episode else "") or commands.host
    if host:
        yield "Host", tag("code", formatting.clip(formatting.name(host), 200))
    yield "Directory", tag("code", formatting.clip(formatting.name(report.installation), _LONGEST))
    yield "Before", _state(report.sides[0])
    yield "After", _state(report.sides[1])
    yield "Changes", _counts(report)
    if report.partial:
        names = ", ".join(formatting.clip(formatting.name(p.path), 200) for p in report.partial[:10])
        rest = f" and {len(report.partial) - 10:,} more" if len(report.partial) > 10 else ""
        yield "Could not be read", f"{names}{rest}"


def _state(side: Side) -> Content:
    s = side.snapshot
    if s is None:
        return "the directory as it was when this page was made"
    lacking = f"; {formatting.many(s.partial, 'path')} could not be captured" if s.partial else ""
    return tag("span", tag("code", s.id), f" {formatting.many(s.files, 'file')}, {formatting.size(s.bytes)}{lacking}")


def _counts(report: Report) -> str:
    return f"{words(report.log.counts)}; {growth(report.log.grown)}"


def safe(text: str, masker: Masker) -> str:
    """A command line or message in one line, with what looks like a password hidden."""
    return formatting.clip(formatting.name(masker.text(text)), _LONGEST)


def integrity(report: Report, commands: Commands) -> Html:
    """Digests and ids, each with the stock command that checks it."""
    known = [(w, s) for w, s in zip(("Before", "After"), report.sides, strict=True) if s.snapshot is not None]
    opening = [
        f"export GIT_DIR={shell(report.store.encode('utf-8', 'surrogateescape'))}",
        "git fsck --full --strict",
    ]
    return tag(
        "section",
        tag("h2", "Proof"),
        tag(
            "p",
            "Snapshots are commits in a plain git repository. The commit names the SHA-256 of its manifest, which has "
            "the SHA-256 of every file, and that of its metadata. Stock tools check all of it:",
        ),
        tag("pre", tag("code", *(part for line in opening for part in (line, Html("\n"))))),
        *(_snapshot(word, side.snapshot, side) for word, side in known if side.snapshot is not None),
        _live(report),
        note(
            "With gitsnap: "
            + commands.gitsnap("verify " + " ".join(s.snapshot.id for _, s in known if s.snapshot))
            + ". What an upgrade's checks printed is not part of its snapshots."
        ),
        id="proof",
    )


def _snapshot(word: str, s: Snapshot, side: Side) -> Html:
    manifest, metadata = (
        f"git notes --ref=gitsnap/{what} show {s.commit} | sha256sum" for what in ("manifest", "metadata")
    )
    rows: list[tuple[str, str, str]] = [
        ("Commit", s.commit, f"git cat-file commit {s.commit} | git hash-object -t commit --stdin"),
        ("Tree", s.tree, f"git rev-parse {s.commit}^{{tree}}"),
        ("Manifest", s.manifest_sha256, manifest),
        ("Metadata", s.metadata_sha256, metadata),
    ]
    signed = [(_signature(each), _look(s, each)) for each in side.signatures]
    proved = f"Read again in full and found right on {moment(side.verified)}." if side.verified else "Not verified yet."
    return tag(
        "div",
        tag("h3", f"{word}: ", tag("code", s.id)),
        tag("p", f"Taken {moment(s.created)}. {proved}" + ("" if signed else " Not signed.")),
        tag("dl", *(p for row in [*rows, *(("Signed", *each) for each in signed)] for p in _row(*row)), class_="proof"),
    )


def _signature(found: Checked) -> str:
    return f"{formatting.name(sentence(found))}, {moment(found.when)}"


def _look(s: Snapshot, found: Checked) -> str:
    """How stock git checks a signature, with the owner's file of those who may sign."""
    what = (
        f"verify-tag {shell(found.where.encode())}" if found.where.startswith("refs/") else f"verify-commit {s.commit}"
    )
    return f"git -c gpg.ssh.allowedSignersFile=FILE {what}"


def _row(name: str, value: str, command: str) -> tuple[Html, Html, Html]:
    return (
        tag("dt", name),
        tag("dd", tag("code", value, class_="digest")),
        tag("dd", tag("code", command, class_="check")),
    )


def _live(report: Report) -> Html | None:
    last = next((s.snapshot for s in reversed(report.sides) if s.snapshot), None)
    if last is None:
        return None
    where = shell(report.installation.encode("utf-8", "surrogateescape"))
    command = f"cd {where} && git notes --ref=gitsnap/manifest show {last.commit} | sha256sum --strict --quiet -c"
    return tag(
        "div",
        tag("p", f"Whether the files in the directory are those of {last.id} now:"),
        tag("pre", tag("code", command)),
    )
