# Puts the root together and becomes systemd. It is process 1 of its namespaces.
# Arguments: state folder, root tree, its file system ("" for a folder), pseudo terminal, host name,
# then pairs: what is bound, and where. Standard input is a socket: it says `ready` and waits for `go`.
set -eu
state=$1 lower=$2 file_system=$3 terminal=$4
hostname "$5"
shift 5
if [ -n "$file_system" ]; then
    mount -t "$file_system" -o ro,loop "$lower" "$state/lower"
    lower=$state/lower
fi
root=$state/root
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$state/upper,workdir=$state/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
touch "$root/dev/console"
mount --bind "$terminal" "$root/dev/console"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
while [ $# -gt 0 ]; do
    target=$root$2
    mkdir -p "${target%/*}"
    if [ -d "$1" ]; then mkdir -p "$target"; else touch "$target"; fi
    mount --bind "$1" "$target"
    mount -o remount,bind,ro "$target"
    shift 2
done
cd "$root"
pivot_root . mnt
cd /
umount -l /mnt
echo ready >&0
read -r go
[ "$go" = go ]
exec env -i container=keelson PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --log-target=console --log-level=info </dev/console >/dev/console 2>&1
