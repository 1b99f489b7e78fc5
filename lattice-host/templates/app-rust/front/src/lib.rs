//! An actor that counts visits, in the key-value store that it is linked to.

use lattice_actor_sdk::{
    http::{Body, Request, Response, StatusCode},
    keyvalue::store,
    log,
};

#[lattice_actor_sdk::http]
async fn handle(request: Request<Body>) -> Response<Body> {
    let path = request.uri().path();
    match store::increment(&format!("visits{path}"), 1) {
        Ok(visits) => Response::new(greeting(path, visits).into()),
        Err(error) => {
            log::error!("the visit was not counted: {error:?}");
            let mut response = Response::new("the visit was not counted\n".to_owned().into());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    }
}

fn greeting(path: &str, visits: i64) -> String {
    format!("Hello from placeholder-name, at {path}, visit {visits}!\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_has_the_path_and_the_number() {
        assert_eq!(
            greeting("/Ada", 2),
            "Hello from placeholder-name, at /Ada, visit 2!\n"
        );
    }
}
