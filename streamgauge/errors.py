"""Errors of the library.

StreamgaugeError
├── ConfigurationError      a setting, profile or plan is wrong; the message gives value, limit and remedy
│   └── UnknownNameError    a detector, rule or profile of that name is not registered
├── DataError               a data set's file is missing or not as its owner publishes it
├── InvalidRecordError      one record cannot be used; it goes to the dead letters with this reason
└── StateError              saved or received state does not fit (layout, shape, dtype, not finite)
"""

from __future__ import annotations


class StreamgaugeError(Exception):
    """Base of all errors raised by Streamgauge on purpose."""


class ConfigurationError(StreamgaugeError, ValueError):
    """A setting, profile or plan is wrong; the message gives the value, the limit and the remedy."""


class UnknownNameError(ConfigurationError):
    """A name is not in a registry; the message lists the known ones."""


class DataError(StreamgaugeError, ValueError):
    """A data set's file is missing or is not as its owner publishes it; names file, column and value."""


class InvalidRecordError(StreamgaugeError, ValueError):
    """One record cannot be used.

    Args:
        reason: short, stable code such as ``malformed-json``; counted and put into the dead letter's header.
        detail: what exactly was wrong, for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StateError(StreamgaugeError, ValueError):
    """Saved or received state does not fit: layout, shape, dtype or a value that is not finite."""
