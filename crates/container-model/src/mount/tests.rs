//! Tests of mounts, as users write them.

use super::*;

fn bind(path: &str, propagation: Propagation, missing: MissingSource) -> MountSource {
    MountSource::Bind {
        path: path.to_owned(),
        propagation,
        missing,
    }
}

fn mount(target: &str, source: MountSource, access: Access) -> Mount {
    Mount {
        target: target.to_owned(),
        source,
        access,
    }
}

#[test]
fn volumes_are_folders_or_names() {
    let private = Propagation::RecursivePrivate;
    let made = MissingSource::Create;
    let named = MountSource::Volume("data".parse().unwrap());
    let cases = [
        (
            "/a:/b",
            mount("/b", bind("/a", private, made), Access::ReadWrite),
        ),
        (
            "/a/./c/:/b:ro,z",
            mount("/b", bind("/a/c", private, made), Access::ReadOnly),
        ),
        (
            "/:/b:rslave",
            mount(
                "/b",
                bind("/", Propagation::RecursiveSlave, made),
                Access::ReadWrite,
            ),
        ),
        ("data:/b:ro", mount("/b", named, Access::ReadOnly)),
        (
            "/b",
            mount("/b", MountSource::AnonymousVolume, Access::ReadWrite),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse_volume(text), Ok(expected), "{text}");
    }
    for bad in [
        "",
        "a",
        "/a:b",
        "a/b:/c",
        "/a:/b:rx",
        "/a:/b:ro,rw",
        "/a:/b:ro:x",
        "d:/b:slave",
        "/../a:/b",
    ] {
        assert!(parse_volume(bad).is_err(), "{bad}");
    }
}

#[test]
fn mounts_name_their_fields() {
    let source = bind("/a", Propagation::Shared, MissingSource::Refuse);
    let text = "type=bind,src=/a,dst=/b,bind-propagation=shared,readonly";
    assert_eq!(parse_mount(text), Ok(mount("/b", source, Access::ReadOnly)));
    let text = "type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777";
    let options = ["size=64m", "mode=1777"].map(ToOwned::to_owned);
    let tmpfs = MountSource::Tmpfs(options.into());
    assert_eq!(parse_mount(text), Ok(mount("/t", tmpfs, Access::ReadWrite)));
    let volume = parse_mount("target=/v,source=data,ro=false").unwrap();
    assert_eq!(volume.source, MountSource::Volume("data".parse().unwrap()));
}

#[test]
fn mounts_that_say_too_little_or_too_much_are_refused() {
    let cases = [
        ("type=bind,target=/b", "`source` is missing"),
        ("type=bind,source=/a", "`target` is missing"),
        ("type=bind,source=a,target=/b", "not absolute"),
        (
            "type=image,source=a,target=/b",
            "type `image` is not supported",
        ),
        ("type=tmpfs,source=a,target=/b", "no source"),
        (
            "type=tmpfs,target=/b,volume-nocopy",
            "`volume-nocopy` is not supported",
        ),
        (
            "type=volume,target=/b,tmpfs-size=1",
            "not for type `volume`",
        ),
        ("target=/a,target=/b", "comes twice"),
        ("target=/a,ro=perhaps", "neither true nor false"),
        ("target", "needs a value"),
    ];
    for (text, reason) in cases {
        let error = parse_mount(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn tmpfs_takes_options_of_the_file_system() {
    let options = ["size=1g", "noexec"].map(ToOwned::to_owned).into();
    assert_eq!(
        parse_tmpfs("/run:size=1g,noexec,ro"),
        Ok(mount("/run", MountSource::Tmpfs(options), Access::ReadOnly))
    );
    for bad in ["run", "/run:what", "/run:context=a"] {
        assert!(parse_tmpfs(bad).is_err(), "{bad}");
    }
}
