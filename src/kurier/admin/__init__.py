# SPDX-License-Identifier: Apache-2.0
"""What the operator sees: state and metrics over HTTP on a socket of root's own.

Knows the service and the model; of the cloud and the ledger only what `views` names.
"""
