//! What the running program may still do.

use crate::codecs::Codecs;

const PNG: &[u8] = include_bytes!("../cases/png-profile-70k.png");

#[test]
fn every_thread_is_sealed_and_bounded() {
    let mut codecs = Codecs::start();
    codecs.make(PNG, "{}").unwrap();
    let folder = format!("/proc/{}", codecs.child.id());
    let mut threads = 0;
    for thread in std::fs::read_dir(format!("{folder}/task")).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let says =
            |line: &str| status.lines().any(|there| there.split_whitespace().collect::<Vec<_>>().join(" ") == line);
        assert!(says("Seccomp: 2") && says("NoNewPrivs: 1"), "{status}");
        threads += 1;
    }
    assert!(threads > 0);
    let limits = std::fs::read_to_string(format!("{folder}/limits")).unwrap();
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(!limit("Max data size").contains("unlimited"), "{limits}");
    assert!(!limit("Max cpu time").starts_with("Max cpu time              unlimited"), "{limits}");
    assert!(limit("Max file size").contains(" 0 "), "{limits}");
    let environment = std::fs::read(format!("{folder}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("CARAWAY"), "no address and no password");
    assert_eq!(codecs.end(), Some(0));
}
