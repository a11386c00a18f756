//! The log from outside: on a disk in memory that loses power, fails and fills up, and on a real one.

mod crash;
mod damage;
mod failures;
mod full_disk;
mod fuzz;
mod model;
mod real_folder;
mod requests;
