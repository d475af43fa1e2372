# SPDX-License-Identifier: Apache-2.0
"""The words of Kurier as plain immutable values.

Pure: no I/O, no clock, no import from other rooms.
"""
