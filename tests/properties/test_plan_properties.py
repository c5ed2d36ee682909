"""A plan, carried out step by step on a model of a directory, gives the target, and touches nothing it must not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from hypothesis import example, given, note
from hypothesis import strategies as st

from gitsnap.core.entry_comparison import same_metadata
from gitsnap.core.model import Entry, Inventory, Problem, Type
from gitsnap.core.plan import Action, RestorePlan, Step, make_plan
from gitsnap.ops.restore.target import scope_of
from tests.support.examples import examples

relaxed = examples(250)

NAMES = st.sampled_from([b"a", b"b", b"c", b"a.d", b"\xff"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
KINDS = st.sampled_from([Type.FILE, Type.FILE, Type.FILE, Type.DIR, Type.LINK, Type.FIFO])


@dataclass
class Node:
    """What the model's directory holds at a path. `inode` tells hard links; `stale` is a time that a step has moved."""

    entry: Entry
    inode: object
    stale: bool = False


@dataclass(repr=False)
class Case:
    wanted: Inventory
    live: Inventory
    paths: list[bytes]
    guarded: frozenset[bytes]
    opaque: frozenset[bytes]
    mounts: frozenset[bytes]

    def __repr__(self) -> str:
        def tree(of: Inventory) -> str:
            lines = [f"{e.path!r}:{e.type}{e.sha256 or e.target}{e.mode:o}@{e.mtime_ns}" for e in of.entries]
            return f"{' '.join(lines)} links={of.hardlinks} partial={of.partial} skipped={of.skipped} ex={of.excluded}"

        sets = f"paths={self.paths} guarded={set(self.guarded)} opaque={set(self.opaque)} mounts={set(self.mounts)}"
        return f"\nwanted {tree(self.wanted)}\nlive {tree(self.live)}\n{sets}"

    def scope(self) -> Callable[[bytes], bool]:
        return scope_of(self.paths, self.wanted, self.live)

    def protected(self, path: bytes, is_dir: bool) -> bool:
        return any(top in self.guarded for top in (path, *above(path)))

    def plan(self, refused: Mapping[bytes, str] | None = None) -> RestorePlan:
        return make_plan(
            self.wanted,
            self.live,
            scope=self.scope(),
            protected=self.protected,
            mounts=self.mounts,
            refused=refused,
        )

    def in_play(self, path: bytes) -> bool:
        partial = {p.path for p in self.wanted.partial}
        inside = not any(top in partial for top in (path, *above(path)))
        return self.scope()(path) and inside and not self.protected(path, False)


def above(path: bytes) -> Iterable[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    """A tree with a root; files of one content may share an inode."""
    kinds = draw(st.dictionaries(PATHS, KINDS, max_size=9))
    entries = {b"": Entry(b"", Type.DIR, draw(st.sampled_from([0o755, 0o700])))}
    for path in sorted(kinds):
        if any(entries.get(top, entries[b""]).type is not Type.DIR for top in above(path)):
            continue
        for top in above(path):
            entries.setdefault(top, Entry(top, Type.DIR, 0o755, mtime_ns=draw(st.integers(0, 2))))
        entry = Entry(path, kinds[path], draw(st.sampled_from([0o644, 0o600])), mtime_ns=draw(st.integers(0, 2)))
        if entry.type is Type.FILE:
            entry.sha256 = entry.oid = draw(st.sampled_from([b"one", b"two"]))
        elif entry.type is Type.LINK:
            entry.target = draw(st.sampled_from([b"x", b"y"]))
        entries[path] = entry
    groups: dict[object, list[bytes]] = {}
    for path, entry in sorted(entries.items()):
        if entry.type is Type.FILE and draw(st.booleans()):
            groups.setdefault((entry.sha256, draw(st.integers(0, 1))), []).append(path)
    for group in groups.values():
        for path in group[1:]:
            # One inode has one set of metadata.
            first = entries[group[0]]
            entries[path].mode, entries[path].mtime_ns = first.mode, first.mtime_ns
    links = sorted(tuple(g) for g in groups.values() if len(g) > 1)
    return Inventory(entries=[entries[p] for p in sorted(entries)], hardlinks=links)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    wanted, live = draw(inventories()), draw(inventories())
    if draw(st.booleans()):
        # Much alike: what differs is then a few entries, as after most upgrades.
        mixed = {e.path: e for e in wanted.entries} | {e.path: e for e in live.entries if draw(st.integers(0, 3)) == 0}
        kept = {
            p: replace(e)
            for p, e in mixed.items()
            if all(mixed.get(top, e).type is Type.DIR and top in mixed for top in above(p))
        }
        live = Inventory(entries=[kept[p] for p in sorted(kept)])
        groups = [tuple(p for p in g if p in kept and kept[p] == e) for g, e in of_groups(wanted)]
        live.hardlinks = [g for g in groups if len(g) > 1]
    here = sorted(e.path for e in wanted.entries)
    paths = draw(st.lists(st.sampled_from(here), max_size=2)) if draw(st.booleans()) else []
    everything = sorted({e.path for e in [*wanted.entries, *live.entries]} - {b""})
    pick = st.sets(st.sampled_from(everything), max_size=2) if everything else st.just(set())
    guarded = draw(pick) if draw(st.booleans()) else set()
    held = {e.path: e for e in live.entries}
    folders = [e.path for e in live.entries if e.type is Type.DIR]
    names = draw(st.lists(st.tuples(st.sampled_from(folders), NAMES, st.booleans()), max_size=2))
    excluded, sockets = set(), set()
    for folder, name, is_socket in names:
        path = folder + b"/" + name if folder else name
        if path in held or path in guarded:
            continue
        if is_socket:
            sockets.add(path)
        else:
            excluded.add(path)
            if draw(st.booleans()):
                # Otherwise a rule for directories alone left it out, and what is wanted there is none.
                guarded.add(path)
    live.excluded, live.skipped = sorted(excluded - sockets), sorted(sockets)
    mounts = draw(st.sets(st.sampled_from([p for p in held if p]), max_size=1)) if len(held) > 1 else set()
    if draw(st.integers(0, 4)) == 0 and len(here) > 1:
        wanted = without(wanted, draw(st.sampled_from(here[1:])))
    return Case(wanted, live, paths, frozenset(guarded), frozenset(excluded | sockets), frozenset(mounts))


def of_groups(inventory: Inventory) -> list[tuple[tuple[bytes, ...], Entry]]:
    entries = inventory.by_path()
    return [(g, entries[g[0]]) for g in inventory.hardlinks]


def without(inventory: Inventory, path: bytes) -> Inventory:
    """As if `path` could not be read when the snapshot was taken."""
    gone = {e.path for e in inventory.entries if path in (e.path, *above(e.path))}
    groups = [tuple(p for p in g if p not in gone) for g in inventory.hardlinks]
    return replace(
        inventory,
        entries=[e for e in inventory.entries if e.path not in gone],
        hardlinks=[g for g in groups if len(g) > 1],
        partial=[Problem(path, "unreadable")],
    )


@dataclass
class Model:
    """The directory: what the inventory says, and the opaque things that it does not hold."""

    nodes: dict[bytes, Node] = field(default_factory=dict)
    opaque: frozenset[bytes] = frozenset()
    touched: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, case: Case) -> Model:
        group = {p: g for g in case.live.hardlinks for p in g}
        nodes = {e.path: Node(replace(e), group.get(e.path, e.path)) for e in case.live.entries}
        return cls(nodes, case.opaque)

    def apply(self, step: Step) -> None:
        path, here = step.path, self.nodes.get(step.path)
        assert path not in self.opaque
        if path:
            parent = self.nodes.get(path.rpartition(b"/")[0])
            assert parent is not None, f"{path!r} has no parent"
            assert parent.entry.type is Type.DIR, f"{path!r} is below no directory"
            if step.action is not Action.METADATA:
                parent.stale = True
        self.touched.add(path)
        match step.action:
            case Action.REMOVE:
                assert here is not None
                assert here.entry.type is not Type.DIR
                del self.nodes[path]
            case Action.RMDIR:
                assert here is not None
                assert here.entry.type is Type.DIR
                inside = [p for p in [*self.nodes, *self.opaque] if p.rpartition(b"/")[0] == path and p]
                assert inside == [], f"{path!r} is not empty: {inside}"
                del self.nodes[path]
            case Action.MKDIR:
                assert here is None
                assert step.entry is not None
                self.nodes[path] = Node(Entry(path, Type.DIR, 0o700), object(), stale=True)
            case Action.WRITE:
                assert step.entry is not None
                assert step.replaces == (here is not None)
                assert here is None or here.entry.type is not Type.DIR
                inode: object = object()
                if step.link_of is not None:
                    assert step.link_of in self.touched
                    inode = self.nodes[step.link_of].inode
                self.nodes[path] = Node(replace(step.entry), inode)
            case Action.METADATA:
                assert here is not None
                assert step.entry is not None
                assert here.entry.type is step.entry.type
                here.stale = False
                for node in self.nodes.values():
                    if node.inode == here.inode:
                        node.entry = replace(node.entry, mode=step.entry.mode, mtime_ns=step.entry.mtime_ns)


def meta(entry: Entry) -> tuple[object, ...]:
    return entry.mode if entry.type is not Type.LINK else 0, entry.mtime_ns


def content(entry: Entry) -> tuple[object, ...]:
    return entry.type, entry.sha256, entry.target


@relaxed
@given(cases())
def test_the_steps_give_the_target(case: Case) -> None:
    note(repr(case))
    note(str([(x.action, x.path) for x in case.plan().steps]))
    plan, model = case.plan(), Model.of(case)
    for step in plan.steps:
        model.apply(step)
    kept = {p.path for p in plan.kept}
    wanted = case.wanted.by_path()
    for path in {*wanted, *model.nodes}:
        if not case.in_play(path) or path in kept:
            continue
        assert (path in model.nodes) == (path in wanted), path
        assert content(model.nodes[path].entry) == content(wanted[path]), path
        assert meta(model.nodes[path].entry) == meta(wanted[path]), path
        assert not model.nodes[path].stale, path
    for group in [*case.wanted.hardlinks, *model_links(model)]:
        inside = [p for p in group if case.in_play(p) and p not in kept]
        together = {id_of(case.wanted, p) for p in inside}, {model.nodes[p].inode for p in inside}
        assert len(together[0]) == len(together[1]), group


def model_links(model: Model) -> list[list[bytes]]:
    found: dict[object, list[bytes]] = {}
    for path, node in model.nodes.items():
        found.setdefault(node.inode, []).append(path)
    return list(found.values())


def id_of(inventory: Inventory, path: bytes) -> object:
    return next((g for g in inventory.hardlinks if path in g), path)


@relaxed
@given(cases())
def test_nothing_else_is_touched(case: Case) -> None:
    plan, model = case.plan(), Model.of(case)
    before = {p: replace(n.entry) for p, n in model.nodes.items()}
    for step in plan.steps:
        model.apply(step)
        if not case.in_play(step.path):
            # A directory that a step moved the time of gets back what it had, nothing more.
            assert step.action is Action.METADATA
            assert step.entry is not None
            assert (step.entry.type, meta(step.entry)) == (Type.DIR, meta(before[step.path]))
        assert step.path not in case.opaque
        assert step.action is Action.METADATA or step.path not in case.mounts
    for path, entry in before.items():
        if not case.in_play(path):
            assert path in model.nodes
            assert content(model.nodes[path].entry) == content(entry)
            assert not model.nodes[path].stale
            assert meta(model.nodes[path].entry) == meta(entry)
    for path in case.opaque:
        for top in above(path):
            assert model.nodes[top].entry.type is Type.DIR


@relaxed
@given(cases())
@example(
    Case(Inventory([Entry(b"", Type.DIR, 0o755)]), Inventory([Entry(b"", Type.DIR, 0o755)]), [], *[frozenset()] * 3)
)
def test_what_is_as_wanted_needs_no_step(case: Case) -> None:
    """And a plan made for what a plan left behind is empty, but for what had to stay as it is."""
    same = replace(case, live=case.wanted, opaque=frozenset(), mounts=frozenset())
    assert same.plan().steps == []
    plan, model = case.plan(), Model.of(case)
    for step in plan.steps:
        model.apply(step)
    if plan.kept:
        return
    links = [tuple(sorted(g)) for g in model_links(model) if len(g) > 1]
    after = replace(case.live, entries=[model.nodes[p].entry for p in sorted(model.nodes)], hardlinks=sorted(links))
    assert replace(case, live=after).plan().steps == []


@relaxed
@given(cases())
def test_a_plan_depends_on_nothing_but_its_arguments(case: Case) -> None:
    assert case.plan() == case.plan()
    sizes = [s.entry.size for s in case.plan().steps if s.action is Action.WRITE and s.entry and not s.link_of]
    assert case.plan().size() == sum(sizes)


@relaxed
@given(cases(), st.data())
def test_what_cannot_be_changed_is_kept_and_the_rest_is_the_target(case: Case, data: st.DataObject) -> None:
    """`stuck` cannot be replaced, removed or dressed, and no name can come into `closed` directories or leave them."""
    live, wanted = case.live.by_path(), case.wanted.by_path()
    stuck = data.draw(st.sets(st.sampled_from(sorted(live)), max_size=2))
    closed = data.draw(st.sets(st.sampled_from([p for p, e in live.items() if e.type is Type.DIR]), max_size=1))

    def blocked(step: Step) -> bool:
        old = live.get(step.path)
        if step.action is Action.METADATA:
            same = old is not None and step.entry is not None and same_metadata(old, step.entry)
            return step.path in stuck and not same
        folders = [p for p in above(step.path) if p in live and live[p].type is Type.DIR]
        return (folders or [b""])[0] in closed or (old is not None and step.path in stuck)

    plan, refused, first = case.plan(), dict[bytes, str](), set[bytes]()
    while found := {s.path: "stuck" for s in plan.steps if blocked(s)}:
        first = first or set(found)
        assert not found.keys() & refused.keys()
        refused |= found
        plan = case.plan(refused)
    model = Model.of(case)
    for step in plan.steps:
        model.apply(step)
    kept = {p.path for p in plan.kept}
    assert first <= kept
    for path in {*wanted, *model.nodes}:
        if case.in_play(path) and path not in kept:
            assert (path in model.nodes) == (path in wanted), path
            assert content(model.nodes[path].entry) == content(wanted[path]), path
            assert meta(model.nodes[path].entry) == meta(wanted[path]), path
    for path in kept & live.keys() & set(refused):
        assert content(model.nodes[path].entry) == content(live[path])
