use super::*;
use axum::body::Body;

const TOKEN: &str = "0123456789abcdef";

fn guard(is_read_only: bool) -> Guard {
    Guard::new(Rules {
        token: Token::chosen(TOKEN).expect("a token"),
        session: Token::chosen("fedcba9876543210").expect("a token"),
        host_names: ["lattice.example".to_owned()].into(),
        is_read_only,
        reads: &["/api/apps/plan"],
        limits: UiLimits::default(),
    })
}

/// A request with these headers and the session's cookie.
fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).expect("a request")
}

const HOST: (&str, &str) = ("host", "127.0.0.1:9119");
const COOKIE: (&str, &str) = ("cookie", "a=b; lattice-ui-9119=fedcba9876543210");

fn status(guard: &Guard, request: &Request) -> u16 {
    match guard.admit(request) {
        Ok(Admitted::Through) => 200,
        Ok(Admitted::Enters(_)) => 303,
        Err(problem) => problem.status().as_u16(),
    }
}

#[test]
fn only_names_of_this_page_are_answered() {
    let guard = guard(false);
    let asked = |host: &str| {
        let cookie = match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => {
                format!("lattice-ui-{port}=fedcba9876543210")
            }
            _ => "lattice-ui-80=fedcba9876543210".to_owned(),
        };
        status(
            &guard,
            &request("GET", "/", &[("host", host), ("cookie", &cookie)]),
        )
    };
    for ours in [
        "127.0.0.1:9119",
        "localhost",
        "LOCALHOST:80",
        "[::1]:9119",
        "192.168.1.7:80",
        "Lattice.Example",
    ] {
        assert_eq!(asked(ours), 200, "{ours}");
    }
    for foreign in [
        "evil.example",
        "127.0.0.1.evil.example:9119",
        "localhost.evil.example",
        "a@127.0.0.1",
        "localhost.",
    ] {
        assert_eq!(asked(foreign), 421, "{foreign}");
    }
    assert_eq!(
        status(&guard, &request("GET", "/", &[COOKIE])),
        421,
        "no host"
    );
    let two = request("GET", "/", &[HOST, ("host", "localhost:9119"), COOKIE]);
    assert_eq!(status(&guard, &two), 421);
    let absolute = request("GET", "http://evil.example/", &[HOST, COOKIE]);
    assert_eq!(status(&guard, &absolute), 421);
}

#[test]
fn the_token_is_exchanged_for_a_cookie() {
    let guard = guard(false);
    let ask = |path: &str, headers: &[(&str, &str)]| status(&guard, &request("GET", path, headers));
    assert_eq!(ask("/?token=0123456789abcdef", &[HOST]), 303);
    assert_eq!(ask("/?a=b&token=0123456789abcdef", &[HOST]), 303);
    assert_eq!(ask("/?token=0123456789abcdeX", &[HOST, COOKIE]), 401);
    assert_eq!(ask("/?token=", &[HOST]), 401);
    // Nowhere else, so that it isn't in addresses that a page is linked by.
    assert_eq!(ask("/api/view?token=0123456789abcdef", &[HOST]), 401);
    assert_eq!(ask("/", &[HOST, COOKIE]), 200);
    assert_eq!(ask("/", &[HOST]), 401);
    assert_eq!(
        ask("/", &[HOST, ("cookie", "lattice-ui-9119=0123456789abcdef")]),
        401
    );
    assert_eq!(
        ask("/", &[HOST, ("cookie", "lattice-ui-9118=fedcba9876543210")]),
        401
    );
    assert_eq!(
        ask(
            "/api/view",
            &[HOST, ("authorization", "Bearer 0123456789abcdef")]
        ),
        200
    );
    assert_eq!(
        ask(
            "/api/view",
            &[HOST, ("authorization", "Bearer fedcba9876543210"), COOKIE]
        ),
        401
    );
    let post = request("POST", "/?token=0123456789abcdef", &[HOST]);
    assert_eq!(status(&guard, &post), 401);
}

#[test]
fn requests_of_other_origins_are_refused() {
    let guard = guard(false);
    let ask = |method: &str, path: &str, extra: (&str, &str)| {
        status(&guard, &request(method, path, &[HOST, COOKIE, extra]))
    };
    for site in ["cross-site", "same-site", "strange"] {
        assert_eq!(
            ask("POST", "/api/links/put", ("sec-fetch-site", site)),
            403,
            "{site}"
        );
        assert_eq!(
            ask("GET", "/api/stream", ("sec-fetch-site", site)),
            403,
            "{site}"
        );
        assert_eq!(
            ask("GET", "/", ("sec-fetch-site", site)),
            200,
            "a person follows a link"
        );
    }
    for site in ["same-origin", "none"] {
        assert_eq!(
            ask("POST", "/api/links/put", ("sec-fetch-site", site)),
            200,
            "{site}"
        );
    }
    for origin in [
        "http://evil.example",
        "http://127.0.0.1:3000",
        "null",
        "http://127.0.0.1",
        "not an origin",
    ] {
        assert_eq!(
            ask("POST", "/api/links/put", ("origin", origin)),
            403,
            "{origin}"
        );
    }
    assert_eq!(
        ask(
            "POST",
            "/api/links/put",
            ("origin", "http://127.0.0.1:9119")
        ),
        200
    );
    assert_eq!(
        ask(
            "POST",
            "/api/links/put",
            ("origin", "https://127.0.0.1:9119")
        ),
        200
    );
}

#[test]
fn a_page_that_is_read_only_changes_nothing() {
    let guard = guard(true);
    let ask = |method: &str, path: &str| status(&guard, &request(method, path, &[HOST, COOKIE]));
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(ask(method, "/api/links/put"), 403, "{method}");
        assert_eq!(ask(method, "/api/apps/plan/../apply"), 403, "{method}");
    }
    assert_eq!(ask("POST", "/api/apps/plan"), 200);
    assert_eq!(ask("GET", "/api/stream"), 200);
    assert_eq!(ask("HEAD", "/"), 200);
}
