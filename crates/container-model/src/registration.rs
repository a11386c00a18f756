//! Services that a container offers, as they stand in the key-value store while it is ready and healthy.
//!
//! What is asked for comes as options ([`RegisterOption`]), labels or registrator's variables ([`Asked`]);
//! [`services`] makes services of it, with the ports that the container really got; `launch run` writes them into an
//! [`Announcement`], which the container's monitor puts where fleetd finds it; and [`entries`] says which keys and
//! values that comes to, by the [`Settings`] of the machine.
//!
//! # How the three talk
//!
//! - `registration.json` in the container's folder is the announcement. Its monitor links it as `NAME.json` in
//!   [`ANNOUNCED`] while the container is to be found, and takes the link away otherwise. One whose process has ended
//!   says nothing any more.
//! - [`SOCKET`] is fleetd's, of type stream: a client writes the container's name and a line feed, and gets
//!   [`SETTLED`] once the store has what the folder says of that container, or a line that begins with [`REFUSED`] and
//!   says why it never will.
//! - `NAME.json` in [`REGISTERED`] is a [`Receipt`] of fleetd's: keys that the store has, or may have.
//!
//! No file is opened here, and no store is asked.

mod announcement;
mod asked;
mod layout;
mod option;
mod service;
mod settings;

pub use announcement::{Announcement, Health, Receipt};
pub use asked::Asked;
pub use layout::{Machine, entries};
pub use option::RegisterOption;
pub use service::{Address, ContainerPorts, Reach, RegistrationError, Service, services};
pub use settings::{LayoutName, Settings, SettingsError};

/// Settings of the machine.
pub const SETTINGS: &str = "/etc/keelson/registration.toml";
/// The announcement in a container's folder.
pub const FILE: &str = "registration.json";
/// The folder of announcements that count.
pub const ANNOUNCED: &str = "/run/keelson/announced";
/// The folder of receipts.
pub const REGISTERED: &str = "/run/keelson/registered";
/// Where fleetd answers.
pub const SOCKET: &str = "/run/keelson/registrar";
/// Its answer.
pub const SETTLED: &str = "settled\n";
/// The beginning of the other one.
pub const REFUSED: &str = "refused: ";
