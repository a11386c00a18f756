//! A network for each member, joined by a bridge, and cuts between them.
//!
//! A cut gives one member a wrong hardware address for another: what it sends is lost without a word,
//! as on a broken line, in one direction only. It works inside [`crate::isolation`] alone.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;

use crate::isolation::run;

/// Members are 1 to 9; the test itself has this number, and is never cut off.
const TEST: u8 = 254;

/// Members' networks.
#[derive(Debug)]
pub(crate) struct Network {
    count: u8,
}

impl Network {
    /// One for each of so many members.
    pub(crate) fn new(count: u8) -> Result<Self> {
        let mut setup = format!(
            "link add kv0 type bridge\nlink set kv0 address {}\nlink set kv0 up\n\
             address add {}/24 dev kv0\n",
            hardware_address(TEST),
            address(TEST)
        );
        for number in 1..=count {
            writeln!(setup, "netns add m{number}")?;
            writeln!(
                setup,
                "link add v{number} type veth peer name eth0 netns m{number}"
            )?;
            writeln!(setup, "link set v{number} master kv0 up")?;
        }
        batch(&[], &setup)?;
        let network = Self { count };
        for number in 1..=count {
            let mut setup = format!(
                "link set lo up\nlink set eth0 address {} up\naddress add {}/24 dev eth0\n",
                hardware_address(number),
                address(number)
            );
            for other in network.others(number).chain([TEST]) {
                setup += &neighbour(other, &hardware_address(other));
            }
            in_network(number, &setup)?;
        }
        Ok(network)
    }

    /// Loses everything that a member sends to another from now on.
    pub(crate) fn cut(&self, from: u8, to: u8) -> Result<()> {
        debug_assert!(from != to && from.max(to) <= self.count);
        in_network(from, &neighbour(to, "02:ff:ff:ff:ff:ff"))
    }

    /// Cuts a member from all others, in both directions; clients still reach it.
    pub(crate) fn cut_off(&self, number: u8) -> Result<()> {
        for other in self.others(number) {
            self.cut(number, other)?;
            self.cut(other, number)?;
        }
        Ok(())
    }

    /// Ends all cuts.
    pub(crate) fn heal(&self) -> Result<()> {
        for number in 1..=self.count {
            let others = self.others(number);
            let whole: String = others.map(|n| neighbour(n, &hardware_address(n))).collect();
            in_network(number, &whole)?;
        }
        Ok(())
    }

    fn others(&self, number: u8) -> impl Iterator<Item = u8> + use<> {
        (1..=self.count).filter(move |other| *other != number)
    }
}

/// The address of a member.
pub(crate) fn address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 66, 0, number))
}

/// The address at which members reach the test.
pub(crate) fn test_address() -> IpAddr {
    address(TEST)
}

fn hardware_address(number: u8) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

fn neighbour(number: u8, hardware_address: &str) -> String {
    let address = address(number);
    format!("neigh replace {address} lladdr {hardware_address} dev eth0 nud permanent\n")
}

fn in_network(number: u8, commands: &str) -> Result<()> {
    batch(&["-netns", &format!("m{number}")], commands)
}

/// Gives `ip` many commands at once.
fn batch(words: &[&str], commands: &str) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), commands)?;
    let path = file.path().to_string_lossy();
    run("ip", &[words, &["-batch", &path]].concat())?;
    Ok(())
}
