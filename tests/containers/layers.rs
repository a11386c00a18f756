//! Layers as registries have them: compressed, called compressed and not, and damaged by whoever made the image.

use crate::archive::{self, Packing, Parts};
use crate::fixture::Node;
use crate::pull::{blobs, fill, registry};

const NAME: &str = "127.0.0.1:5000/team/app:1";
/// More than a pipe holds.
const NOISE: usize = 1 << 20;
const SNAPSHOTS: &str = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";

/// Whether the noise is in the image as it was put there.
fn has_noise(node: &Node) -> bool {
    let words = ["sh", "-c", "busybox sha256sum </srv/noise"];
    let (code, output, errors) = node.launch(&["--pull=never"], NAME, &words);
    assert_eq!(code, Some(0), "{errors}");
    let expected = crate::registry::digest(&archive::noise(NOISE));
    format!("sha256:{output}").starts_with(&expected)
}

/// What is unpacked, or half so.
fn snapshots(node: &Node) -> usize {
    let words = ["find", SNAPSHOTS, "-mindepth", "1", "-maxdepth", "1"];
    node.run(&words).lines().count()
}

#[test]
fn compressed_layers_are_unpacked_and_so_is_what_is_only_called_so() {
    let node = Node::boot("l1", &[]);
    let registry = registry(&node, 5000);
    for packing in [Packing::Gzip, Packing::CalledGzip] {
        let parts = archive::packed(NOISE, packing);
        fill(&registry, &parts);
        let line = node.run(&["launch", "pull", NAME]);
        assert_eq!(line, format!("{NAME}\t{}\tnew\n", parts.digest));
        assert!(has_noise(&node), "{packing:?}");
        node.run(&["launch", "rmi", NAME]);
        assert_eq!((blobs(&node), snapshots(&node)), ((0, 0), 0), "{packing:?}");
    }
}

#[test]
fn a_layer_that_is_half_there_is_refused_and_leaves_nothing() {
    let node = Node::boot("l2", &[]);
    let registry = registry(&node, 5000);
    let refused = |parts: &Parts, reason: &str| {
        fill(&registry, parts);
        let (status, output, errors) = node.output(&["launch", "pull", NAME]);
        assert_eq!((status.code(), output.as_str()), (Some(125), ""));
        assert!(errors.contains(reason), "{errors}");
        assert_eq!((blobs(&node), snapshots(&node)), ((0, 0), 0), "{errors}");
        assert_eq!(node.run(&["launch", "images", "--quiet"]), "");
        let (_, processes, _) = node.output(&["pgrep", "--exact", "gzip"]);
        assert_eq!(processes, "");
    };
    // The registry gives what the manifest asks for: nobody but who unpacks it can tell.
    refused(
        &archive::packed(NOISE, Packing::HalfGzip),
        "is not unpacked: containerd: ",
    );

    // Whole, and not what the configuration says that it is.
    let mut other = archive::packed(NOISE, Packing::Gzip);
    let strange = archive::packed(NOISE + 1, Packing::Gzip);
    other.replace_last_layer(&strange);
    refused(&other, "and the image says");
}
