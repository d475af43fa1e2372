# SPDX-License-Identifier: Apache-2.0
"""One family of errors: each carries one sentence for the user and a stable code for programs."""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """What went wrong, stable over releases; shown in logs and metrics."""

    BAD_REQUEST = "bad-request"
    NOT_FOUND = "not-found"
    AMBIGUOUS = "ambiguous"
    CONFLICT = "conflict"
    IN_USE = "in-use"
    CHANGED = "changed"
    ADDRESS_IN_USE = "address-in-use"
    ADDRESS_INVALID = "address-invalid"
    EXHAUSTED = "exhausted"
    QUOTA = "quota"
    CREDENTIALS = "credentials"
    POLICY = "policy"
    CLOUD_AWAY = "cloud-away"
    CLOUD_ERROR = "cloud-error"
    BINDING_FAILED = "binding-failed"
    SWITCH_AWAY = "switch-away"
    SWITCH_ERROR = "switch-error"
    NOT_WIRED = "not-wired"
    DEADLINE = "deadline"
    UNSUPPORTED = "unsupported"
    INTERNAL = "internal"


NOTHING_WAS_MADE = frozenset(
    {
        Code.ADDRESS_IN_USE,
        Code.ADDRESS_INVALID,
        Code.EXHAUSTED,
        Code.QUOTA,
        Code.NOT_FOUND,
        Code.POLICY,
        Code.BAD_REQUEST,
        Code.CREDENTIALS,
    }
)
"""Neutron's own refusals of a create: after any other error what was asked for may be there."""


class KurierError(Exception):
    """An error with a sentence that Docker shows to the user as is.

    The technical cause, where there is one, is the exception's ``__cause__`` and goes to the log.
    """

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def bad_request(sentence: str) -> KurierError:
    """A request that cannot be served as asked; nothing was done."""
    return KurierError(Code.BAD_REQUEST, sentence)
