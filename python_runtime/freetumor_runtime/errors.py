"""Errors of the runtime: the Python twins of src/errors.ts. `kind` crosses to TypeScript and is revived there."""


class FreetumorError(Exception):
    """Base of every error raised on purpose: the message names the file, key or case; `hint` names the fix."""

    kind = "runtime"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(FreetumorError):
    kind = "usage"


class ConfigError(FreetumorError):
    kind = "config"


class DataError(FreetumorError):
    kind = "data"


class EnvironmentError(FreetumorError):
    kind = "environment"


class CheckpointError(FreetumorError):
    kind = "checkpoint"


class PluginError(FreetumorError):
    """A plug-in ended, did not answer in time, or broke its protocol."""

    kind = "plugin"


class Superseded(FreetumorError):
    """Another start has taken the run over; this one writes nothing more."""

    kind = "superseded"


class Stopped(FreetumorError):
    """The other side requested a stop, or has ended."""

    kind = "stopped"
