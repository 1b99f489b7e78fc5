//! A handler as Spin's template for Rust makes it, which also uses what only Spin has.

use spin_sdk::{
    http::{IntoResponse, Request},
    http_service, key_value, variables,
};

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    match request.uri().path() {
        "/store" => match key_value::Store::open_default().await {
            Ok(_) => "there is a store\n".to_owned(),
            Err(error) => format!("no store: {error}\n"),
        },
        "/variable" => match variables::get("language").await {
            Ok(value) => format!("the language is {value}\n"),
            Err(error) => format!("no variable: {error}\n"),
        },
        path => format!("Hello from Spin, at {path}!\n"),
    }
}
