//! Links to the provider: their configs, the names of their interfaces, and manifests.

use super::{
    scene::{ErrorCode, HANDLER, HandlerClient, Scene, options, request},
    server::{Server, text},
};
use crate::{certificates::Authority, wait::until};
use bytes::Bytes;
use lattice_core::{
    Lattice,
    app::App,
    call::{CallError, Context, FunctionRef},
    client::Caller,
    id::Source,
    link::{Link, LinkStatus},
    name::InterfaceName,
    stream::Body,
};
use lattice_host::{Access, Host};
use lattice_provider_sdk::Invoke;
use serde_json::{Value, json};

/// Returns the reason for which a link with this config is refused.
async fn refusal(scene: &Scene, config: Value) -> String {
    let link = Link::new("other", HANDLER, "web").expect("a link");
    let link = link.config(&config).expect("a config");
    let links = scene.lattice.links();
    let entry = links.replace(link).await.expect("put");
    let status = || links.get(&entry.key).map(|entry| entry.status.clone());
    until("the link is refused", || {
        matches!(status(), Some(LinkStatus::Rejected { .. }))
    })
    .await;
    let other = HandlerClient::new(scene.lattice.caller("other").expect("an id"));
    let options = options();
    let call = other.handle(request("GET", "http://a.example/"), &options);
    match (status(), call.await) {
        (Some(LinkStatus::Rejected { reason }), Err(CallError::LinkRejected { .. })) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_config_is_refused_with_the_reason() {
    let scene = Scene::new(json!({ "allow": ["a.example"] })).await;
    for (config, expected) in [
        (json!({}), "`allow` is empty"),
        (Value::Null, "`allow` is empty"),
        (json!({ "allow": [] }), "`allow` is empty"),
        (json!({ "alow": ["a.example"] }), "unknown field `alow`"),
        (
            json!({ "allow": ["https://a.example/v1"] }),
            "`https://a.example/v1`",
        ),
        (json!({ "allow": ["a.example:99999"] }), "`a.example:99999`"),
        (json!({ "allow": ["10.0.0.1"] }), "`10.0.0.1`"),
        (
            json!({ "allow": ["a.example"], "connections": 0 }),
            "`connections`",
        ),
        (
            json!({ "allow": ["a.example"], "roots": "/nowhere" }),
            "unknown field `roots`",
        ),
        (
            json!({ "allow": ["a.example"], "ca-file": "/nowhere" }),
            "the config of a link can't name files and variables; name them in the provider's settings",
        ),
    ] {
        let reason = refusal(&scene, config.clone()).await;
        assert!(reason.contains(expected), "{config}: {reason}");
    }
    let secret = json!({ "allow": ["https://joe:s3cret@a.example"] });
    let reason = refusal(&scene, secret).await;
    assert!(!reason.contains("s3cret"), "{reason}");
}

/// Calls the function under another interface's name, as a guest's import does.
#[derive(Clone)]
struct As {
    caller: Caller,
    interface: InterfaceName,
}

impl As {
    fn named(&self, function: &FunctionRef) -> FunctionRef {
        let name = function.function().clone();
        FunctionRef::new(self.interface.clone(), name, function.signature())
    }
}

impl Invoke for As {
    async fn invoke(
        &self,
        function: &FunctionRef,
        args: Bytes,
        context: Context,
    ) -> Result<Bytes, CallError> {
        let function = self.named(function);
        self.caller.invoke(&function, args, context).await
    }

    async fn pass(
        &self,
        function: &FunctionRef,
        arguments: Body,
        context: Context,
    ) -> Result<Body, CallError> {
        let function = self.named(function);
        self.caller.pass(&function, arguments, context).await
    }

    fn source(&self) -> Source {
        Invoke::source(&self.caller)
    }
}

#[tokio::test]
async fn it_serves_requests_under_the_names_of_wasi_too() {
    let options = options();
    let server = Server::http(async |_| text("ok")).await;
    let config = json!({ "allow": [server.address.to_string()], "private": true });
    let scene = Scene::new(config.clone()).await;
    for interface in [
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:http/outgoing-handler@0.2.12",
        "wasi:http/client@0.3.0",
        "wasi:http/client@0.3.2",
    ] {
        let source = format!(
            "app-{}",
            interface.len() + usize::from(interface.ends_with('2'))
        );
        let link = Link::new(&*source, interface, "web").expect("a link");
        let link = link.config(&config).expect("a config");
        scene.lattice.links().put(link).await.expect(interface);
        let client = HandlerClient::new(As {
            caller: scene.lattice.caller(&*source).expect("an id"),
            interface: InterfaceName::new(interface).expect("a name"),
        });
        let response = client.handle(request("GET", &server.url("/")), &options);
        let response = response.await.expect("the call succeeds");
        assert_eq!(
            response.map(|response| response.status),
            Ok(200),
            "{interface}"
        );
    }
    let types = scene.lattice.operator().component("web").types().await;
    let types = types.expect("published");
    assert!(types.imports.is_empty(), "{:?}", types.imports);
    assert_eq!(types.exports.len(), 4, "with that of the schema");
}

#[tokio::test]
async fn every_host_has_it_under_the_name_http() {
    let options = options();
    let server = Server::http(async |_| text("ok")).await;
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let host = Host::builder(&lattice).start().await.expect("it starts");
    let manifest = format!(
        "name = \"shop\"\nexternal = [\"app\"]\n[providers.web]\nbuiltin = \"http\"\n[[links]]\n\
         from = \"app\"\nto = \"web\"\ninterface = \"{HANDLER}\"\n\
         config = {{ allow = [\"{}\"], private = true }}\n",
        server.address
    );
    let app = App::from_toml("app.toml", &manifest).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
    lattice.served("web").await.expect("an id");
    let client = HandlerClient::new(lattice.caller("app").expect("an id"));
    let response = client.handle(request("GET", &server.url("/")), &options);
    let response = response.timeout(super::scene::PATIENCE).await;
    let response = response.expect("the call succeeds");
    assert_eq!(response.map(|response| response.status), Ok(200));
    let denied = client.handle(request("GET", "http://other.example/"), &options);
    let denied = denied.await.expect("the call succeeds").map(drop);
    assert_eq!(denied, Err(ErrorCode::HttpRequestDenied));
    drop(host);
}

#[tokio::test]
async fn an_app_has_certificates_trusted_that_its_host_allows() {
    let options = options();
    let authority = Authority::new();
    let identity = authority.sign("127.0.0.1");
    let server = Server::https(&identity, &[b"http/1.1"], async |_| text("ok")).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("ca.pem"), &authority.certificate).expect("written");
    let lattice = Lattice::in_memory("test").await.expect("a lattice");
    let host = Host::builder(&lattice).provider_access(Access::none().folder(folder.path()));
    let _host = host.start().await.expect("it starts");
    let manifest = format!(
        "name = \"shop\"\nexternal = [\"app\"]\n[providers.web]\nbuiltin = \"http\"\n\
         config = {{ ca-file = \"ca.pem\" }}\n[[links]]\nfrom = \"app\"\nto = \"web\"\n\
         interface = \"{HANDLER}\"\nconfig = {{ allow = [\"{}\"], private = true }}\n",
        server.address
    );
    let app = App::from_toml("app.toml", &manifest).expect("a manifest");
    lattice.apply(&app).await.expect("applied");
    lattice.served("web").await.expect("an id");
    let client = HandlerClient::new(lattice.caller("app").expect("an id"));
    let url = format!("https://{}/", server.address);
    let response = client.handle(request("GET", &url), &options);
    let response = response.timeout(super::scene::PATIENCE).await;
    let response = response.expect("the call succeeds");
    assert_eq!(response.map(|response| response.status), Ok(200));
}

#[tokio::test]
async fn nobody_gets_out_without_a_link() {
    let options = options();
    let scene = Scene::new(json!({ "allow": ["a.example"] })).await;
    let caller = scene.lattice.caller("unlinked").expect("an id");
    let client = HandlerClient::new(caller);
    let call = client.handle(request("GET", "http://a.example/"), &options);
    assert!(matches!(call.await, Err(CallError::NotLinked { .. })));
    let operator = scene.lattice.operator().component("web");
    let client = HandlerClient::new(operator);
    let call = client.handle(request("GET", "http://a.example/"), &options);
    assert!(matches!(call.await, Err(CallError::OperatorDenied)));
}
