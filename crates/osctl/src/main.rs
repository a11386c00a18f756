//! On the machine.
fn main() {}
