# SPDX-License-Identifier: Apache-2.0
"""Docker networks on OpenStack Neutron.

The rooms and what each may know of the others: `model` (pure values and decisions), `cloud`
(Neutron), `datapath` (Open vSwitch and netlink), `ledger` (this host's durable record), `service`
(the use cases), `docker` and `admin` (HTTP), `config`, `cli`, and `daemon`, which joins them.
"""

__version__ = "0.1.0.dev0"
