# SPDX-License-Identifier: Apache-2.0
"""The use cases: networks, addresses, endpoints, settlement and reconciliation.

Knows `model`, and the cloud, the switch, the ledger and the engine only through the narrow
protocols of `kurier.service.protocols`. No import of openstacksdk, pyroute2, ovsdbapp, sqlite3 or
aiohttp here.
"""
