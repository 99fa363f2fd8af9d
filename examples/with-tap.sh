#!/bin/sh
# Makes a TAP interface with an address, runs a command, and removes the interface.
#
#     examples/with-tap.sh COMMAND [ARGUMENT...]
#
# A program that opens the interface with openTap('tap0') is then the machine at the other end of its cable: it chooses an address
# for itself, such as 10.9.0.2. TAP_NAME and TAP_ADDRESS choose another interface, and another address for Linux.
#
# Without root, the command runs in a network of its own (unshare -Urn), where it is root. Nothing outside can reach that network, so what talks to
# the program must be started by the command as well:
#
#     examples/with-tap.sh sh -c 'my-server & ping -c 1 10.9.0.2; kill $!'
#
# As root, the interface is one of this machine while the command runs. `unshare -n examples/with-tap.sh ...` keeps it apart.

set -eu

if [ $# -eq 0 ]; then
  echo "usage: $0 COMMAND [ARGUMENT...]" >&2
  exit 2
fi

if [ "$(id -u)" != 0 ]; then
  exec unshare -Urn "$0" "$@"
fi

name=${TAP_NAME:-tap0}
address=${TAP_ADDRESS:-10.9.0.1/24}

ip tuntap add dev "$name" mode tap
# A shell runs its EXIT trap after a signal only if that has a trap, too.
trap 'ip link delete "$name"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The other end does not speak IPv6, and Linux would send it some packets by itself.
echo 1 2>/dev/null >"/proc/sys/net/ipv6/conf/$name/disable_ipv6" || true
ip addr add "$address" dev "$name"
ip link set "$name" up
# In a new network even loopback is down.
ip link set lo up

"$@"
