//! The builder.
fn main() {}
