# SPDX-License-Identifier: Apache-2.0
"""Tells the story: `python -m demo.story [--host host1]`. Exit code 1 where something did not show.

With `OS_CLOUD` or `OS_AUTH_URL` set it plays on that cloud and this machine's own Docker and Open
vSwitch, without the VM and the bare-metal host, which belong to the local cloud.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType

from demo import chapters, leftovers
from demo.chapters import Scene
from demo.daemon import Daemon
from demo.place import find
from demo.telling import Mismatch, Teller
from localcloud.api import CloudError


def main(arguments: list[str] | None = None) -> int:
    """The story; 0 where everything showed, 1 where something did not, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="demo.story", description=__doc__)
    parser.add_argument("--host", default="host1", help="host of the local cloud (default host1)")
    wanted = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        place = find(wanted.host)
    except CloudError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    os.environ.update(place.env)
    return _tell(Scene(Teller(place.env), place, Daemon(place)))


def _tell(scene: Scene) -> int:
    code = 1
    try:
        _play(scene)
        code = 0
    except (Mismatch, CloudError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        print(f"\nThe daemon's last words:\n{scene.daemon.last_words()}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ndemo: interrupted, cleaning up.", file=sys.stderr)
        code = 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _clean(scene)
        scene.daemon.stop()
    if code == 0:
        scene.daemon.forget()
        print(f"\nEverything showed, in {scene.teller.seconds:.0f} s, and is taken away again.")
    return code


def _play(scene: Scene) -> None:
    chapters.daemon(scene)
    _clean(scene)  # what a story that was cut off left
    chapters.somebody_elses(scene)
    chapters.made_by_docker(scene)
    chapters.two_containers(scene)
    chapters.beside_a_vm(scene)
    if scene.place.host is not None:
        chapters.guarded(scene)
        chapters.beside_bare_metal(scene)
    chapters.removed(scene)


def _clean(scene: Scene) -> None:
    leftovers.remove_docker(scene.teller)
    leftovers.remove_guests(scene.place)
    leftovers.remove_neutron()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
