//! The builder as its user drives it: the real program on the real recipe, in temporary caches and
//! checkouts below the target folder. Needs what `make image` leaves; boots nothing.

mod contents;
mod disk_image;
mod downloads;
mod fixture;
mod full_disk;
mod incremental;
mod interrupted;
mod mistakes;
mod reproducible;
mod server;
mod sparse;
mod vanished;
