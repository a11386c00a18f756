//! Type GUIDs of the partitions on a Keelson disk.
//!
//! The general ones are those of the Discoverable Partitions Specification
//! (<https://uapi-group.org/specifications/specs/discoverable_partitions_specification/>);
//! the others were drawn at random for Keelson and stand only here.

use uuid::{Uuid, uuid};

/// The EFI system partition.
pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// A root file system for x86-64.
pub const ROOT_X86_64: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
/// The dm-verity hash tree of a root file system for x86-64.
pub const ROOT_X86_64_VERITY: Uuid = uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5");
/// Linux data of no special kind: the state file system.
pub const LINUX_GENERIC: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
/// Keelson's durable boot record, see [`crate::meta`].
pub const KEELSON_META: Uuid = uuid!("53aa63ab-e785-4833-b898-9b553abd0ba0");
/// A slot that holds no complete version, so that nothing tries to use what is in it.
pub const KEELSON_EMPTY: Uuid = uuid!("4a260d31-829f-41de-ac5e-2b1172b4b812");
