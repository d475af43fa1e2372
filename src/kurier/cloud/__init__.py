# SPDX-License-Identifier: Apache-2.0
"""Neutron: networks, subnets, ports, tags, security groups, over keystoneauth's sessions.

Blocking calls in a bounded pool of threads behind an asynchronous face (`NeutronCloud`). Knows
the model; knows nothing of Docker, the switch, the ledger or the service.
"""
