"""A room to try things in: a Docker Engine with buildx and a registry, on any machine that can have them.

    sandbox.up()        -> Sandbox     start what is missing, return addresses
    sandbox.status()    -> [Status]    what runs, per suite and image store
    sandbox.down()                     stop everything, keep the packages

A Docker that works is used. Else, on Debian and Ubuntu as root, a private engine is unpacked below `.sandbox`
and run from there. Demo, tests and benchmarks use it; `buildtasks` itself never does.

    messages < place, machine, state < daemon, network, apt < firewall, leftovers, packages, busybox
             < registry, engine, client < upload < base < lifecycle < tasks
"""

from sandbox.lifecycle import Status, down, status, up
from sandbox.messages import SandboxError
from sandbox.place import Place
from sandbox.state import Sandbox

__all__ = ["Place", "Sandbox", "SandboxError", "Status", "down", "status", "up"]
