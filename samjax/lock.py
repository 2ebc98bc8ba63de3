"""Locks a folder, so that only one process at a time writes to it."""

import contextlib
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

try:
    import fcntl
except ImportError:  # Windows: the content of the file decides.
    fcntl = None

NAME = "in_use.lock"
# Errors of file systems without locks, or without a running lock service.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@contextlib.contextmanager
def exclusive(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Locks a folder against other processes; makes the folder if it is missing.

    The lock is `flock` on `FOLDER/in_use.lock`. The system releases it if the process dies. NFS
    (also between machines), SMB, GPFS and Lustre (mounted with `flock`) support it. On other file
    systems, the content of the file decides: the lock of a process of this machine ends with the
    process; that of a process of another machine ends when the file is deleted.

    Raises:
        ValueError: Another process has locked the folder; the message names the process.
        OSError: The folder cannot be made or written to.
    """
    folder = Path(folder)
    made = _make(folder)
    path = folder / NAME
    try:
        with _open_locked(path) as file:
            holder = {"pid": os.getpid(), "host": socket.gethostname()}
            holder |= {"since": time.strftime("%Y-%m-%d %H:%M:%S"), "program": sys.argv[0]}
            file.truncate(0)
            file.write(json.dumps(holder) + "\n")
            file.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    finally:
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()


def _make(folder: Path) -> list[Path]:
    """Makes a folder; returns the folders that were missing, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"{folder}: expected a folder, found that {path} is a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{folder}: cannot be made: {error.strerror}") from error
    return missing


def _open_locked(path: Path) -> TextIO:
    """Opens the lock file and locks it."""
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise OSError(f"{path.parent}: cannot be written to: {error.strerror}") from error
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _holder(file)
            if isinstance(error, BlockingIOError):
                file.close()
                raise ValueError(_in_use(path, holder)) from None
            if error.errno not in _UNSUPPORTED or (holder and not _is_gone(holder)):
                file.close()
                hint = f"; delete {path} if that process is gone"
                raise ValueError(_in_use(path, holder) + hint) from None
            return file
        # The process that had the lock may have deleted the file between opening and locking.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _holder(file: TextIO) -> dict[str, Any]:
    file.seek(0)
    try:
        return dict(json.loads(file.read()))
    except (ValueError, TypeError):  # The file is just being written.
        return {}


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _in_use(path: Path, holder: dict[str, Any]) -> str:
    if not holder:
        return f"{path.parent} is in use by another process"
    return (
        f"{path.parent} is in use by process {holder.get('pid')} on {holder.get('host')} "
        f"({holder.get('program')}) since {holder.get('since')}"
    )
