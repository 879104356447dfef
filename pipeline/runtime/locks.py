"""Locks of files, also where the file system has none."""

import errno
import fcntl
from typing import IO, Any

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of NFS, Lustre, FUSE and others


def lock(file: IO[Any], *, wait: bool = True) -> None:
    """Locks the open `file` against other processes until it is closed.

    On a file system without locks it does nothing: processes there must not share a folder, which most never do.

    Raises:
        BlockingIOError: another process has it, and `wait` is off.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
