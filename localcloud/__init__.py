# SPDX-License-Identifier: Apache-2.0
"""A private cloud on one machine: MariaDB, Keystone, Neutron (ML2/OVN), Open vSwitch and Docker.

Every part is the real one, kept below one state folder with its own sockets, ports, logs and
pid records. `kurier-cloud` (`localcloud.cli`) is the command, `localcloud.api` the Python side.
Kurier itself never imports this package.
"""
