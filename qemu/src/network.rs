//! The network of a machine.
//!
//! There are no bridges or taps: nothing here needs privileges on the host.

/// How a machine reaches the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// No network device.
    None,
    /// QEMU's user-mode network: the guest reaches out through the host and is reached only by
    /// the forwarded ports.
    User {
        /// The ports of the host's loopback that lead into the guest.
        forwards: Vec<Forward>,
    },
}

/// A TCP port of the host's loopback that leads to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The port at 127.0.0.1; QEMU chooses a free one for 0, see [`crate::Running::host_port`].
    pub host_port: u16,
    /// The port of the guest.
    pub guest_port: u16,
}

impl Network {
    /// A user-mode network with free ports of the host forwarded to `guest_ports`.
    pub fn forwarding<const N: usize>(guest_ports: [u16; N]) -> Self {
        let forward = |guest_port| Forward {
            host_port: 0,
            guest_port,
        };
        Self::User {
            forwards: guest_ports.map(forward).to_vec(),
        }
    }

    pub(crate) fn forwards(&self) -> &[Forward] {
        match self {
            Self::None => &[],
            Self::User { forwards } => forwards,
        }
    }
}

/// Reads the forwarded ports out of what QEMU's monitor prints for `info usernet`: the columns
/// are protocol, descriptor, source address and port, destination address and port. The ports
/// that QEMU chose are told nowhere else.
pub(crate) fn parse_forwards(text: &str) -> Vec<Forward> {
    let parse = |line: &str| {
        let columns: Vec<_> = line.split_whitespace().collect();
        match columns.as_slice() {
            ["TCP[HOST_FORWARD]", _, _, host_port, _, guest_port, ..] => Some(Forward {
                host_port: host_port.parse().ok()?,
                guest_port: guest_port.parse().ok()?,
            }),
            _ => None,
        }
    };
    text.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernet_table_is_read() {
        let text = "Hub -1 (n0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n  TCP[HOST_FORWARD]  11       127.0.0.1 39681       10.0.2.15    22     0     0\r\n  TCP[ESTABLISHED]   12       127.0.0.1 39681       10.0.2.15    22     0     0\r\n";
        let forward = Forward {
            host_port: 39681,
            guest_port: 22,
        };
        assert_eq!(parse_forwards(text), [forward]);
    }
}
