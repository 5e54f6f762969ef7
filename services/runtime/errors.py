"""Errors of the services.

streamgauge.errors.StreamgaugeError
└── ServiceError
    ├── SettingsError           a setting is wrong: setting, value, what is allowed
    ├── TopicError              a topic is missing or differs from what is needed
    ├── MessageTooLargeError    a message is over its topic's limit; names the setting to change
    ├── EnvelopeError           a message's headers, signature or content cannot be trusted or read
    ├── BrokerError             a local broker could not be started
    └── StoppedError            the service was told to stop in mid-work
"""

from __future__ import annotations

from streamgauge.errors import StreamgaugeError


class ServiceError(StreamgaugeError):
    """Base of the services' errors."""


class SettingsError(ServiceError):
    """A setting is wrong: names it, its value and what is allowed."""


class TopicError(ServiceError):
    """A topic is missing, or its settings differ from what is needed."""


class MessageTooLargeError(ServiceError):
    """A message is over its topic's limit; gives size, limit and the setting to change."""


class EnvelopeError(ServiceError):
    """A message's headers, signature or content cannot be trusted or read.

    Args:
        reason: short, stable code for the counter, e.g. ``bad-signature``.
        detail: for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BrokerError(ServiceError):
    """A local broker could not be started or reached; says what is missing."""


class StoppedError(ServiceError):
    """The service was told to stop in mid-work."""
