//! How `fleetd` is linked: relocations in short form, as glibc 2.36 and later read it.
//!
//! In long form they are 0.8 MB that the loader reads at the start and that stay resident.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
}
