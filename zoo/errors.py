"""The few errors that users of zoo see: each says what was given, expected, and to do.

All derive from `ZooError`, and from the built-in error that a caller would catch.
"""


class ZooError(Exception):
    """Anything that zoo refuses to do."""


class ConfigError(ZooError, ValueError):
    """A configuration contradicts itself, or names a mechanism that does not exist."""


class CheckpointError(ZooError, ValueError):
    """A checkpoint is missing, damaged, hostile, or not the model asked for."""


class TokenizerError(ZooError, ValueError):
    """A tokenizer file cannot be honoured exactly, or text not encoded as asked."""


class InputError(ZooError, ValueError):
    """What was passed to a model or task does not have the form that it takes."""


class DataError(ZooError, ValueError):
    """A data file is empty, malformed, or lacks a column."""


class ExportError(ZooError, ValueError):
    """A model cannot be written in the form that was asked for."""


class TrainingError(ZooError, ArithmeticError):
    """Training met NaN or infinity, and stopped before they reached the weights."""
