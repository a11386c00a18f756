//! systemd's unit files and unit names, read as systemd 257 reads them.
//!
//! A [`UnitFile`] keeps every byte of its text: what is parsed and printed is unchanged, and an edit
//! changes the lines it is about. Names, lists, sizes and time spans follow systemd's rules, not
//! those of its manual where the two differ.
//!
//! It opens no file, expands no specifier (`%i`) and knows no setting: which keys exist, and what they
//! mean, is for whoever reads them.

pub mod assignment;
pub mod boolean;
pub mod drop_in;
mod edit;
pub mod escape;
pub mod file;
mod line;
pub mod memory_limit;
pub mod name;
mod number;
pub mod percentage;
pub mod size;
pub mod time_span;
pub mod words;

pub use assignment::Assignment;
pub use drop_in::{DropIn, MergedUnit};
pub use edit::EditError;
pub use file::{Problem, ProblemKind, SyntaxError, SyntaxErrorKind, UnitFile};
pub use name::{NameError, NameKind, UnitName, UnitType};
