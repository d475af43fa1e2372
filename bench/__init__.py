# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: Kurier beside Docker's own bridge and kuryr-libnetwork, in one run, as ratios."""
