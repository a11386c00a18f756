//! The static `/init`.
fn main() {}
