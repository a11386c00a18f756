//! Units in the ways people write them, some as they were for fleet.
//!
//! They are written for these tests; the traits are those of real ones.

/// Both generations of keys, quotes, continuations with a comment inside, specifiers.
pub(crate) const COREOS: &str = r#"[Unit]
Description=Web front end, instance %i
After=docker.service etcd2.service
Requires=docker.service

[Service]
EnvironmentFile=/etc/environment
TimeoutStartSec=0
KillMode=none
ExecStartPre=-/usr/bin/docker kill web-%i
ExecStartPre=-/usr/bin/docker rm web-%i
ExecStart=/usr/bin/docker run --rm --name web-%i \
  -p ${COREOS_PRIVATE_IPV4}:80:80 \
# the next line is for the logs
  ; and so is this
  -e "NAME=web %i" \
  example/web:latest
ExecStop=/usr/bin/docker stop web-%i

[X-Fleet]
X-ConditionMachineMetadata="region=north" "disk=ssd"
MachineMetadata=role=web
X-Conflicts=web@*.service
Conflicts=db@*.service
"#;

/// `[X-Fleet]` first, sections again, an empty value that resets, no newline at the end.
pub(crate) const SHUFFLED: &str = "; a comment first\n[X-Fleet]\nMachineOf=web@%i.service\n\n\
[Service]\nExecStart=/bin/a\n[Unit]\nDescription = A side kick \t\nAfter=a.service\n\
[Service]\nExecStart=\nExecStart=/bin/b\\\\\n[Unit]\nAfter=b.service";

/// Windows line ends and a byte order mark.
pub(crate) const WINDOWS: &str =
    "\u{feff}[Unit]\r\nDescription=x\r\n[Service]\r\nExecStart=/bin/a \\\r\n  b\r\n";

/// What template engines leave behind.
pub(crate) const LEFTOVERS: &str = "m4_include(`defaults.m4')\n{{ if debug }}\nA=1\n[Unit]\n{{ end }}\n\
Description={{ name }}\n=x\n";

pub(crate) const ALL: &[&str] = &[
    COREOS, SHUFFLED, WINDOWS, LEFTOVERS, "", "[Unit]", "\n\n", "#",
];
