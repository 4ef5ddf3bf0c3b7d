"""Messages for paths that cannot be read. src/system-errors.ts has the same words."""

import errno

# reason of each error code of the operating system
_REASONS = {
    "EACCES": "permission denied",
    "EPERM": "permission denied",
    "EMFILE": "this process has too many open files",
    "ENFILE": "the machine has too many open files",
    "EIO": "the disk reports an input/output error",
    "ESTALE": "the network file system lost the file",
    "EISDIR": "it is a folder",
    "ENAMETOOLONG": "its name is too long",
    "ELOOP": "its path has too many symbolic links",
    "ENOMEM": "the machine has no memory left for it",
}


def cannot_be_read(path: object, error: OSError, kind: str = "file") -> str:
    """Return the message of a path that cannot be read, such as `scan.nii: file not found`."""
    return f"{path}: {read_problem(error, kind)}"


def read_problem(error: OSError, kind: str = "file") -> str:
    """Return why a path cannot be read, without the path."""
    code = errno.errorcode.get(error.errno or 0, str(error))
    if code in ("ENOENT", "ENOTDIR"):
        return f"{kind} not found"
    return f"cannot be read ({', '.join(filter(None, [_REASONS.get(code), code]))})"
