//! Machines that really run: a boot sector is the guest, so each takes less than a second.
//!
//! Tests that need another process (to kill it, or to give it a terminal) run this test program
//! once more: see `helper`. No Linux is booted here.

use keelson_qemu::boot_sector::BootSector;
use keelson_qemu::write_log::{Request, WriteLog};
use keelson_qemu::{
    Boot, Disk, DiskInterface, DiskMode, LogPolicy, Machine, Network, PanicDevice, QemuError,
    RebootPolicy, Running, SectorSize, Segment, TerminalEnd, WaitCause, Watchdog, interrupt,
};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_mins(1);
const HELPER_VARIABLE: &str = "KEELSON_QEMU_TEST_HELPER";
const DIRECTORY_VARIABLE: &str = "KEELSON_QEMU_TEST_DIRECTORY";

/// A directory for the guest's disk, with another in it for run directories.
struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new(guest: &BootSector) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("disk"), guest.disk_image()).unwrap();
        fs::create_dir(directory.path().join("run")).unwrap();
        Self { directory }
    }

    fn disk(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn run(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    fn machine(&self) -> Machine {
        machine(&self.disk())
    }

    fn start(&self) -> Running {
        self.machine().start(&self.run()).unwrap()
    }

    fn assert_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.run()).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn machine(disk: &Path) -> Machine {
    let mut machine = Machine::new("boot-sector", Boot::LegacyBios);
    machine.memory_mebibytes = 64;
    machine.cpus = 1;
    machine.disks = vec![Disk::new(disk)];
    machine
}

/// Whether the process still runs: a zombie whose new parent does not reap it has ended.
fn is_alive(process_id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process_id}/stat")).unwrap_or_default();
    let state = status.rsplit(')').next().unwrap_or_default().trim();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn machine_runs_answers_and_leaves_nothing() {
    let fixture = Fixture::new(&BootSector::new().print("\x1b[32mHELLO\x1b[0m world\r\n"));
    let mut running = fixture.start();
    let line = running.console().wait_for("HELLO world", SOON).unwrap();
    assert_eq!(line.text, "HELLO world");
    assert_eq!(running.qmp().query_status().unwrap(), "running");
    let process_id = running.process_id();
    assert!(is_alive(process_id));
    assert!(running.quit().unwrap().success());
    assert!(!is_alive(process_id));
    assert!(running.run_directory().exists());
    drop(running);
    fixture.assert_nothing_left();
}

#[test]
fn dropping_kills() {
    let fixture = Fixture::new(&BootSector::new().print("up\r\n"));
    let running = fixture.start();
    running.console().wait_for("up", SOON).unwrap();
    let process_id = running.process_id();
    drop(running);
    assert!(!is_alive(process_id));
    fixture.assert_nothing_left();
}

#[test]
fn failing_wait_names_what_it_saw_and_keeps_the_log() {
    let fixture = Fixture::new(&BootSector::new().print("one\r\ntwo\r\n").power_off());
    let logs = fixture.directory.path().join("logs");
    let mut machine = fixture.machine();
    machine.logs = LogPolicy::KeepOnFailure(logs.clone());
    let running = machine.start(&fixture.run()).unwrap();
    let error = running.console().wait_for("three", SOON).unwrap_err();
    drop(running);
    let QemuError::Console(failure) = error else {
        panic!("{error}");
    };
    assert_eq!(failure.cause, WaitCause::Ended);
    assert!(
        failure
            .tail
            .ends_with(&["one".to_owned(), "two".to_owned()])
    );
    let log = fs::read_to_string(&failure.log).unwrap();
    assert!(log.contains("] one\n") && log.contains("] two\n"), "{log}");
    fixture.assert_nothing_left();

    let running = machine.start(&fixture.run()).unwrap();
    running.console().wait_for("two", SOON).unwrap();
    drop(running);
    assert_eq!(fs::read_dir(logs).unwrap().count(), 1);
}

#[test]
fn kernel_panic_ends_a_wait_at_once() {
    let fixture = Fixture::new(&BootSector::new().print("Kernel panic - not syncing: test\r\n"));
    let running = fixture.start();
    let error = running.console().wait_for("login:", SOON).unwrap_err();
    assert!(error.to_string().contains("the kernel panicked"), "{error}");
    assert_eq!(running.console().scan().len(), 1);
}

#[test]
fn power_button_ends_a_guest_that_listens() {
    // Enabled before it says so: the button is pressed as soon as "up" is seen.
    let guest = BootSector::new().enable_power_button().print("up\r\n");
    let guest = guest.wait_for_power_button();
    let fixture = Fixture::new(&guest.print("bye\r\n").power_off());
    let mut running = fixture.start();
    running.console().wait_for("up", SOON).unwrap();
    assert!(running.power_off(SOON).unwrap().success());
    running.console().wait_for("bye", SOON).unwrap();
}

#[test]
fn guest_deaf_to_the_power_button_is_killed() {
    let fixture = Fixture::new(&BootSector::new().print("up\r\n"));
    let mut running = fixture.start();
    running.console().wait_for("up", SOON).unwrap();
    let error = running.power_off(Duration::from_millis(200)).unwrap_err();
    assert!(matches!(error, QemuError::StillRunning { .. }), "{error}");
    assert!(!is_alive(running.process_id()));
}

#[test]
fn reboot_is_allowed_or_ends_the_machine() {
    let guest = BootSector::new().print("boot\r\n").echo_until_q().reset();
    let fixture = Fixture::new(&guest);
    let mut running = fixture.start();
    let first = running.console().wait_for("boot", SOON).unwrap();
    running.console().write(b"q").unwrap();
    running
        .console()
        .wait_after(first.number, "boot", SOON)
        .unwrap();
    running.qmp().system_reset().unwrap();
    running.qmp().wait_event("RESET", SOON).unwrap();
    drop(running);

    let mut machine = fixture.machine();
    machine.reboot = RebootPolicy::Exit;
    let mut running = machine.start(&fixture.run()).unwrap();
    running.console().wait_for("boot", SOON).unwrap();
    running.console().write(b"q").unwrap();
    assert!(running.wait_exit(SOON).unwrap().success());
}

#[test]
fn every_device_is_accepted() {
    let fixture = Fixture::new(&BootSector::new().print("up\r\n"));
    let image = fixture.directory.path().join("with,comma");
    fs::write(&image, vec![0; 1024 * 1024]).unwrap();
    let mut machine = fixture.machine();
    machine.disks[0].boot_index = Some(0);
    machine.disks[0].mode = DiskMode::Snapshot;
    for interface in [
        DiskInterface::VirtioBlock,
        DiskInterface::VirtioScsi,
        DiskInterface::Nvme,
    ] {
        machine.disks.push(Disk {
            interface,
            sector_size: SectorSize::Bytes4096,
            ..Disk::snapshot(&image)
        });
    }
    machine.network = Network::forwarding([22]);
    machine.segment = Some(Segment::named("every-device"));
    machine.credentials = vec![("big".to_owned(), vec![7; 40_000])];
    machine.kernel_command_line_extra = "debug".to_owned();
    machine.watchdog = Watchdog::Reset;
    machine.panic_device = PanicDevice::Exit;
    let running = machine.start(&fixture.run()).unwrap();
    running.console().wait_for("up", SOON).unwrap();
}

#[test]
fn writes_are_recorded_and_change_the_image() {
    let guest = BootSector::new().copy_to_second_sector().print("up\r\n");
    let fixture = Fixture::new(&guest);
    let log = fixture.run().join("writes.log");
    let mut machine = fixture.machine();
    machine.disks = vec![Disk::recorded(fixture.disk(), &log)];
    let mut running = machine.start(&fixture.run()).unwrap();
    running.console().wait_for("up", SOON).unwrap();
    running.quit().unwrap();
    let entries: Vec<_> = WriteLog::open(&log).unwrap().map(Result::unwrap).collect();
    fs::remove_file(log).unwrap();
    let sector = guest.disk_image()[..512].to_vec();
    let requests: Vec<_> = entries.into_iter().flatten().collect();
    let write = Request::Write {
        offset: 512,
        data: sector.clone(),
        is_durable: false,
    };
    // QEMU flushes when it ends.
    assert_eq!(requests, [write, Request::Flush]);
    assert_eq!(fs::read(fixture.disk()).unwrap()[512..1024], sector);
}

#[test]
fn free_port_is_chosen_and_listened_on() {
    let fixture = Fixture::new(&BootSector::new());
    let mut machine = fixture.machine();
    machine.network = Network::forwarding([22, 80]);
    let running = machine.start(&fixture.run()).unwrap();
    let ports = [22, 80].map(|port| running.host_port(port).unwrap());
    assert_ne!(ports[0], ports[1]);
    TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
    assert_eq!(running.host_port(443), None);
}

#[test]
fn qemu_that_refuses_says_why() {
    let fixture = Fixture::new(&BootSector::new());
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut machine = fixture.machine();
    machine.network = Network::User {
        forwards: vec![keelson_qemu::Forward {
            host_port: taken.local_addr().unwrap().port(),
            guest_port: 22,
        }],
    };
    let error = machine.start(&fixture.run()).unwrap_err().to_string();
    assert!(error.contains("host forwarding"), "{error}");

    let mut machine = fixture.machine();
    machine.disks = vec![Disk::new("/nonexistent/disk")];
    let error = machine.start(&fixture.run()).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/disk"), "{error}");
    fixture.assert_nothing_left();
}

// What follows runs in other processes.

/// The body of the process that [`Helper`] starts; in a usual run of the tests it does nothing.
#[test]
fn helper() {
    let Ok(what) = std::env::var(HELPER_VARIABLE) else {
        return;
    };
    let directory = PathBuf::from(std::env::var(DIRECTORY_VARIABLE).unwrap());
    interrupt::install().unwrap();
    let machine = machine(&directory.join("disk"));
    let mut running = machine.start(&directory.join("run")).unwrap();
    fs::write(
        directory.join("process-id"),
        running.process_id().to_string(),
    )
    .unwrap();
    let code = match what.as_str() {
        "terminal" => match running.attach_terminal().unwrap() {
            TerminalEnd::Quit => 0,
            TerminalEnd::Exited(status) => status.code().unwrap_or(1),
            TerminalEnd::Interrupted { signal } => 128 + signal,
        },
        "wait" => match running.console().wait_for("never", SOON) {
            Err(QemuError::Interrupted { signal }) => 128 + signal,
            other => panic!("{other:?}"),
        },
        "busy" => loop {
            std::thread::sleep(SOON);
        },
        other => panic!("{other}"),
    };
    drop(running);
    std::process::exit(code);
}

struct Helper {
    child: Child,
    directory: PathBuf,
}

impl Helper {
    fn start(what: &str, fixture: &Fixture, stdin: Stdio, stdout: Stdio) -> Self {
        let directory = fixture.directory.path().to_owned();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["helper", "--exact", "--nocapture", "--test-threads=1"])
            .env(HELPER_VARIABLE, what)
            .env(DIRECTORY_VARIABLE, &directory)
            .stdin(stdin)
            .stdout(stdout)
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    fn signal(&self, signal: Signal) {
        let process_id = Pid::from_child(&self.child);
        kill_process(process_id, signal).unwrap();
    }

    fn wait_started(&self) {
        let path = self.directory.join("process-id");
        wait_until("the start", || {
            fs::metadata(&path).is_ok_and(|file| file.len() > 0)
        });
    }

    fn qemu(&self) -> u32 {
        let path = self.directory.join("process-id");
        fs::read_to_string(path).unwrap().parse().unwrap()
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// Reads lines until one contains `text`.
fn read_until(reader: &mut BufReader<ChildStdout>, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "no {text}");
    }
}

fn up_guest() -> BootSector {
    BootSector::new().print("up\r\n").echo_until_q().power_off()
}

#[test]
fn killed_parent_leaves_no_machine_and_the_next_start_cleans_up() {
    let fixture = Fixture::new(&up_guest());
    let mut helper = Helper::start("terminal", &fixture, Stdio::null(), Stdio::piped());
    let mut output = BufReader::new(helper.child.stdout.take().unwrap());
    read_until(&mut output, "up");
    let qemu = helper.qemu();
    assert!(is_alive(qemu));
    helper.signal(Signal::KILL);
    helper.exit_code();
    wait_until("QEMU's end", || !is_alive(qemu));
    drop(fixture.start());
    fixture.assert_nothing_left();
}

#[test]
fn signals_tear_everything_down() {
    for (what, signal, code) in [
        ("terminal", Signal::INT, 130),
        ("terminal", Signal::TERM, 143),
        ("wait", Signal::HUP, 129),
    ] {
        let fixture = Fixture::new(&up_guest());
        let mut helper = Helper::start(what, &fixture, Stdio::null(), Stdio::null());
        helper.wait_started();
        let qemu = helper.qemu();
        helper.signal(signal);
        assert_eq!(helper.exit_code(), Some(code), "{what}");
        assert!(!is_alive(qemu));
        fixture.assert_nothing_left();
    }
}

#[test]
fn second_signal_ends_a_program_that_is_busy_elsewhere() {
    let fixture = Fixture::new(&up_guest());
    let mut helper = Helper::start("busy", &fixture, Stdio::null(), Stdio::null());
    helper.wait_started();
    let qemu = helper.qemu();
    helper.signal(Signal::TERM);
    wait_until("QEMU's end", || !is_alive(qemu));
    helper.signal(Signal::TERM);
    assert_eq!(helper.exit_code(), Some(143));
    fixture.assert_nothing_left();
}

#[test]
fn piped_input_reaches_the_guest() {
    let fixture = Fixture::new(&up_guest());
    let mut helper = Helper::start("terminal", &fixture, Stdio::piped(), Stdio::piped());
    let mut input = helper.child.stdin.take().unwrap();
    let mut output = BufReader::new(helper.child.stdout.take().unwrap());
    read_until(&mut output, "up");
    // Not a terminal: Ctrl-A x means nothing, and the guest's `q` turns it off.
    input.write_all(b"typed\x01xq").unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("typed\x01xq"), "{rest:?}");
    assert_eq!(helper.exit_code(), Some(0));
    fixture.assert_nothing_left();
}

/// A pseudo terminal: the side of the user, and the side of programs.
fn terminal() -> (File, File) {
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, Vec::new()).unwrap();
    let mut options = File::options();
    let program = options
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    (user.into(), program)
}

fn read_terminal_until(terminal: &mut File, text: &str) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains(text) {
        terminal.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

#[test]
fn terminal_is_raw_while_attached_and_restored_after_quit_and_signal() {
    for (keys, signal, code) in [
        (&b"\x01x"[..], None, 0),
        (&b""[..], Some(Signal::TERM), 143),
        (&b"q"[..], None, 0),
    ] {
        let fixture = Fixture::new(&up_guest());
        let (mut user, program) = terminal();
        let before = tcgetattr(&program).unwrap();
        assert!(before.local_modes.contains(LocalModes::ICANON));
        let side = || Stdio::from(program.try_clone().unwrap());
        let mut helper = Helper::start("terminal", &fixture, side(), side());
        read_terminal_until(&mut user, "up");
        // Ctrl-C is a byte like any other, and the guest sends it back.
        user.write_all(b"a\x03b").unwrap();
        read_terminal_until(&mut user, "a\x03b");
        let during = tcgetattr(&program).unwrap();
        assert!(
            !during
                .local_modes
                .intersects(LocalModes::ICANON | LocalModes::ISIG)
        );
        user.write_all(keys).unwrap();
        if let Some(signal) = signal {
            helper.signal(signal);
        }
        assert_eq!(helper.exit_code(), Some(code), "{keys:?}");
        assert!(!is_alive(helper.qemu()));
        let after = tcgetattr(&program).unwrap();
        assert_eq!(after.local_modes, before.local_modes);
        assert_eq!(after.input_modes, before.input_modes);
        assert_eq!(after.output_modes, before.output_modes);
        fixture.assert_nothing_left();
    }
}
