//! `lattice link`.

use super::Scene;

#[tokio::test]
async fn links_are_added_listed_and_removed() {
    let scene = Scene::new().await;
    let link = ["desk", "example:hello/greeter@0.1.0"];
    let add = |target| scene.run(&["link", "add", link[0], link[1], target]);
    assert!(add("greeter").status.success());
    assert_eq!(
        add("other").status.code(),
        Some(3),
        "the link exists with another target"
    );
    assert_eq!(scene.rows("links")[0]["target"], "greeter");
    let remove = || scene.run(&["link", "rm", link[0], link[1]]);
    assert!(remove().status.success());
    assert_eq!(remove().status.code(), Some(1), "the link doesn't exist");
    assert!(scene.rows("links").is_empty());
}

#[tokio::test]
async fn links_of_an_app_are_changed_only_with_force() {
    let scene = Scene::new().await;
    let manifest = r#"
        name = "shop"
        [actors.desk]
        image = "oci:ghcr.io/shop/desk@sha256:0000000000000000000000000000000000000000000000000000000000000000"
        [actors.greeter]
        image = "oci:ghcr.io/shop/greeter@sha256:0000000000000000000000000000000000000000000000000000000000000000"
        [[links]]
        from = "desk"
        to = "greeter"
        interface = "example:hello/greeter@0.1.0"
    "#;
    let file = scene.file("shop.toml", manifest.as_bytes());
    scene.prints(&["apply", &file]);
    let link = ["desk", "example:hello/greeter@0.1.0"];

    let (code, message) = scene.fails(&["link", "rm", link[0], link[1]]);
    assert_eq!(code, 3);
    assert!(message.contains("app `shop` owns link"), "{message}");
    let (code, message) = scene.fails(&["link", "add", link[0], link[1], "other", "--replace"]);
    assert_eq!(code, 3);
    assert!(message.contains("app `shop` owns link"), "{message}");
    assert_eq!(scene.rows("links")[0]["target"], "greeter");

    scene.prints(&["link", "rm", link[0], link[1], "--force"]);
    assert!(scene.rows("links").is_empty());
}
