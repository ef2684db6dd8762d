"""One tree of errors; every leaf is also the built-in exception that a caller would expect.

    RtfaceError
    ├── InputError (ValueError)         a value, option or array that rtface cannot work with
    │   └── MediaError                  a video, picture or folder that cannot be read
    ├── OutputError (OSError)           results that cannot be written (permission, disk, existing files)
    ├── ModelFileError (ValueError)     a basis, weight or engine file that is missing, damaged or foreign
    ├── BackendError (RuntimeError)     an inference backend that is not installed or failed
    └── RenderError (RuntimeError)      no OpenGL context, or OpenGL reported an error

Messages say what was got, what was expected and how to mend it; causes are chained with ``from``.
"""


class RtfaceError(Exception):
    """Base of every error that rtface raises on purpose."""


class InputError(RtfaceError, ValueError):
    """A value, option or array that rtface cannot work with."""


class MediaError(InputError):
    """A video, picture or folder that cannot be opened or decoded."""


class OutputError(RtfaceError, OSError):
    """Results that cannot be written: permissions, a full disk, files already there."""


class ModelFileError(RtfaceError, ValueError):
    """A basis, weight or engine file that is missing, damaged or made for something else."""


class BackendError(RtfaceError, RuntimeError):
    """An inference backend that is not installed, not supported here, or failed while running."""


class RenderError(RtfaceError, RuntimeError):
    """No OpenGL context could be made, or OpenGL reported an error."""
