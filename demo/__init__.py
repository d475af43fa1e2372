# SPDX-License-Identifier: Apache-2.0
"""The story that `./run demo` tells: real commands, real output, and a check behind each."""
