//! Users and groups beside those of a small image, and what is refused.
//!
//! Nothing is written here.

use provision_model::parse;

use super::*;

const PASSWD: &str =
    "root:x:0:0:Root:/root:/bin/bash\nkvd:x:989:989::/var/lib/kvd:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nsudo:x:27:\nkvd:x:989:\ncore:x:1001:\n";
const SHADOW: &str = "root:*::0:99999:7:::\n";

fn accounts() -> Accounts {
    Accounts {
        passwd: Table::parse(PASSWD),
        group: Table::parse(GROUP),
        shadow: Table::parse(SHADOW),
        gshadow: Table::default(),
        steps: Vec::new(),
    }
}

fn add(accounts: &mut Accounts, text: &str) -> Result<Vec<Home>, String> {
    let (_, plan) = parse(text.as_bytes()).unwrap();
    let mut findings = Findings::default();
    let homes = accounts.add(&plan, &mut findings);
    findings
        .finish()
        .map(|()| homes)
        .map_err(|problems| problems[0].to_string())
}

#[test]
fn a_user_is_made_with_its_group_and_no_password() {
    let mut accounts = accounts();
    let text = "users = [{ name = 'ada', groups = ['sudo'], full-name = 'Ada' }]";
    let homes = add(&mut accounts, text).unwrap();
    let home = format!("{}/ada", "/home");
    assert_eq!(homes[0].path, home);
    assert_eq!(
        homes[0].owner,
        Owner {
            user: 1000,
            group: 1000
        }
    );
    assert!(homes[0].is_made);
    let passwd = accounts.passwd.text();
    assert!(
        passwd.ends_with(&format!("ada:x:1000:1000:Ada:{home}:/bin/bash\n")),
        "{passwd}"
    );
    assert!(accounts.shadow.text().ends_with("ada:*::0:99999:7:::\n"));
    assert_eq!(accounts.group.field("sudo", 3), Some("ada"));
    assert_eq!(accounts.group.field("ada", 2), Some("1000"));
    assert_eq!(accounts.gshadow.field("ada", 1), Some("!"));
    let steps: Vec<_> = accounts.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        steps,
        [
            "created group ada (1000)",
            "created user ada (1000, in sudo)"
        ]
    );
}

#[test]
fn the_second_time_nothing_changes() {
    let mut accounts = accounts();
    let text = "groups = [{ name = 'admins', id = 1500 }]\n\
                users = [{ name = 'ada', groups = ['admins'], password-hash = '$y$a', primary-group = 'sudo' }]";
    add(&mut accounts, text).unwrap();
    let files = accounts.files();
    accounts.steps.clear();
    add(&mut accounts, text).unwrap();
    assert_eq!(accounts.files(), files);
    let is_unchanged = |step: &Step| step.change == Change::Unchanged;
    assert!(
        accounts.steps.iter().all(is_unchanged),
        "{:?}",
        accounts.steps
    );
    assert_eq!(accounts.passwd.field("ada", 3), Some("27"));
}

#[test]
fn numbers_that_are_named_are_given_to_nobody_else() {
    let mut accounts = accounts();
    let text = "users = [{ name = 'a' }, { name = 'b', id = 1000 }, { name = 's', system = true }]";
    let homes = add(&mut accounts, text).unwrap();
    let ids: Vec<_> = homes.iter().map(|home| home.owner.user).collect();
    // 1001 is a group's.
    assert_eq!(ids, [1002, 1000, 400]);
    assert!(!homes[2].is_made);
    assert_eq!(accounts.passwd.field("s", 6), Some("/usr/sbin/nologin"));
}

#[test]
fn root_gets_keys_and_keeps_the_rest() {
    let mut accounts = accounts();
    let text = "users = [{ name = 'root', ssh-keys = ['ssh-ed25519 AAAA x'] }]";
    let homes = add(&mut accounts, text).unwrap();
    assert_eq!(homes[0].path, "/root");
    assert_eq!(accounts.passwd.text(), PASSWD);
    assert_eq!(accounts.shadow.text(), SHADOW);
}

#[test]
fn what_cannot_be_is_refused() {
    for (text, complaint) in [
        (
            "users = [{ name = 'kvd', id = 5 }]",
            "users[0]: the user kvd is there with number 989, not 5",
        ),
        ("users = [{ name = 'a', id = 989 }]", "that of the user kvd"),
        (
            "users = [{ name = 'a', groups = ['nope'] }]",
            "there is no group nope for a",
        ),
        (
            "users = [{ name = 'core' }]",
            "a group core is there already",
        ),
        (
            "users = [{ name = 'root', home = '/var/x' }]",
            "its home at /root, not /var/x",
        ),
        (
            "users = [{ name = 'root', primary-group = 'sudo' }]",
            "with group 0, not sudo",
        ),
        (
            "groups = [{ name = 'sudo', id = 5 }]",
            "groups[0]: the group sudo is there with number 27, not 5",
        ),
        (
            "groups = [{ name = 'a', id = 27 }]",
            "that of the group sudo",
        ),
    ] {
        let error = add(&mut accounts(), text).unwrap_err();
        assert!(error.contains(complaint), "{error}");
    }
}

#[test]
fn hashes_are_for_root_and_its_group_only() {
    let mut accounts = accounts();
    let modes = |accounts: &Accounts| {
        let files = accounts.files();
        files.iter().map(|file| file.mode).collect::<Vec<_>>()
    };
    assert_eq!(modes(&accounts), [0o600, 0o600, 0o644, 0o644]);
    accounts.group.put(&["shadow", "x", "42", ""]);
    assert_eq!(modes(&accounts), [0o640, 0o640, 0o644, 0o644]);
    assert_eq!(accounts.files()[0].owner.group, 42);
}

#[test]
fn owners_are_named_once() {
    let accounts = accounts();
    let names = |user, group| accounts.names(Owner { user, group });
    assert_eq!(names(0, 0), "root");
    assert_eq!(names(989, 27), "kvd:sudo");
    assert_eq!(names(5, 989), "5:kvd");
}
