//! `lattice watch`.

use super::{Scene, greeter};

#[tokio::test]
async fn changes_are_printed_until_the_lattice_has_settled() {
    let scene = Scene::new().await;
    let host = scene.up("one");
    let image = greeter().display().to_string();
    let manifest = format!("name = \"shop\"\n[actors.greeter]\nimage = \"file:{image}\"\n");
    let file = scene.file("shop.toml", manifest.as_bytes());
    scene.prints(&["apply", &file]);
    let output = scene.prints(&["watch", "--until", "settled", "--for", "60s"]);
    for line in [
        "+ app shop",
        "+ component greeter actor",
        "+ host one zone=a",
    ] {
        assert!(output.contains(line), "{output}");
    }
    assert!(!output.contains('\u{1b}'), "no colours without a terminal");

    let json = scene.prints(&["watch", "--for", "1s", "-o", "json"]);
    let objects: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("one object per line"))
        .collect();
    assert_eq!(objects[0]["snapshot"]["apps"][0]["name"], "shop");
    assert!(
        objects
            .iter()
            .any(|object| object["host"]["is"]["id"] == "one"),
        "{json}"
    );

    drop(host);
    let missed = ["watch", "--until", "settled", "--for", "8s"];
    let (code, message) = scene.fails(&missed);
    assert_eq!(code, 1);
    assert!(message.contains("has not settled in time"), "{message}");
    assert!(message.contains("`greeter`"), "{message}");
    let (code, _) = scene.fails(&["watch", "--for", "8"]);
    assert_eq!(code, 2, "a duration needs a unit");
}
