# Enters a control group of its own and new namespaces, then runs the script `inside`.
# Arguments: inside, group, state folder, and whatever `inside` wants. It runs in a private mount namespace.
set -eu
inside=$1 group=$2 state=$3
shift 3
mkdir -p "$state/cgroup" "$state/upper" "$state/work" "$state/lower" "$state/root"
mount -t cgroup2 none "$state/cgroup"
# Groups that killed runs left behind: empty, and their owner's number is free.
for old in "$state"/cgroup/keelson-*-*; do
    owner=${old##*/keelson-}
    owner=${owner%%-*}
    [ -d "$old" ] && [ ! -d "/proc/$owner" ] || continue
    find "$old" -depth -type d -exec rmdir {} + 2>/dev/null || :
done
mkdir -p "$state/cgroup/$group"
echo $$ >"$state/cgroup/$group/cgroup.procs"
umount "$state/cgroup"
exec unshare --cgroup --mount --pid --uts --ipc --net --fork --kill-child sh -c "$inside" inside "$state" "$@"
