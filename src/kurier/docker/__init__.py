# SPDX-License-Identifier: Apache-2.0
"""Docker's plugin protocols: the wire's types, the HTTP surface, and the engine's own API.

Translates between the wire and the use cases of `service`; knows nothing of Neutron, Open vSwitch
or SQL. The protocols are described at
https://github.com/moby/moby/blob/master/daemon/libnetwork/docs/remote.md and `ipam.md` beside it.
"""
