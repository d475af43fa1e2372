# SPDX-License-Identifier: Apache-2.0
"""What Kurier is told: one TOML file, environment variables over it, flags over both.

`settings` is the table of all settings, and the typed value that the rest of Kurier is given;
`load` reads the sources and says which one each value came from; `rules` and `machine` say in
words what is wrong; `show` and `reference` print it for people. Only values and files are
handled here: nothing is contacted, and no other room but the model is known.
"""

from kurier.config.load import Loaded, load
from kurier.config.problems import ConfigError, Problem
from kurier.config.settings import (
    CloudSettings,
    DaemonSettings,
    DatapathSettings,
    EngineSettings,
    NetworkSettings,
    ReconcileSettings,
    Settings,
    SettleSettings,
)

__all__ = [
    "CloudSettings",
    "ConfigError",
    "DaemonSettings",
    "DatapathSettings",
    "EngineSettings",
    "Loaded",
    "NetworkSettings",
    "Problem",
    "ReconcileSettings",
    "Settings",
    "SettleSettings",
    "load",
]
