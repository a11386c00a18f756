//! Virtual machines as values.
