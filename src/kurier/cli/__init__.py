# SPDX-License-Identifier: Apache-2.0
"""The `kurier` command. Nothing imports it; it asks the daemon over its admin socket."""
