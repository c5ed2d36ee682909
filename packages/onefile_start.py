"""The start of the zipapp: what it holds is unpacked once, where nobody else can write, and run from there."""

import os
import shutil
import stat
import sys
import tempfile
import zipfile

ID, MINOR = "@ID@", "@MINOR@"


def cache():
    """Where to unpack to. For root it is the system's, whoever's HOME was left in the environment."""
    given = os.environ.get("GITSNAP_UNPACKED")
    if given:
        return os.path.abspath(given)
    if os.geteuid() == 0:
        return "/var/cache/gitsnap"
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):
        return os.path.join(xdg, "gitsnap")
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise OSError("there is no home directory")
    return os.path.join(home, ".cache", "gitsnap")


def unpacked(archive):
    """The unpacked modules, which are there whole or not at all."""
    top = cache()
    os.makedirs(top, mode=0o700, exist_ok=True)
    ours(top)
    place = os.path.join(top, ID)
    if not os.path.lexists(place):
        fresh = tempfile.mkdtemp(prefix=".unpacking-", dir=top)
        try:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(fresh, [n for n in packed.namelist() if n.startswith("site/")])
            try:
                os.rename(fresh, place)
            except OSError:
                # Somebody else was first.
                if not os.path.isdir(place):
                    raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    ours(place)
    return os.path.join(place, "site")


def ours(directory):
    """Whoever else could write here could have us run what they like."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(f"{directory} is not a directory of ours that nobody else can write to")


def start():
    """Check the interpreter, unpack, and hand over to gitsnap."""
    if "{}.{}".format(*sys.version_info) != MINOR:
        sys.exit("gitsnap: this file is for Python {}, and this is {}.{}".format(MINOR, *sys.version_info))
    archive = os.path.abspath(sys.path[0])
    mask = os.umask(0o077)
    try:
        place = unpacked(archive)
    except (OSError, zipfile.BadZipFile) as error:
        sys.exit(
            f"gitsnap: cannot unpack itself: {error}\n"
            "Nothing was done. GITSNAP_UNPACKED=DIR names another directory to unpack to."
        )
    os.umask(mask)
    sys.path[0] = place
    from gitsnap.__main__ import main
    from gitsnap.ops.process import ourselves

    ourselves.archive = archive
    main()


start()
