# SPDX-License-Identifier: Apache-2.0
"""The stage of the cloud tests: a real engine, a real Neutron, a real switch, and Kurier.

Nothing here stands in for a part; what is here starts, asks and watches the real ones.
"""

from tests.cloud.stage.engine import IMAGE, DockerError
from tests.cloud.stage.stage import Stage
from tests.cloud.stage.waiting import wait_until

__all__ = ["IMAGE", "DockerError", "Stage", "wait_until"]
