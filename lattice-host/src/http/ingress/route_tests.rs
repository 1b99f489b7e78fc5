use super::*;
use http::Request;

fn destination(uri: &str, hosts: &[&str]) -> Result<Destination, BadDestination> {
    let request = hosts
        .iter()
        .fold(Request::builder().uri(uri), |request, host| {
            request.header(HOST, *host)
        });
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    Destination::of(&parts)
}

fn host(host: &str) -> Result<String, BadDestination> {
    Ok(destination("/", &[host])?.host)
}

#[test]
fn host_names_are_compared_without_case_port_and_last_dot() {
    for (written, compared) in [
        ("Shop.Example.COM", "shop.example.com"),
        ("shop.example.com:8080", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("shop.example.com.:80", "shop.example.com"),
        ("shop.example.com:", "shop.example.com"),
        ("shop.example.com:65535", "shop.example.com"),
        ("xn--BCHER-kva.example", "xn--bcher-kva.example"),
        ("quiet-harbor-4821", "quiet-harbor-4821"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8080", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("under_score.example", "under_score.example"),
    ] {
        assert_eq!(host(written).as_deref(), Ok(compared), "{written}");
    }
}

#[test]
fn what_is_no_host_name_is_refused() {
    let long = "a".repeat(254);
    for wrong in [
        "user@shop.example",
        "user:secret@shop.example",
        "shop..example",
        ".shop.example",
        "shop.example:http",
        "shop.example:65536",
        "shop.example:123456",
        "shop.example:+80",
        "shop.example:80:80",
        "[::1",
        "[shop]",
        "[::1]80",
        "a%62.example",
        "a/b",
        "a,b",
        "",
        &long,
    ] {
        assert_eq!(host(wrong), Err(BadDestination::BadHost), "{wrong}");
    }
}

#[test]
fn a_request_names_one_host() {
    assert_eq!(
        destination("/", &[]).expect_err("none"),
        BadDestination::NoHost
    );
    for hosts in [&["a.example", "b.example"], &["a.example", "a.example"]] {
        let refused = destination("/", hosts).expect_err("two");
        assert_eq!(refused, BadDestination::SeveralHosts);
    }
    let absolute = "http://A.example:81/path";
    assert_eq!(destination(absolute, &[]).expect("one").host, "a.example");
    let same = destination(absolute, &["a.example:81"]);
    assert_eq!(same.expect("the same").host, "a.example");
    let other = destination(absolute, &["b.example:81"]).expect_err("another");
    assert_eq!(other, BadDestination::SeveralHosts);
}

#[test]
fn paths_are_compared_as_an_actor_may_read_them() {
    for (written, compared) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/%61dmin/x", "/admin/x"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%2f..b%5c...", "/a%2f..b%5c..."),
        ("/a%2", "/a%2"),
        ("/a%zz%41", "/a%zzA"),
        ("//a///b/", "/a/b/"),
        ("/a...b/..c", "/a...b/..c"),
        ("/caf%C3%A9", "/caf%C3%A9"),
    ] {
        assert_eq!(
            compared_path(written).as_deref(),
            Some(compared),
            "{written}"
        );
    }
    for wrong in [
        "/a/../b",
        "/..",
        "/./a",
        "/%2e%2E/a",
        "/a/.%2e",
        "/a\\..\\b",
        "/public/..%2fadmin",
        "/public/..%2Fadmin",
        "/public%2f../admin",
        "/public%2F%2e%2E%2Fadmin",
        "/public/%2e%2e%5cadmin",
        "/public%5C..%5Cadmin",
        "/public/.%2fadmin",
    ] {
        assert_eq!(compared_path(wrong), None, "{wrong}");
    }
}

#[test]
fn one_label_is_looked_up_under_a_base_domain() {
    assert_eq!(label_under("web.example.com", "example.com"), Some("web"));
    assert_eq!(label_under("a.web.example.com", "example.com"), None);
    assert_eq!(label_under("example.com", "example.com"), None);
    assert_eq!(label_under("webexample.com", "example.com"), None);
    assert_eq!(
        base_domain("*.Example.com.").as_deref(),
        Some("example.com")
    );
    assert_eq!(base_domain("a b"), None);
}

#[test]
fn the_actor_gets_the_path_and_the_host_as_they_were_written() {
    let request = destination("/%61//b?c=%64", &["Shop.example:81"]).expect("a host");
    let path = Some(PathAndQuery::from_static("/%61//b?c=%64"));
    let uri = request.uri("https", path).expect("a URI");
    assert_eq!(uri.to_string(), "https://Shop.example:81/%61//b?c=%64");
}
