# One step of the containers' bench, run by bash in the booted machine:  guest.sh REGISTRY STEP WORDS...
#
# Prints lines of `FIGURE VALUE`: times in microseconds, memory in KiB. Every engine is driven by what its user types.
set -eu

registry=$1
step=$2
shift 2

small=$registry/bench/small:1
large=$registry/bench/large:1
# It ends when it is told to, as a server does.
payload=(sh -c 'trap "exit 0" TERM; sleep 86400 & wait')
# What a unit of a container has.
properties=(--property=Type=notify --property=NotifyAccess=main --property=Delegate=yes
    --property=DelegateSubgroup=launch --property=KillMode=mixed)
peers=/run/bench/peers

docker() { command docker --host unix:///run/dockerd.sock "$@"; }

now() { now=${EPOCHREALTIME/[.,]/}; }

# timed FIGURE COMMAND...: how long it took; its output is not wanted, its errors are.
timed() {
    local figure=$1 begun
    shift
    now
    begun=$now
    "$@" >/dev/null
    now
    echo "$figure $((now - begun))"
}

write() { mkdir -p "${1%/*}" && cat >"$1"; }

prepare_launch() {
    local network
    write /etc/keelson/registries.toml <<TOML
[[registry]]
name = "$registry"
plain-http = true
TOML
    for network in none bridge; do
        write "/run/systemd/system/bench-$network@.service" <<UNIT
[Service]
Type=notify
NotifyAccess=main
Delegate=yes
DelegateSubgroup=launch
KillMode=mixed
ExecStart=/usr/bin/launch run --pull=never --network=$network $small sh -c 'trap "exit 0" TERM; sleep 86400 & wait'
UNIT
    done
    launch pull --quiet "$small"
}

# The peers' disk is laid under the machine's own /usr: what both have is the machine's.
prepare_peers() {
    mkdir -p "$peers"
    mount -o ro /dev/disk/by-id/virtio-peers "$peers"
    mount -t overlay overlay -o "lowerdir=/usr:$peers/usr" /usr
    mkdir -p /etc/containers
    cp -rn "$peers/etc/containers/." /etc/containers
}

prepare_docker() {
    write /run/bench/docker.json <<JSON
{"insecure-registries": ["$registry"], "hosts": ["unix:///run/dockerd.sock"], "group": "root"}
JSON
    systemd-run --quiet --unit=dockerd --property=Type=notify --property=Delegate=yes --property=KillMode=process \
        dockerd --config-file /run/bench/docker.json --containerd /run/containerd/containerd.sock
    docker pull --quiet "$small"
}

prepare_podman() { podman pull --quiet --tls-verify=false "$small"; }

launch_start() { systemctl start "bench-$2@$1"; }
launch_stop() { systemctl stop "bench-$2@$1"; }

docker_start() { docker run --detach --name "$1" --network "$2" "$small" "${payload[@]}"; }
docker_stop() { docker stop "$1" && docker rm "$1"; }

podman_start() {
    local network=$2
    [ "$network" = none ] || network=podman
    podman run --detach --name "$1" --network "$network" "$small" "${payload[@]}"
}
podman_stop() { podman stop "$1" && podman rm "$1"; }

# cycle ENGINE NETWORK: one container from the command to its return, and to its end and removal.
cycle() {
    timed "start-$2" "$1_start" one "$2"
    timed "stop-$2" "$1_stop" one "$2"
}

# Where many are started at once, each is a systemd-run of its own, as the bare services are.
launch_one() {
    systemd-run --quiet --collect --unit="$1" "${properties[@]}" \
        launch run --pull=never --network=none "$small" "${payload[@]}"
}
launch_count() { systemctl list-units --plain --no-legend --state=active 'many-*' | wc -l; }
launch_end() { systemctl stop 'many-*'; }

bare_one() { systemd-run --quiet --collect --unit="$1" --property=Type=exec "${payload[@]}"; }
bare_count() { launch_count; }
bare_end() { launch_end; }

docker_one() { docker_start "$1" none; }
docker_count() { docker ps --quiet | wc -l; }
docker_end() { docker stop $(docker ps --quiet) && docker rm $(docker ps --all --quiet); }

podman_one() { podman_start "$1" none; }
podman_count() { podman ps --quiet | wc -l; }
podman_end() { podman stop --all && podman rm --all; }

all_at_once() {
    local number
    for number in $(seq "$2"); do "$1_one" "many-$number" & done
    wait
}

# many ENGINE COUNT: all of them at once, until the last is there.
many() {
    local there
    timed "many" all_at_once "$1" "$2"
    there=$("$1_count")
    [ "$there" -eq "$2" ] || { echo "only $there of $2 run" >&2; exit 1; }
}

# The proportional set sizes of processes, summed up: what several share is counted once.
pss() {
    local process files=()
    for process in "$@"; do files+=("/proc/$process/smaps_rollup"); done
    [ ${#files[@]} -gt 0 ] || { echo 0; return; }
    awk '$1 == "Pss:" { sum += $2 } END { print sum + 0 }' "${files[@]}"
}

named() { grep -lxE "$1" /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3; }
of_groups() { cat "$@" 2>/dev/null || :; }

launch_beyond() { of_groups /sys/fs/cgroup/system.slice/many-*.service/launch/cgroup.procs; }
launch_daemons() { of_groups /sys/fs/cgroup/system.slice/containerd{,-proxy}.service/cgroup.procs; }
docker_beyond() { named 'containerd-shim'; }
docker_daemons() { launch_daemons; named dockerd; }
podman_beyond() { named conmon; }
podman_daemons() { :; }

# memory ENGINE COUNT: beyond the payloads of that many idle containers, for each, and the daemons'.
memory() {
    local beyond daemons
    beyond=$(pss $("$1_beyond"))
    daemons=$(pss $("$1_daemons"))
    echo "beyond $((beyond / $2))"
    echo "daemons $daemons"
}

# Without daemons, all containers must go on: that many are there, and answer.
without_daemons() {
    systemctl stop containerd.socket containerd-proxy.service containerd.service
    [ "$(launch_count)" -eq "$1" ]
    launch exec many-1 true
    [ -z "$(launch_daemons)" ]
    echo "needed 0"
    systemctl start containerd.socket
}

launch_pull() { launch pull --quiet "$large"; }
launch_forget() { launch rmi "$large"; }
docker_pull() { docker pull --quiet "$large"; }
docker_forget() { docker rmi "$large"; }
podman_pull() { podman pull --quiet --tls-verify=false "$large"; }
podman_forget() { podman rmi "$large"; }

# pull ENGINE: fetched, verified and unpacked; then it is gone again.
pull() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
    timed "pull" "$1_pull"
    "$1_forget" >/dev/null
}

case $step in
prepare) "prepare_$1" >/dev/null ;;
cycle | many | memory | pull) "$step" "$@" ;;
end) "$1_end" >/dev/null ;;
without_daemons) without_daemons "$1" ;;
*) echo "no step $step" >&2; exit 2 ;;
esac
