//! A machine with containerd and an image, and what tests ask of it.

use std::process::ExitStatus;
use std::time::Duration;

use keelson_qemu::{Bind, GuestFile, NamespaceMachine, RunningNamespace};

use crate::archive;
use crate::root::{root_tree, work_folder};

/// On a busy host; a good boot takes a second.
const BOOT: Duration = Duration::from_mins(2);
/// For a command in a machine.
const SOON: Duration = Duration::from_mins(1);
/// Where the machine sees the archives.
const ARCHIVES: &str = "/opt/archives";

/// containerd's overlays cannot be written over the machine's own.
const TMPFS: &str = "[Mount]\nWhat=tmpfs\nWhere=/var/lib/containerd\nType=tmpfs\n";
const NEEDS_TMPFS: &str =
    "[Unit]\nRequires=var-lib-containerd.mount\nAfter=var-lib-containerd.mount\n";

/// What every unit of a container has.
pub(crate) const SERVICE: &str =
    "Type=notify\nNotifyAccess=main\nDelegate=yes\nDelegateSubgroup=launch\nKillMode=mixed\n";

/// A machine.
pub(crate) struct Node {
    machine: RunningNamespace,
    /// Of the image `busybox:layout`.
    pub(crate) digest: String,
    _folder: tempfile::TempDir,
}

impl Node {
    /// A machine with these files, without images.
    pub(crate) fn boot(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir_in(work_folder()).expect("a temporary folder");
        let archives = folder.path().join("archives");
        std::fs::create_dir(&archives).expect("a folder");
        archive::docker_save(&archives.join("saved.tar"));
        let digest = archive::layout(&archives.join("layout.tar"));
        let mut machine = NamespaceMachine::new(name, root_tree());
        let masked = [
            "kvd.service",
            "fleetd.service",
            "keelson-health.service",
            "etcd.service",
            // There is no network to wait for.
            "systemd-networkd-wait-online.service",
        ];
        machine.masked.extend(masked.map(ToOwned::to_owned));
        machine.binds.push(Bind {
            source: archives,
            target: ARCHIVES.into(),
        });
        let own = [
            ("/etc/systemd/system/var-lib-containerd.mount", TMPFS),
            (
                "/etc/systemd/system/containerd.service.d/10-test.conf",
                NEEDS_TMPFS,
            ),
        ];
        for (path, text) in own.iter().chain(files) {
            machine.files.push(GuestFile::new(*path, *text));
        }
        let started = machine.start(folder.path(), None);
        let machine = started.unwrap_or_else(|error| panic!("{error}"));
        let booted = machine.wait_booted(BOOT);
        booted.unwrap_or_else(|error| panic!("{error}"));
        Self {
            machine,
            digest,
            _folder: folder,
        }
    }

    /// A machine with the image `busybox:saved`.
    pub(crate) fn with_image(name: &str, files: &[(&str, &str)]) -> Self {
        let node = Self::boot(name, files);
        assert_eq!(node.load("saved.tar"), "docker.io/library/busybox:saved\n");
        node
    }

    /// A process in the machine's network.
    pub(crate) fn process_id(&self) -> u32 {
        self.machine.process_id()
    }

    pub(crate) fn load(&self, archive: &str) -> String {
        self.run(&["launch", "load", &format!("{ARCHIVES}/{archive}")])
    }

    /// A command that succeeds.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let result = self.machine.run(words, SOON);
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.journal()))
    }

    /// A command that may fail: its code, output and errors.
    pub(crate) fn output(&self, words: &[&str]) -> (ExitStatus, String, String) {
        let result = self.machine.output(words, SOON);
        result.unwrap_or_else(|error| panic!("{error}\n{}", self.journal()))
    }

    /// `launch run` as a unit of its own: exit code, output and errors.
    pub(crate) fn launch(
        &self,
        options: &[&str],
        image: &str,
        words: &[&str],
    ) -> (Option<i32>, String, String) {
        let mut all = vec![
            "systemd-run",
            "--quiet",
            "--pipe",
            "--wait",
            "--collect",
            "--expand-environment=no",
            "--property=Delegate=yes",
            "--property=DelegateSubgroup=launch",
            "--property=KillMode=mixed",
            "launch",
            "run",
            "--network=none",
        ];
        all.extend(options);
        all.push(image);
        all.extend(words);
        let (status, output, errors) = self.output(&all);
        (status.code(), output, errors)
    }

    /// What a shell in a container says, which succeeds.
    pub(crate) fn shell(&self, options: &[&str], script: &str) -> String {
        let (code, output, errors) = self.launch(options, "busybox:saved", &["sh", "-c", script]);
        assert_eq!(
            code,
            Some(0),
            "{script}: {output}{errors}\n{}",
            self.journal()
        );
        output
    }

    /// Waits until a command says something.
    pub(crate) fn wait(&self, words: &[&str], expected: &str) -> String {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            let (_, output, errors) = self.output(words);
            if output.contains(expected) {
                return output;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{words:?} never said {expected}: {output}{errors}\n{}",
                self.journal()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let text = self.run(&["systemctl", "show", "--value", "--property", name, unit]);
        text.trim().to_owned()
    }

    /// The end of the machine's journal.
    pub(crate) fn journal(&self) -> String {
        let words = ["journalctl", "--no-pager", "--lines=60", "--output=cat"];
        self.machine
            .output(&words, SOON)
            .map_or(String::new(), |(_, text, _)| text)
    }

    /// Nothing is left of containers: no mount, folder or writable root.
    pub(crate) fn assert_nothing_left(&self) {
        let mounts = self.run(&["cat", "/proc/1/mounts"]);
        assert!(!mounts.contains("launch-root"), "{mounts}");
        let folders = self.run(&["find", "/run/keelson/launch", "-mindepth", "1"]);
        assert_eq!(folders, "");
        // Two layers; containers had others.
        let snapshots = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";
        self.wait(
            &["sh", "-c", &format!("echo \"[$(ls {snapshots} | wc -l)]\"")],
            "[2]",
        );
    }
}
