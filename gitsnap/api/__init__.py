"""`import gitsnap`: what the commands do, with results as objects, typed for `mypy --strict`.

Nothing prints or asks, and the environment is read only where it is given: `gitsnap.open(directory,
environ=os.environ)` finds what the command line finds there. What is expected to go wrong is a `GitsnapError`, which
has an exit code, or an `OSError`. Warnings go to the logger `gitsnap`.
"""

from __future__ import annotations

from gitsnap.api.audited import Environment as Environment
from gitsnap.api.guarded import Guard as Guard
from gitsnap.api.guarded import UpgradeFailedError as UpgradeFailedError
from gitsnap.api.guarded import guard as guard
from gitsnap.api.inspecting import Audit as Audit
from gitsnap.api.inspecting import AuditLine as AuditLine
from gitsnap.api.installation import Installation as Installation
from gitsnap.api.opening import adopt as adopt
from gitsnap.api.opening import clone as clone
from gitsnap.api.opening import fleet as fleet
from gitsnap.api.opening import open as open  # noqa: A004 - gitsnap.open(...) is its name
from gitsnap.api.opening import verify_bundles as verify_bundles
from gitsnap.core.changelog import Changelog as Changelog
from gitsnap.core.changelog import FileChange as FileChange
from gitsnap.core.comparison import Change as Change
from gitsnap.core.comparison import Comparison as Comparison
from gitsnap.core.comparison import Status as Status
from gitsnap.core.errors import GitsnapError as GitsnapError
from gitsnap.core.errors import IntegrityError as IntegrityError
from gitsnap.core.errors import LockedError as LockedError
from gitsnap.core.errors import NoSidecarError as NoSidecarError
from gitsnap.core.errors import NoSuchPathError as NoSuchPathError
from gitsnap.core.errors import NoSuchSnapshotError as NoSuchSnapshotError
from gitsnap.core.errors import NotASidecarError as NotASidecarError
from gitsnap.core.errors import PendingRecoveryError as PendingRecoveryError
from gitsnap.core.errors import PlanChangedError as PlanChangedError
from gitsnap.core.errors import RemoteError as RemoteError
from gitsnap.core.errors import SecretsError as SecretsError
from gitsnap.core.errors import StopRequestedError as StopRequestedError
from gitsnap.core.errors import UsageError as UsageError
from gitsnap.core.events import Observer as Observer
from gitsnap.core.model import Entry as Entry
from gitsnap.core.model import Kind as Kind
from gitsnap.core.model import Problem as Problem
from gitsnap.core.model import Snapshot as Snapshot
from gitsnap.core.model import Taken as Taken
from gitsnap.core.model import Type as Type
from gitsnap.core.outcome import Ending as Ending
from gitsnap.core.outcome import Outcome as Outcome
from gitsnap.core.plan import RestorePlan as RestorePlan
from gitsnap.core.remote import Remote as Remote
from gitsnap.core.retention import Decision as Decision
from gitsnap.core.retention import Policy as Policy
from gitsnap.core.signature import Checked
from gitsnap.core.upgrade import CheckResult as CheckResult
from gitsnap.core.upgrade import Event as Event
from gitsnap.ops.capture.hooks import HookFailedError as HookFailedError
from gitsnap.ops.check.doctor import Check as Check
from gitsnap.ops.check.drill import Drilled as Drilled
from gitsnap.ops.check.verdict import Finding as Finding
from gitsnap.ops.check.verdict import Verdict as Verdict
from gitsnap.ops.compare.diff import Difference as Difference
from gitsnap.ops.live.database_servers import DatabaseRunningError as DatabaseRunningError
from gitsnap.ops.query.blame import Blamed as Blamed
from gitsnap.ops.query.inspect import Match as Match
from gitsnap.ops.query.inspect import Shown as Shown
from gitsnap.ops.query.log import Life as Life
from gitsnap.ops.query.search import Found as Found
from gitsnap.ops.query.status import State as State
from gitsnap.ops.remote.adopt import Adopted
from gitsnap.ops.remote.bundle import Bundled as Bundled
from gitsnap.ops.remote.bundle import Looked as Looked
from gitsnap.ops.remote.fleet import Fleet as Fleet
from gitsnap.ops.remote.pull import Pulled as Pulled
from gitsnap.ops.remote.push import Pushed as Pushed
from gitsnap.ops.report.history import Episode as Episode
from gitsnap.ops.report.history import History as History
from gitsnap.ops.restore.result import Direction as Direction
from gitsnap.ops.restore.result import Recovered as Recovered
from gitsnap.ops.restore.result import Restored as Restored
from gitsnap.ops.restore.transaction import HalfAppliedError as HalfAppliedError
from gitsnap.ops.sets.result import SetUpgraded as SetUpgraded
from gitsnap.ops.store.gc import Collected as Collected
from gitsnap.ops.store.purge import Purged as Purged
from gitsnap.ops.store.retention import RulesChangedError as RulesChangedError
from gitsnap.ops.store.sign import Signed as Signed
from gitsnap.ops.upgrade.result import BrokeOffError as BrokeOffError
from gitsnap.ops.upgrade.result import IncompleteError as IncompleteError
from gitsnap.ops.upgrade.result import RollingBackFailedError as RollingBackFailedError
from gitsnap.ops.upgrade.result import Upgraded as Upgraded

Cloned = Adopted
Signature = Checked
