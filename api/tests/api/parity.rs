//! Every command in `deploy/docs/COORDINATION.md`, as it stands there.

use std::process::Stdio;

use tokio::process::Command;

use crate::server::Api;

const PAGE: &str = include_str!("../../../deploy/docs/COORDINATION.md");

/// As the page says.
const NEW_ID: &str = "id() { cat /proc/sys/kernel/random/uuid; }";

#[tokio::test]
async fn every_row_of_the_table_works() {
    let api = Api::start().await;
    assert!(PAGE.contains(NEW_ID));
    let mut sections = 0;
    for section in PAGE.split("\n### ").skip(1) {
        let title = section.lines().next().unwrap();
        let commands = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
        let commands = commands.unwrap_or_else(|| panic!("{title} has no commands"));
        assert!(PAGE.contains(&format!("(#{})", title.to_lowercase())), "{title} stands in no row");
        let run = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &format!("{NEW_ID}\n{commands}")])
            .env("CARAWAY_URL", &api.url)
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::null())
            .output();
        let ran = run.await.unwrap();
        let status = ran.status;
        let told = [ran.stdout, ran.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert!(status.success(), "{title}: {told}");
        sections += 1;
    }
    assert_eq!(sections, 10);
    api.stop().await;
}
