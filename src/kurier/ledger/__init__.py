# SPDX-License-Identifier: Apache-2.0
"""This host's durable record, in SQLite. Knows `model` and nothing else; SQL lives here alone."""

from kurier.ledger.file import Opened
from kurier.ledger.sqlite import SqliteLedger

__all__ = ["Opened", "SqliteLedger"]
